"""`on_error`: an error stops before anything is read, or leaves out exactly the bad record, line or file."""

import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hpdsearch.corpus import OnError, ReadOptions, ReadStats, read_corpus
from hpdsearch.corpus.read_source import CHECKED_RECORDS, CHECKED_SIZE
from hpdsearch.corpus.skipping import MAX_REASONS
from hpdsearch.errors import CorpusError

DEEP = "[" * 100_000
GOOD = ["one", "two", "three"]


@pytest.fixture(autouse=True)
def work_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def skip(*paths: str, stats: ReadStats | None = None, **options: object) -> tuple[list[str], list[str]]:
    """Return the texts of a corpus and the reasons of what was skipped."""
    stats = ReadStats() if stats is None else stats
    reader = read_corpus(paths, ReadOptions(on_error=OnError.SKIP, **options), stats=stats)  # type: ignore[arg-type]
    texts = [document.text for document in reader]
    assert stats.skipped.count == len(stats.skipped.reasons)
    return texts, stats.skipped.reasons


def write(name: str, content: str | bytes) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    Path(name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return name


@pytest.fixture
def other_user(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work as a user without root's rights in a folder of this user."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs POSIX permissions")
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield
        finally:
            if is_root:
                os.seteuid(0)
            monkeypatch.undo()


# ---- one bad record

BAD_OBJECTS = {
    "no object": ("5", "expected a JSON object"),
    "a list": ('["a", {"text": "b"}]', "expected a JSON object"),
    "null": ("null", "expected a JSON object"),
    "no JSON": ("{text: 1}", "expected a JSON object, got an error"),
    "a comma too many": ('{"text": "b",}', "expected a JSON object, got an error"),
    "no text": ('{"body": "b"}', 'expected a "text" string, got the fields body'),
    "a number as text": ('{"text": 5}', 'expected a "text" string, got the number 5'),
    "a list as title": ('{"text": "b", "title": []}', 'expected a "title" string, got a list'),
    "a float as id": ('{"text": "b", "id": 1.0}', 'expected an "id" string or integer'),
    "a blank id": ('{"text": "b", "id": " "}', 'expected an "id" with characters in it'),
    "two ids": ('{"text": "b", "id": 1, "_id": 2}', 'expected "id" or "_id", got both'),
    "a name twice": ('{"text": "b", "text": "c"}', 'got "text" twice in one object'),
    "not a number": ('{"text": "b", "x": NaN}', "expected a finite number"),
    "infinity": ('{"text": "b", "x": 1e999}', "expected a finite number"),
    "half a surrogate pair": (r'{"text": "b\ud800", "x": "]}"}', "got half of a surrogate pair"),
    "an escaped NUL": (r'{"text": "b\u0000"}', "got a NUL character"),
    "depth": ('{"text": "b", "x": ' + DEEP + "]" * 100_000 + "}", "nested too deeply"),
    "a long integer": ('{"text": "b", "x": ' + "1" * 5000 + "}", "Exceeds the limit"),
    "brackets in strings": (r'{"text": "b\"]}[{", "x": NaN}', "expected a finite number"),
    "bytes that are no text": ('{"text": "caf\udce9"}', "expected "),
    "a NUL byte": ('{"text": "a\0b"}', "expected "),
}  # fmt: skip


def join(name: str, objects: list[str]) -> bytes:
    separator = "\n" if name in ("a.jsonl", "a.ndjson.gz", "lines.json") else ", "
    text = separator.join(objects)
    return (f"[{text}]" if separator == ", " else text).encode(errors="surrogateescape")


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson.gz", "a.json", "a.json.gz", "lines.json"])
@pytest.mark.parametrize("bad", BAD_OBJECTS)
def test_a_bad_object_is_left_out_and_the_others_are_read(name: str, bad: str) -> None:
    content, message = BAD_OBJECTS[bad]
    good = [json.dumps({"text": text}) for text in GOOD]
    write(name, join(name, [good[0], content, good[1], content, good[2]]))
    stats = ReadStats()
    texts, reasons = skip(name, stats=stats)
    assert texts == GOOD
    assert [message in reason for reason in reasons] == [True, True], reasons
    place = "record " if name.removesuffix(".gz").endswith(".json") else f"{name}:"
    assert (f"{place}2" in reasons[0], f"{place}4" in reasons[1]) == (True, True), reasons
    assert stats.n_documents == 3
    with pytest.raises(CorpusError):
        list(read_corpus(name))


def test_a_skipped_object_keeps_its_number() -> None:
    write("a.json", '[{"text": "one"}, 5, {"text": "two"}]')
    reader = read_corpus("a.json", ReadOptions(on_error=OnError.SKIP))
    assert [document.doc_id for document in reader] == ["a.json:1", "a.json:3"]


@pytest.mark.parametrize("n_characters", [2, 3, 7, 1000])
def test_a_bad_object_is_left_out_wherever_the_text_is_cut(monkeypatch: pytest.MonkeyPatch, n_characters: int) -> None:
    monkeypatch.setattr("hpdsearch.corpus.lines.BUFFER_BYTES", n_characters)
    good = [json.dumps({"text": text}) for text in GOOD]
    for content, _ in (BAD_OBJECTS[name] for name in BAD_OBJECTS if name not in ("depth", "a long integer")):
        write("a.json", join("a.json", [good[0], content, good[1], good[2]]))
        assert skip("a.json")[0] == GOOD, content


@pytest.mark.parametrize(
    ("content", "texts", "message"),
    [
        ('[{"text": "one"}, {"text": "two"} {"text": "x"}]', ["one", "two"], "expected ,, got '{\"text"),
        ('[{"text": "one"}, {"text": "tw', ["one"], "characters skipped"),
        ('[{"text": "one"}] x', ["one"], "expected the end of the file, got 'x'"),
        ('[{"text": "one"}, {"text": "x}, {"text": "y"}]', ["one"], "28 characters skipped"),
        ('{"text": "one"}, {"text": "two"}', ["one", "two"], "expected a JSON object, got ', {"),
        ('{"text": "one"} junk {"text": "two"}', ["one", "two"], "(5 characters skipped)"),
    ],
)
def test_wrong_structure_costs_what_follows_and_is_named(content: str, texts: list[str], message: str) -> None:
    write("a.json", content)
    read, reasons = skip("a.json")
    assert read == texts
    assert any(message in reason for reason in reasons), reasons


TABLES = {
    "too many cells": ("a.csv", "text,n\none,1\nx,1,2\ntwo,2\nthree,3\n", "a.csv:3: expected 2 cells as in the header"),
    "too few cells": ("a.tsv", "text\tn\none\t1\nx\ntwo\t2\nthree\t3\n", "a.tsv:3: expected 2 cells as in the header"),
    "wrong quotes": ("a.csv", 'text,n\none,1\n"x" y,2\ntwo,2\nthree,3\n', "a.csv:3: expected cells that are quoted"),
    "a blank id": ("a.csv", "text,id\none,1\nx,\ntwo,2\nthree,3\n", 'a.csv:3: expected an "id" with characters'),
    "bad bytes": ("a.csv", b"text,n\none,1\ncaf\xe9,1\ntwo,2\nthree,3\n", "a.csv:3: expected UTF-8"),
    "bad bytes in a cell of several lines": (
        "a.csv", b'text,n\none,1\n"x\ncaf\xe9\ny",1\ntwo,2\nthree,3\n', "a.csv:4: expected UTF-8",
    ),
    "bad bytes and wrong quotes": ("a.csv", b'text,n\none,1\n"\xe9" y,2\ntwo,2\nthree,3\n', "a.csv:3: expected cells"),
    "bad bytes without quoting": ("a.tsv", b"text\tn\none\t1\n\xe9\t1\ntwo\t2\nthree\t3\n", "a.tsv:3: expected UTF-8"),
    "a NUL": ("a.csv", b"text,n\none,1\nx\0,1\ntwo,2\nthree,3\n", "a.csv:3: expected text, got a NUL byte"),
    "a line of text": ("a.txt", b"one\ncaf\xe9\ntwo\nthree", "a.txt:2: expected UTF-8, got the byte 0xe9 at offset 7"),
    "a NUL in a line": ("a.txt.gz", b"one\n\0\ntwo\nthree", "a.txt.gz:2: expected text, got a NUL byte at offset 4"),
}  # fmt: skip


@pytest.mark.parametrize("bad", TABLES)
def test_a_bad_row_or_line_is_left_out_and_the_others_are_read(bad: str) -> None:
    name, content, message = TABLES[bad]
    write(name, content)
    texts, reasons = skip(name)
    assert texts == GOOD
    assert len(reasons) == 1
    assert reasons[0].startswith(message)
    with pytest.raises(CorpusError):
        list(read_corpus(name))


def test_a_quote_that_is_never_closed_names_the_lines_that_it_swallowed() -> None:
    write("a.csv", 'text,n\none,1\n"x,1\ntwo,2\nthree,3\n')
    texts, (reason,) = skip("a.csv")
    assert texts == ["one"]
    assert reason.startswith("a.csv:3: expected cells that are quoted as in RFC 4180, got unexpected end of data")
    assert "(in line 5)" in reason


# ---- one bad file


def make_unreadable(name: str) -> None:
    Path(name).unlink()
    Path(name).symlink_to("/proc/self/mem")  # it can be opened, but its first page cannot be read, not even by root


BAD_FILES = {
    "Latin-1": ("b.md", b"# caf\xe9\n", "b.md:1: expected UTF-8, got the byte 0xe9"),
    "binary": ("b.txt", b"a\0b", "b.txt:1: expected text, got a NUL byte"),
    "no gzip": ("b.jsonl.gz.bad", b"text", "expected a file ending in"),
    "another type": ("b.bin", b"x", "b.bin: expected a file ending in"),
    "no header": ("b.csv", b"body\nx\n", 'b.csv:1: expected a column "text"'),
    "a header of bad bytes": ("b.csv", b"text,caf\xe9\nx,1\n", "b.csv:1: expected UTF-8"),
    "a header with wrong quotes": ("b.csv", b'"text" x\ntext\nx\n', "b.csv:1: expected cells that are quoted"),
    "a page that is not as it declares": ("b.html", b"<meta charset=utf-8>\xe9", "b.html:1: expected utf-8 as the"),
    "no Parquet": ("b.parquet", b"PAR1", "b.parquet: expected a Parquet file"),
    "a missing file": ("b.txt", None, "b.txt: expected a file or folder, got: No such file"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD_FILES)
def test_a_bad_file_is_left_out_and_named_or_stops_before_anything_is_read(bad: str) -> None:
    name, content, message = BAD_FILES[bad]
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    if content is not None:
        write(name, content)
    write("a.txt", "one\n")
    write("c.txt", "two\nthree\n")
    stats = ReadStats()
    texts, (reason,) = skip("a.txt", name, "c.txt", stats=stats)
    assert texts == GOOD
    assert reason.startswith(message) or message in reason
    assert stats.locations_skipped == {str(Path(name).resolve())}
    with pytest.raises(CorpusError) as error:
        read_corpus(["a.txt", name, "c.txt"])  # nothing is consumed
    assert str(error.value) == reason


def test_a_truncated_gzip_file_gives_the_records_before_its_end() -> None:
    lines = [f"line {n} {n * n}" for n in range(20_000)]
    write("a.txt.gz", "\n".join(lines))
    Path("a.txt.gz").write_bytes(Path("a.txt.gz").read_bytes()[:-20_000])
    stats = ReadStats()
    texts, (reason,) = skip("a.txt.gz", stats=stats)
    assert 0 < len(texts) < len(lines)
    assert texts == lines[: len(texts)]
    assert "damaged or truncated after line" in reason
    assert reason.endswith("(the rest of the file is skipped)")
    assert stats.locations_skipped == {str(Path("a.txt.gz").resolve())}


def test_one_latin_1_note_among_300_is_left_out() -> None:
    for number in range(300):
        write(f"notes/{number:03}.md", f"# Note {number}\n")
    write("notes/077.md", b"# caf\xe9\n")
    texts, (reason,) = skip("notes")
    assert len(texts) == 299
    assert reason.startswith("notes/077.md:1: expected UTF-8")
    with pytest.raises(CorpusError, match=r"notes/077\.md:1: expected UTF-8"):
        read_corpus("notes")


def test_a_file_that_vanishes_is_left_out() -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        write(f"notes/{name}", name)
    stats = ReadStats()
    reader = read_corpus("notes", ReadOptions(on_error=OnError.SKIP), stats=stats)
    Path("notes/b.txt").unlink()
    assert [document.text for document in reader] == ["a.txt", "c.txt"]
    assert stats.skipped.reasons == ["notes/b.txt: cannot be read: No such file or directory"]
    assert stats.locations_skipped == {str(Path("notes/b.txt").resolve())}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/mem stands for a file that cannot be read")
def test_a_file_that_cannot_be_read_is_left_out() -> None:
    write("a.txt", "one")
    write("b.txt", "")
    make_unreadable("b.txt")
    write("notes/c.md", "two")
    write("notes/d.md", "three")
    texts, (reason,) = skip("a.txt", "b.txt", "notes", stats=ReadStats())
    assert (texts, reason) == (GOOD, "b.txt: cannot be read: Input/output error")
    with pytest.raises(CorpusError, match=r"b\.txt: cannot be read"):
        read_corpus(["a.txt", "b.txt"])


def test_a_file_name_that_is_not_utf8_is_left_out() -> None:
    write("notes/a.md", "one")
    try:
        Path(os.fsdecode(b"notes/caf\xe9.md")).write_text("x")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    stats = ReadStats()
    texts, (reason,) = skip("notes", stats=stats)
    assert texts == ["one"]
    assert reason == r"b'notes/caf\xe9.md': expected a file name in UTF-8; rename the file"
    assert stats.locations_skipped == {f"{Path.cwd().resolve()}/notes/caf\\xe9.md"}


def test_unreadable_folders_and_files_are_left_out_and_named(other_user: None) -> None:
    write("notes/a.md", "one")
    write("notes/b.md", "x")
    write("notes/deep/c.md", "x")
    write("notes/listed/d.md", "x")
    Path("notes/b.md").chmod(0)
    Path("notes/deep").chmod(0)
    Path("notes/listed").chmod(0o400)  # its files have names, but nothing else
    stats = ReadStats()
    try:
        texts, reasons = skip("notes", stats=stats)
        with pytest.raises(CorpusError, match=r"expected a readable folder|cannot be read"):
            read_corpus("notes")
    finally:
        Path("notes/deep").chmod(0o700)
        Path("notes/listed").chmod(0o700)
    assert texts == ["one"]
    assert sorted(reason.split(":")[0] for reason in reasons) == ["notes/b.md", "notes/deep", "notes/listed/d.md"]
    assert stats.n_links == 0
    root = Path.cwd().resolve() / "notes"
    assert stats.locations_skipped == {f"{root}/b.md", f"{root}/deep", f"{root}/listed/d.md"}


def test_a_corpus_of_which_all_is_skipped_is_an_error_that_says_so() -> None:
    write("a.txt", b"\xff\n\xfe\n")
    with pytest.raises(CorpusError, match=r"got only what cannot be read \(2 skipped\); the first: a\.txt:1: expected"):
        skip("a.txt")


def test_the_reasons_are_bounded_and_the_count_is_not() -> None:
    write("a.txt", b"\xff\n" * 1000 + b"one\n")
    stats = ReadStats()
    assert len(list(read_corpus("a.txt", ReadOptions(on_error=OnError.SKIP), stats=stats))) == 1
    assert (stats.skipped.count, len(stats.skipped.reasons)) == (1000, MAX_REASONS)


def test_strict_and_skip_are_refused() -> None:
    write("a.txt", "one")
    with pytest.raises(CorpusError, match="--strict and --on-error skip: expected one of them, got both"):
        read_corpus("a.txt", ReadOptions(on_error=OnError.SKIP), strict=True)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_options_that_name_missing_fields_cost_no_documents(name: str) -> None:
    write(name, '{"text": "one"}\n{"text": "two"}')
    texts, reasons = skip(name, columns=("lang",))
    assert (texts, len(reasons)) == (["one", "two"], 1)
    assert 'expected a field "lang" (--columns), got no record with it' in reasons[0]


# ---- the check before anything is read


def test_the_check_reads_the_first_records_of_every_file_and_no_more() -> None:
    good = '{"text": "one"}\n'
    write("a.jsonl", good * (CHECKED_RECORDS - 1) + "bad\n")
    with pytest.raises(CorpusError, match=rf"a\.jsonl:{CHECKED_RECORDS}: expected a JSON object"):
        read_corpus("a.jsonl")
    write("a.jsonl", good * CHECKED_RECORDS + "bad\n")
    reader = read_corpus("a.jsonl")
    with pytest.raises(CorpusError, match=rf"a\.jsonl:{CHECKED_RECORDS + 1}: expected a JSON object"):
        list(reader)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux, which counts the bytes that are read")
@pytest.mark.parametrize(
    ("name", "begin", "part"),
    [
        ("a.txt", "", "words \n"),
        ("a.jsonl", "", '{"text": "words"}\n'),
        ("a.json", "[", '{"text": "words"},'),
        ("b.json", '{"text": "', "words "),
        ("c.json", '{"data": [{"text": "', "words "),
        ("a.csv", "text\n", "words\n"),
        ("b.csv", 'text\n"', "words\n"),
        ("a.md", "", "words "),
        ("b.md", "", "words\n"),
        ("a.html", "<p>", "wörds "),
    ],
)
def test_the_check_reads_only_the_beginning_of_a_big_file(name: str, begin: str, part: str) -> None:
    write(name, begin + part)
    with suppress(CorpusError):
        read_corpus(name)  # imports the modules of the format
    write(name, begin + part * 300_000)
    before = count_bytes_read()
    read_corpus(name)
    assert count_bytes_read() - before < 4 * CHECKED_SIZE < Path(name).stat().st_size / 5


def count_bytes_read() -> int:
    """Return the bytes that this process has read, by the count of the kernel."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_streams_are_not_checked() -> None:
    os.mkfifo("a.jsonl")
    read_corpus("a.jsonl")  # a check would wait for a writer
