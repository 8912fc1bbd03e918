"""Every reading command works where nothing can be written; a writer on a full disk fails with one line or succeeds."""

import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import refining
from beir_folder import write_beir
from processes import MEMORY_FOLDER
from rightless import DISK, OPEN, PLACES, USER, missing_right, run_rightless
from tiny_encoder import make_tiny_encoder, make_tiny_static

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.records import Document

pytestmark = pytest.mark.slow

SEARCHING = (
    ("query -i {home}/index moon -k 400", ""),
    ("query -i {home}/index moon --json --where number>=0", ""),
    ("query -i {home}/index moon --query-encoder {home}/encoder --explain", ""),
    ("query -i {home}/index --like d7", ""),
    ("query -i {home}/index --batch - --run-file {out}.run", "cat\nmoon\n"),
    ("query -i {home}/index", "moon\n:k 2\n:where number < 5\ncat\n"),
    ("verify {home}/index", ""),
    (OPEN, ""),
)
DESCRIBING = (("info {home}/index", ""), ("info {home}/index --json", ""), ("query -i {home}/index", ":info\n"))
ENCODING = (
    ("encode - --encoder {home}/encoder", "moon\n"),
    ("encode {home}/corpus.txt --encoder {home}/encoder -o {out}.npy", ""),
    ("evaluate retrieval {home}/beir --encoder {home}/encoder", ""),
    ("export {home}/encoder {out}", ""),
    ("index {home}/corpus.txt --encoder {home}/encoder -o {out}-index", ""),
)
LOG = ("catalog.sqlite-wal", "catalog.sqlite-shm")
N_DOCUMENTS = 301
OLD_INDEX = Path(__file__).parents[1] / "data" / "index-format-2" / "index"


@pytest.fixture
def work() -> Iterator[Path]:
    """Return a folder with an index, its encoder, a corpus and a collection in the folder `original`."""
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER) as name:
        original = Path(name) / "original"
        encoder = Encoder.load(make_tiny_static(original / "encoder"))
        documents = [
            Document(f"d{i}", f"cat {'moon' if i == 7 else 'sun'} {i}", metadata={"number": i}) for i in range(300)
        ]
        with Index.build(original / "index", documents, encoder=encoder) as index:
            index.add([Document("late", "cat star", metadata={"number": 0})])
        (original / "corpus.txt").write_text("cat\nmoon\nsun\n")
        write_beir(original / "beir")
        yield Path(name)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    """Return a place where nothing can be written."""
    if missing := missing_right(request.param):
        pytest.skip(missing)
    return str(request.param)


@pytest.fixture
def full_disk(work: Path) -> Path:
    """Return `work`, where a disk can be mounted."""
    if missing := missing_right(DISK):
        pytest.skip(missing)
    return work


def test_reading_commands_need_no_right_to_write(work: Path, place: str) -> None:
    lines = (*SEARCHING, *DESCRIBING, *ENCODING)
    ran = run_rightless(work, place, lines)
    for (line, _), expected, found in zip(lines, ran["writable"], ran["results"], strict=True):
        assert found[0] == expected[0] == 0, (line, found, expected)
        assert without_places_and_times(found) == without_places_and_times(expected)
    assert " d7\n" in ran["results"][0][1]
    assert set(ran["changes"]) <= ({"index/catalog.sqlite-shm"} if place == DISK else set())


@pytest.mark.parametrize("version", ["of today", "of format 2"])
def test_an_index_without_sqlites_log_is_read_without_the_right_to_write(work: Path, place: str, version: str) -> None:
    index = work / "original" / "index"
    if version == "of today":
        lines = SEARCHING
        for name in LOG:
            (index / name).unlink()
    else:
        lines = (SEARCHING[0], *SEARCHING[-2:])  # it has other fields, ids and another encoder
        shutil.rmtree(index)
        shutil.copytree(OLD_INDEX, index)
    ran = run_rightless(work, place, lines)
    for (line, _), expected, found in zip(lines, ran["writable"], ran["results"], strict=True):
        assert found[0] == expected[0] == 0, (line, found, expected)
        assert without_places_and_times(found) == without_places_and_times(expected)
    assert set(ran["changes"]) <= ({"index", *(f"index/{name}" for name in LOG)} if place == DISK else set())


def test_a_commit_that_is_still_in_sqlites_log_is_read_without_the_right_to_write(work: Path, place: str) -> None:
    index = work / "original" / "index"
    with closing(sqlite3.connect(index / "catalog.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM documents").fetchone()  # so that the writer cannot empty the log
        with Index.open(index) as writer:
            writer.add([Document("d7", "cat comet", metadata={"number": 7})])
        shutil.copytree(index, work / "copy")
    shutil.rmtree(index)
    (work / "copy").rename(index)
    assert (index / LOG[0]).stat().st_size > 0
    ran = run_rightless(work, place, SEARCHING)
    for (line, _), expected, found in zip(SEARCHING, ran["writable"], ran["results"], strict=True):
        assert found[0] == expected[0] == 0, (line, found, expected)
        assert without_places_and_times(found) == without_places_and_times(expected)
    assert "cat comet" in ran["results"][0][1]


def test_sizes_are_those_of_the_files_where_folders_cannot_be_listed(work: Path) -> None:
    if missing := missing_right(USER):
        pytest.skip(missing)
    for folder in (work / "original" / name for name in ("index", "index/lexical", "index/lexical/000001")):
        folder.chmod(0o711)
    ran = run_rightless(work, USER, (*DESCRIBING, *SEARCHING))
    for expected, found in zip(ran["writable"], ran["results"], strict=True):
        assert found[0] == 0
        assert without_places_and_times(found) == without_places_and_times(expected)


def without_places_and_times(result: list) -> list[str]:
    """Return stdout and stderr without the folder of the copy and without durations."""
    time = r'[\d.]+ ms|"milliseconds": [\d.]+|[\d.]+ s \(.*/s\)'
    texts = [re.sub(time, "TIME", text) for text in result[1:]]
    return [re.sub(r"/\S*(writable|rightless)", "HOME", text) for text in texts]


@pytest.mark.parametrize("free_kib", [0, 8, 40, 100])
def test_a_first_index_on_a_full_disk_leaves_nothing_of_itself(full_disk: Path, free_kib: int) -> None:
    lines = [
        ("index {home}/corpus.txt -o {home}/new --encoder {home}/encoder", ""),
        ("index {home}/corpus.txt -o {home}/in/a/new --encoder {home}/encoder", ""),
    ]
    ran = run_rightless(full_disk, DISK, lines, free_kib=free_kib)
    for code, _, stderr in ran["results"]:
        assert code == 1
        assert is_one_line_about_room(stderr), stderr
    assert ran["changes"] == []


@pytest.mark.parametrize("free_kib", [0, 8, 40, 80, 160, 400])
def test_a_change_on_a_full_disk_succeeds_or_changes_nothing(full_disk: Path, free_kib: int) -> None:
    changes = {
        "delete {home}/index d7": -1,
        "compact {home}/index": 0,
        "reindex {home}/index --codec f32": 0,
        "add {home}/index {home}/corpus.txt": 3,
    }
    checks = ("info {home}/index --json", "verify {home}/index", "query -i {home}/index sun --mode lexical --json")
    lines = [(line, "") for change in changes for line in (change, *checks)]
    results = iter(run_rightless(full_disk, DISK, lines, free_kib=free_kib)["results"])
    n_documents = N_DOCUMENTS
    succeeded = []
    for n_added in changes.values():
        code, _, stderr = next(results)
        succeeded.append(code == 0)
        if code == 0:
            n_documents += n_added
        else:
            assert is_one_line_about_room(stderr), stderr
        info, verify, query = (next(results) for _ in checks)
        assert [info[0], verify[0], query[0]] == [0, 0, 0]
        assert json.loads(info[1])["n_documents"] == n_documents
    if free_kib == 0 or free_kib >= 160:
        assert succeeded == [free_kib > 0] * len(changes)


@pytest.mark.parametrize("free_kib", [0, 8, 4000])
def test_a_refinement_on_a_full_disk_goes_on_when_there_is_room(
    full_disk: Path, free_kib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in refining.make_limits(full_disk):
        monkeypatch.setattr(*limit)
    encoder = Encoder.load(make_tiny_encoder(full_disk / "tiny"), threads=1)
    folder = full_disk / "original" / "draft"
    Index.build(folder, refining.DOCUMENTS, encoder=encoder, draft=True, merge_policy=refining.POLICY).close()
    lines = [("refine {home}/draft", ""), ("verify {home}/draft", ""), ("info {home}/draft --json", "")]
    refine, verify, info = run_rightless(full_disk, DISK, lines, free_kib=free_kib)["results"]
    assert verify[0] == 0
    assert refine[0] == (0 if free_kib == 4000 else 1)
    assert json.loads(info[1])["n_draft"] == (0 if free_kib == 4000 else len(refining.DOCUMENTS))
    assert free_kib == 4000 or is_one_line_about_room(refine[2]), refine[2]


def is_one_line_about_room(stderr: str) -> bool:
    """Tell whether a message is one line that says what to do on a full disk."""
    return re.fullmatch(r"Error: [^\n]*(make room|check the disk)[^\n]*\n", stderr) is not None
