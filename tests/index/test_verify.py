"""Verify names each file that was altered, and no other, while writers change the index."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import make_documents

from hpdsearch.dense import Codec, IndexSpec
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorruptIndexError, HpdsearchError, IndexFolderError
from hpdsearch.index import Index, verify
from hpdsearch.index.verify import find_problems
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.lexical import LexicalWriter
from hpdsearch.records import Hit

QUERIES = ("the old cat sleeps", "queen of the iron river", "war and peace")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Path:
    """Return the folder of an index with two segments, of 90 and 70 rows, whose lexical rows are written in two blocks.

    14 rows are tombstoned. The lexical index still holds those of d00080 to d00089, which were replaced, and of d00002
    and d00112, which were deleted; those of d00003 and d00113 are purged from it. 3 rows are buffered in the catalog.
    Tests must not change the folder.
    """
    folder = tmp_path_factory.mktemp("verify") / "index"
    with Index.build(folder, make_documents(90), encoder=tiny_encoder) as index:
        index.merge_policy = MergePolicy(small_segment_rows=0)
        index.delete("d00003")
        index.add(make_documents(70, first=80, seed=3))
        index.merge_policy = MergePolicy(small_segment_rows=0, max_unpurged_rows=0)
        index.delete("d00113")
        index.merge_policy = MergePolicy(small_segment_rows=0)
        index.delete(["d00002", "d00112"])
        index.add(make_documents(3, first=150))
        info = index.info()
        assert ([segment["rows"] for segment in info.segments], info.n_deleted) == ([90, 70], 14)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return Path(shutil.copytree(original, tmp_path / "index"))


def lexical(folder: Path) -> Path:
    (inner,) = (folder / "lexical").iterdir()
    return inner


def test_an_intact_index_has_no_problems(folder: Path, tiny_encoder: Encoder) -> None:
    assert find_problems(folder) == []
    with Index.open(folder, encoder=tiny_encoder) as index:
        assert index.verify() == []
        index.delete("d00001")
        assert index.verify() == []


def flip_bit(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("pattern", ["vectors-000001.f16", "index-000002.faiss"])
def test_verify_names_each_altered_byte_of_vectors_and_codes(original: Path, tmp_path: Path, pattern: str) -> None:
    size = (original / pattern).stat().st_size
    for position in (0, 1, size // 3, size - 1):
        folder = tmp_path / str(position)
        shutil.copytree(original, folder)
        flip_bit(folder / pattern, position)
        assert find_problems(folder) == [f"{folder / pattern}: does not match its checksum"]


def test_verify_names_every_problem(folder: Path) -> None:
    flip_bit(folder / "vectors-000001.f16", 5)
    (folder / "vectors-000002.f16").write_bytes(b"")
    (folder / "index-000001.faiss").unlink()
    words = next(lexical(folder).glob("*.idx"))
    flip_bit(words, 3)
    size = (folder / "index-000002.faiss").stat().st_size
    with (folder / "index-000002.faiss").open("ab") as file:
        file.write(b"\0")
    assert find_problems(folder) == [
        f"{folder / 'vectors-000001.f16'}: does not match its checksum",
        f"{folder / 'index-000001.faiss'}: is missing",
        f"{folder / 'vectors-000002.f16'}: expected 2520 bytes, got 0",
        f"{folder / 'index-000002.faiss'}: expected {size} bytes, got {size + 1}",
        f"{words}: is missing or does not match its checksum",
    ]


@pytest.mark.parametrize("ending", ["term", "idx", "pos", "fieldnorm", "fast", "store", "del"])
def test_verify_names_an_altered_or_missing_lexical_file(original: Path, tmp_path: Path, ending: str) -> None:
    n_files = len(list(lexical(original).glob(f"*.{ending}")))
    assert n_files > 0
    for number in range(n_files):
        for how in ("missing", "empty", "first", "middle", "last"):
            folder = Path(shutil.copytree(original, tmp_path / f"{number} {how}"))
            path = sorted(lexical(folder).glob(f"*.{ending}"))[number]
            if how == "missing":
                path.unlink()
            elif how == "empty":
                path.write_bytes(b"")
            else:
                size = path.stat().st_size
                flip_bit(path, {"first": 0, "middle": size // 2, "last": size - 1}[how])
            problems = find_problems(folder)
            assert problems
            assert str(lexical(folder)) in problems[0]


@pytest.mark.parametrize("what", ["folder", "meta.json", "meta.json cut", "meta.json foreign"])
def test_verify_names_a_missing_or_foreign_lexical_index(folder: Path, tiny_encoder: Encoder, what: str) -> None:
    path = lexical(folder)
    if what == "folder":
        shutil.rmtree(path)
    elif what == "meta.json":
        (path / "meta.json").unlink()
    elif what == "meta.json cut":
        (path / "meta.json").write_bytes((path / "meta.json").read_bytes()[:100])
    else:
        (path / "meta.json").write_text('{"segments": 7}')
    (problem,) = find_problems(folder)
    assert str(path) in problem
    with pytest.raises(CorruptIndexError, match=str(path)):
        Index.open(folder, encoder=tiny_encoder)


def test_verify_counts_the_passages_that_the_lexical_index_lacks(folder: Path) -> None:
    writer = LexicalWriter(lexical(folder))
    writer.remove([7, 8, 9])
    writer.commit()
    writer.close()
    assert find_problems(folder) == [f"{folder}: the lexical index lacks 3 of 149 passages"]


CATALOG_DAMAGE = {
    "UPDATE documents SET text = text || 'x' WHERE doc = 7": "document 'd00007' does not match its checksum",
    "UPDATE documents SET metadata = '{}' WHERE doc = 7": "",
    "UPDATE passages SET end = end - 1 WHERE doc = 7": "document 'd00007' does not match its checksum",
    "DELETE FROM passages WHERE doc = 7": "document 'd00007' does not match its checksum",
    "UPDATE passages SET doc = 8 WHERE doc = 7": "does not match its checksum",
    "DELETE FROM documents WHERE doc = 7": "1 passages belong to no document",
    "DELETE FROM attributes WHERE doc = 7 AND field = 'half'": "the attributes that filters use do not match",
    "UPDATE attributes SET number = 5 WHERE doc = 7 AND field = 'half'": "the attributes that filters use",
    "DELETE FROM tombstones WHERE row = 2": "the catalog's rows contradict one another",
    "INSERT INTO tombstones(row) VALUES (7)": "the catalog's rows contradict one another",
    "DELETE FROM segments WHERE segment = 2": "",
    "UPDATE segments SET n_rows = 39 WHERE segment = 1": "",
    "UPDATE meta SET value = '8' WHERE key = 'dim'": "",
    "UPDATE segments SET row_map = x'00' WHERE segment = 2": "its settings or segments do not match their checksum",
    "UPDATE segments SET curve = '{}' WHERE segment = 2": "its settings or segments do not match their checksum",
    "DELETE FROM waiting WHERE row = 160": "the catalog's rows contradict one another",
    "UPDATE waiting SET row = 163 WHERE row = 162": "the vector of row 163 does not match its checksum",
    "UPDATE waiting SET vector = zeroblob(32) WHERE row = 161": "the vector of row 161 does not match its checksum",
    "INSERT INTO waiting SELECT 163, vector, sum FROM waiting WHERE row = 162": "the vector of row 163 does not match",
    "DROP TABLE waiting": "",
    "DROP TABLE tombstones": "the tables ['tombstones'] are missing",
}


@pytest.mark.parametrize("sql", CATALOG_DAMAGE)
def test_verify_names_an_altered_catalog(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        connection.execute(sql)
        connection.commit()
    try:
        problems = find_problems(folder)
    except HpdsearchError as error:
        problems = [str(error)]
    assert problems
    assert CATALOG_DAMAGE[sql] in problems[0]
    assert str(folder) in problems[0]


def test_verify_raises_if_the_folder_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="no such folder"):
        find_problems(tmp_path / "none")


def search_all(folder: Path, encoder: Encoder) -> list[list[Hit]]:
    with Index.open(folder, encoder=encoder) as index:
        return [
            index.search(query, k, mode=mode, where=where)
            for query in QUERIES
            for mode in ("dense", "lexical", "hybrid")
            for k in (5, 100)
            for where in (None, "half = 0")
        ]


@pytest.mark.slow
def test_damage_is_an_error_or_harmless_or_named_by_verify(
    original: Path, tmp_path: Path, tiny_encoder: Encoder, capfd: pytest.CaptureFixture[str]
) -> None:
    """Flipped bits lead to no other exception, and to no wrong answer that verify does not explain."""
    right = search_all(original, tiny_encoder)
    chance = np.random.default_rng(11)
    outcomes: dict[str, set[str]] = {}
    for path in sorted(path.relative_to(original) for path in original.rglob("*") if path.is_file()):
        size = (original / path).stat().st_size
        for position in chance.choice(size, min(size, 25 if path.suffix == ".sqlite" else 4), replace=False):
            folder = Path(shutil.copytree(original, tmp_path / "damaged"))
            flip_bit(folder / path, int(position))
            try:
                outcome = "right" if search_all(folder, tiny_encoder) == right else "wrong"
            except HpdsearchError:
                outcome = "error"
            try:
                named = bool(find_problems(folder))
            except HpdsearchError:
                named = True
            assert named or outcome == "right", f"{path} at {position}: {outcome}, and verify finds nothing"
            outcomes.setdefault(path.suffix, set()).add(outcome)
            shutil.rmtree(folder)
    assert outcomes[".faiss"] == {"error"}
    assert outcomes[".f16"] - {"right"} == {"error"}  # no search reads the vector of a deleted row
    assert "right" in outcomes[".sqlite"]
    capfd.readouterr()  # drops the messages of Tantivy's panics, which hpdsearch catches


# ---- writers at work


@pytest.mark.parametrize(
    ("change", "before", "n_checks"),
    [
        ("overwrite", "_check_file", 2),
        ("overwrite", "_check_lexical", 2),
        ("compact", "_check_file", 2),
        ("compact", "_check_lexical", 2),
        ("tune", "_check_file", 2),
        ("tune", "_check_lexical", 1),
        ("delete", "_check_file", 1),
        ("add", "_check_lexical", 1),
    ],
)
def test_verify_starts_again_if_a_writer_removes_unchecked_files(
    folder: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, change: str, before: str, n_checks: int
) -> None:
    check: Callable[..., list[str]] = getattr(verify, before)
    problems = verify._problems
    n_begun, changed = 0, False

    def count_begins(*args: Any) -> list[str]:
        nonlocal n_begun
        n_begun += 1
        return problems(*args)

    def change_first(*args: object) -> list[str]:
        nonlocal changed
        if not changed:
            changed = True
            perform(change, folder, tiny_encoder)
        return check(*args)

    monkeypatch.setattr(verify, "_problems", count_begins)
    monkeypatch.setattr(verify, before, change_first)
    assert find_problems(folder) == []
    assert n_begun == n_checks


def perform(change: str, folder: Path, encoder: Encoder) -> None:
    if change == "overwrite":
        Index.build(folder, make_documents(10), encoder=encoder, overwrite=True).close()
        return
    with Index.open(folder, encoder=encoder) as index:
        if change == "compact":
            index.compact()
        elif change == "tune":
            index.reindex(IndexSpec(codec=Codec.F32))
        elif change == "delete":
            index.delete("d00001")
        else:
            index.add(make_documents(300, seed=9))


def test_unfinished_files_of_a_writer_are_no_problem(folder: Path) -> None:
    words = next(lexical(folder).glob("*.idx")).name.split(".")[0]
    for name in (f"{'0' * 32}.idx", f"{'0' * 32}.fieldnorm", f"{words}.999999.del", ".tmpAbCd"):
        (lexical(folder) / name).write_bytes(b"half")
    (folder / "vectors-000099.f16.partial").write_bytes(b"half")
    assert find_problems(folder) == []
