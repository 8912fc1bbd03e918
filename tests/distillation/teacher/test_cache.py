import json
import logging
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoder import WORDS
from tiny_teacher import HIDDEN, make_tiny_teacher

from hpdsearch.common.progress import Bar, Progress
from hpdsearch.distillation.teacher.cache import EmbeddingCache
from hpdsearch.distillation.teacher.teacher import Teacher, embed, open_cache
from hpdsearch.errors import CacheError, ShapeError

DIM = 8


def open_test_cache(folder: Path, *, teacher_hash: str = "abc", dim: int = DIM) -> EmbeddingCache:
    return EmbeddingCache(folder, teacher="t", teacher_hash=teacher_hash, dim=dim)


def make_embeddings(texts: list[str], dim: int = DIM) -> np.ndarray:
    """Return unit vectors that depend on the text alone."""
    rows = np.stack([np.random.default_rng(list(text.encode())).normal(size=dim) for text in texts])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def fill_cache(folder: Path, n_shards: int = 3, rows: int = 5) -> list[str]:
    texts = [f"text {number}" for number in range(n_shards * rows)]
    cache = open_test_cache(folder)
    for first in range(0, len(texts), rows):
        cache.add(texts[first : first + rows], make_embeddings(texts[first : first + rows]))
    return texts


def test_embeddings_are_read_back_with_float16_precision_in_any_order(tmp_path):
    texts = fill_cache(tmp_path)
    for cache in (open_test_cache(tmp_path), open_test_cache(tmp_path)):
        order = [*random.Random(0).sample(texts, len(texts)), texts[3], texts[3]]
        found = cache.embeddings(order)
        np.testing.assert_array_equal(found, make_embeddings(order).astype(np.float16).astype(np.float32))
        assert (len(cache), found.dtype) == (15, np.float32)
    assert cache.embeddings([]).shape == (0, DIM)
    assert texts[7] in cache
    assert "Text 7" not in cache


def test_missing_yields_each_text_once_in_order(tmp_path):
    assert list(open_test_cache(tmp_path / "empty").missing(["b", "a", "b", "\ud800"])) == ["b", "a", "\ud800"]
    texts = fill_cache(tmp_path)
    assert list(open_test_cache(tmp_path).missing([texts[0], "z", texts[9], "a", "z", "", texts[1]])) == ["z", "a", ""]
    with pytest.raises(CacheError, match=r"2 of 3 texts have no embedding"):
        open_test_cache(tmp_path).embeddings(["z", texts[0], "a"])


def test_a_hash_that_ends_in_zero_bytes_is_found(tmp_path):
    texts = [f"number {number}" for number in range(3000)]  # a dozen hashes end in zero bytes
    open_test_cache(tmp_path).add(texts, make_embeddings(texts))
    np.testing.assert_allclose(open_test_cache(tmp_path).embeddings(texts), make_embeddings(texts), atol=1e-3)
    assert len(open_test_cache(tmp_path)) == 3000


def test_shards_made_before_the_lock_and_the_lean_index_are_read(tmp_path):
    fill_cache(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert {key: manifest[key] for key in ("format", "teacher", "teacher_hash", "dim")} == {
        "format": 1,
        "teacher": "t",
        "teacher_hash": "abc",
        "dim": DIM,
    }
    assert [sorted(shard) for shard in manifest["shards"]] == [["name", "rows", "sha256"]] * 3
    from safetensors.numpy import load_file

    shard = load_file(tmp_path / "shard-000002.safetensors")
    assert (shard["hashes"].dtype, shard["hashes"].shape) == (np.uint8, (5, 16))
    assert shard["embeddings"].dtype == np.float16


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


DAMAGE = {"flipped": flip, "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]), "gone": Path.unlink}


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_corrupt_shard_is_detected_and_its_texts_are_embedded_again(tmp_path, caplog, damage, number):
    texts = fill_cache(tmp_path)
    path = tmp_path / f"shard-{number:06d}.safetensors"
    DAMAGE[damage](path)
    with caplog.at_level(logging.WARNING):
        cache = open_test_cache(tmp_path)
    assert f"{path}: missing or corrupt; its 5 texts will be embedded again" in caplog.text
    lost = texts[(number - 1) * 5 : number * 5]
    assert list(cache.missing(texts)) == lost
    cache.add(lost, make_embeddings(lost))
    caplog.clear()
    again = open_test_cache(tmp_path)
    assert not caplog.text
    np.testing.assert_allclose(again.embeddings(texts), make_embeddings(texts), atol=1e-3)
    with again.exclusive_lock():
        names = {file.name for file in tmp_path.glob("shard-*")}
    # The name of the corrupt shard is not used again, and unused files are removed.
    assert names == {f"shard-{n:06d}.safetensors" for n in (1, 2, 3, 4) if n != number}


def test_another_teacher_another_width_and_another_format_are_refused(tmp_path):
    fill_cache(tmp_path)
    with pytest.raises(CacheError, match=r"expected the embeddings of .*'xyz'.*, got .*'abc'.*; choose another"):
        open_test_cache(tmp_path, teacher_hash="xyz")
    with pytest.raises(CacheError, match=r"'dim': 9.* got .*'dim': 8"):
        open_test_cache(tmp_path, dim=9)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(CacheError, match=r"'format': 1.* got .*'format': 2"):
        open_test_cache(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 1}', '{"shards": [{"name": "../../x", "rows": 1, "sha256": ""}]}', "\x00\xff"],
)
def test_the_error_for_a_corrupt_manifest_says_what_to_do(tmp_path, content):
    fill_cache(tmp_path)
    path = tmp_path / "manifest.json"
    if "shards" in content:
        content = json.dumps(json.loads(path.read_text()) | json.loads(content))
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(CacheError, match=r"manifest.json: expected the manifest of a cache, got .*; remove"):
        open_test_cache(tmp_path)


def test_a_second_writer_gets_an_error_and_a_reader_does_not(tmp_path):
    texts = fill_cache(tmp_path)
    first, second = open_test_cache(tmp_path), open_test_cache(tmp_path)
    with first.exclusive_lock():
        (tmp_path / "shard-000004.safetensors.partial").write_bytes(b"being written")
        with pytest.raises(CacheError, match=r"another process is writing to this cache"):
            second.add(["new"], make_embeddings(["new"]))
        np.testing.assert_allclose(open_test_cache(tmp_path).embeddings(texts), make_embeddings(texts), atol=1e-3)
        assert (tmp_path / "shard-000004.safetensors.partial").exists()
        first.add(["one"], make_embeddings(["one"]))
    second.add(["two"], make_embeddings(["two"]))  # it continues with the shards of the first one
    assert ("one" in second, "one" in open_test_cache(tmp_path), "two" in open_test_cache(tmp_path)) == (
        True,
        True,
        True,
    )
    assert not list(tmp_path.glob("*.partial"))


@contextmanager
def limit_file_size(size_bytes: int) -> Iterator[None]:
    """Simulate a full disk: an OSError in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_clear_error_and_loses_no_stored_embedding(tmp_path):
    texts = fill_cache(tmp_path)
    cache, new = open_test_cache(tmp_path), [f"new {number}" for number in range(10_000)]
    with (
        limit_file_size(200_000),
        pytest.raises(
            CacheError, match=r"shard-000004.safetensors: \d{6} bytes cannot be written \(File too large\).* 15 "
        ),
    ):
        cache.add(new, np.zeros((len(new), DIM), dtype=np.float32))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".lock", *[".safetensors"] * 3]
    for after in (cache, open_test_cache(tmp_path)):
        np.testing.assert_allclose(after.embeddings(texts), make_embeddings(texts), atol=1e-3)
    cache.add(new[:2], make_embeddings(new[:2]))
    assert len(open_test_cache(tmp_path)) == 17


def test_embeddings_of_a_wrong_shape_are_refused(tmp_path):
    cache = open_test_cache(tmp_path)
    with pytest.raises(ShapeError, match=r"expected shape \(n, 8\), got \(1, 9\)"):
        cache.add(["a"], np.zeros((1, 9), dtype=np.float32))
    with pytest.raises(ShapeError, match="expected 2 rows, one per text, got 1"):
        cache.add(["a", "b"], np.zeros((1, DIM), dtype=np.float32))
    with pytest.raises(ShapeError, match="NaN or infinity in row 0"):
        cache.add(["a"], np.full((1, DIM), np.nan, dtype=np.float32))
    assert not list(tmp_path.iterdir())


# With a teacher: which texts are embedded, how often, and how much a kill loses.


class Counting(Progress):
    """A progress that records the steps of its one bar."""

    def __init__(self) -> None:
        super().__init__()
        self.total: float | None = None
        self.steps: list[float] = []

    def phase(self, name: str, *, total: int | None, unit: str) -> Bar:
        self.total = total
        return self

    def update(self, n: float, /) -> None:
        self.steps.append(n)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    folder = make_tiny_teacher(tmp_path_factory.mktemp("teachers") / "tiny")
    return Teacher.load(folder, device="cpu", dtype=torch.float32)


def make_texts(n: int) -> list[str]:
    words = random.Random(5)
    return [" ".join([*words.choices(WORDS, k=words.randint(0, 12)), str(number)]) for number in range(n)]


def test_embed_fills_the_cache_with_the_teachers_vectors_each_text_once(tmp_path, teacher):
    texts = make_texts(50)
    cache, progress = open_cache(teacher, tmp_path), Counting()
    assert cache.folder == tmp_path / f"tiny-{teacher.sha256[:12]}"
    embed(teacher, [*texts, *texts[:9]], cache, progress=progress, texts_per_shard=20)
    assert (progress.total, progress.steps[0], sum(progress.steps)) == (59, 9, 59)
    assert [shard["rows"] for shard in json.loads((cache.folder / "manifest.json").read_text())["shards"]] == [
        20,
        20,
        10,
    ]
    np.testing.assert_allclose(cache.embeddings(texts), teacher.encode(texts), atol=1e-3)
    again = Counting()
    embed(teacher, texts, open_cache(teacher, tmp_path), progress=again)
    assert again.steps == [50]


def test_the_cache_is_in_the_cache_folder_of_the_user(tmp_path, teacher, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    name = f"tiny-{teacher.sha256[:12]}"
    assert open_cache(teacher).folder == tmp_path / "xdg" / "hpdsearch" / "teachers" / name
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_cache(teacher).folder == tmp_path / ".cache" / "hpdsearch" / "teachers" / name


CHILD = """
import sys, pathlib
from test_cache import Counting, Teacher, embed, make_texts, open_cache, torch
class Loud(Counting):
    def update(self, n, /):
        print(int(n), flush=True)
teacher = Teacher.load(sys.argv[1], device="cpu", dtype=torch.float32)
embed(teacher, make_texts(4000), open_cache(teacher, pathlib.Path(sys.argv[2])), progress=Loud(), texts_per_shard=16)
"""


@pytest.mark.slow
def test_a_killed_run_loses_at_most_one_shard_and_ends_with_the_same_embeddings(tmp_path, teacher):
    folder = make_tiny_teacher(tmp_path / "tiny")
    paths = [str(Path(__file__).parent), str(Path(make_tiny_teacher.__code__.co_filename).parent)]
    child = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}\n{CHILD}", folder, tmp_path / "killed"],
        stdout=subprocess.PIPE,
        text=True,
    )
    manifest = tmp_path / "killed" / f"tiny-{teacher.sha256[:12]}" / "manifest.json"
    while child.poll() is None and not manifest.exists():
        time.sleep(0.01)
    time.sleep(random.random() / 4)
    child.kill()
    output, _ = child.communicate()
    assert child.returncode == -signal.SIGKILL

    cache, n_embedded = open_cache(teacher, tmp_path / "killed"), sum(map(int, output.split()))
    assert 16 <= len(cache) < 4000
    assert len(cache) % 16 == 0
    assert n_embedded - 16 <= len(cache) <= n_embedded
    texts = make_texts(len(cache) + 100)
    progress = Counting()
    embed(teacher, texts, cache, progress=progress, texts_per_shard=16)
    assert (progress.steps[0], sum(progress.steps)) == (len(texts) - 100, len(texts))
    assert not list(cache.folder.glob("*.partial"))
    uninterrupted = open_cache(teacher, tmp_path / "uninterrupted")
    embed(teacher, texts, uninterrupted)
    np.testing.assert_allclose(cache.embeddings(texts), uninterrupted.embeddings(texts), atol=1e-3)
    assert np.isclose(np.linalg.norm(cache.embeddings(texts), axis=1), 1, atol=1e-2).all()
    assert cache.dim == HIDDEN
