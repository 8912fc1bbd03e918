import gzip
import io
import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from hpdsearch.corpus import Fields, LineFormat, ReadOptions, ReadStats, read_corpus
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

FOLDER = Path(__file__).parent.parent / "data" / "corpus" / "folder"


def pack(raw: bytes) -> bytes:
    """Compress without the time of day, because pytest names a test by its parameters."""
    return gzip.compress(raw, mtime=0)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, *, strict=False, stats=None, stdin=None, **options):
    return list(read_corpus(path, ReadOptions(**options), strict=strict, stats=stats, stdin=stdin))


def texts(path, **options):
    return [document.text for document in read(path, **options)]


# ---- .txt


def test_a_txt_file_holds_one_document_a_line(tmp_path, monkeypatch):
    write(tmp_path / "a.txt", "first\nsecond\n")
    monkeypatch.chdir(tmp_path)
    assert read("a.txt") == [
        Document("a.txt:1", "first", source=f"{tmp_path}/a.txt:1"),
        Document("a.txt:2", "second", source=f"{tmp_path}/a.txt:2"),
    ]


@pytest.mark.parametrize("content", ["a\nb\n", "a\nb", "a\r\nb\r\n", "\ufeffa\nb\n", "\ufeffa\r\nb"])
def test_line_ends_and_byte_order_mark_are_not_part_of_the_text(tmp_path, content):
    assert texts(write(tmp_path / "a.txt", content)) == ["a", "b"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_other_separators_do_not_end_a_line(tmp_path, separator):
    assert texts(write(tmp_path / "a.txt", f"one{separator}line\n")) == [f"one{separator}line"]


def test_a_very_long_line_is_one_document(tmp_path):
    long = "words " * 1_000_000
    assert texts(write(tmp_path / "a.txt", long + "\nend")) == [long, "end"]


def test_empty_lines_are_skipped_and_counted(tmp_path):
    stats = ReadStats()
    documents = read(write(tmp_path / "a.txt", "one\n\n \t\nfour\n"), stats=stats)
    assert [document.doc_id.rpartition(":")[2] for document in documents] == ["1", "4"]
    assert (stats.n_documents, stats.n_empty) == (2, 2)


def test_strict_refuses_an_empty_line(tmp_path):
    path = write(tmp_path / "a.txt", "one\n\n")
    with pytest.raises(CorpusError, match=r"a\.txt:2: expected a text, got an empty document"):
        read(path, strict=True)


# ---- several files, gzip, standard input


def test_files_are_read_in_the_order_given(tmp_path):
    b, a = write(tmp_path / "b.txt", "b"), write(tmp_path / "a.jsonl", '{"id": 1, "text": "a"}')
    assert texts([b, a]) == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\ntwo\n", ["one", "two"]),
        ("a.jsonl", '{"text": "one"}\n', ["one"]),
        ("a.csv", "text\none\n", ["one"]),
        ("a.tsv", "text\tid\none\t1\n", ["one"]),
        ("A.TXT", "one\n", ["one"]),
        ("a.md", "# one\n", ["# one\n"]),
        ("a.html", "<p>one", ["one"]),
    ],
)
def test_each_format_is_also_read_compressed(tmp_path, name, content, expected):
    assert texts(write(tmp_path / name, content)) == expected
    assert texts(write(tmp_path / f"{name}.gz", gzip.compress(content.encode()))) == expected


def test_standard_input_holds_texts():
    assert read("-", stdin=io.BytesIO(b"one\ntwo\n")) == [
        Document("stdin:1", "one", source="stdin:1"),
        Document("stdin:2", "two", source="stdin:2"),
    ]


@pytest.mark.parametrize(
    ("line_format", "content"),
    [
        (LineFormat.JSONL, b'{"id": "x", "text": "one"}'),
        (LineFormat.CSV, b"id,text\nx,one"),
        (LineFormat.TSV, b"id\ttext\nx\tone"),
    ],
)
def test_standard_input_holds_records(line_format, content):
    (document,) = read("-", stdin=io.BytesIO(content), stdin_format=line_format)
    assert (document.doc_id, document.text) == ("x", "one")


def test_standard_input_is_that_of_the_process(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n")))
    assert texts("-") == ["one"]


def write_fifo(path, content):
    """Make a FIFO and write to it from a thread, which ends when the content is read."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,), daemon=True)
    writer.start()
    return writer


@pytest.mark.parametrize(
    ("name", "line_format", "content"),
    [
        ("pipe", LineFormat.TXT, b"one\n"),
        ("pipe", LineFormat.JSON, b'[{"text": "one"}]'),
        ("pipe.tmp", LineFormat.CSV, b"text\none"),
        ("pipe.jsonl", LineFormat.TXT, b'{"text": "one"}'),
        ("pipe.ndjson.gz", LineFormat.TXT, pack(b'{"text": "one"}')),
        ("pipe.html", LineFormat.TXT, b"<p>one"),
    ],
)
def test_a_fifo_is_read_by_its_ending_or_as_standard_input(tmp_path, name, line_format, content):
    writer = write_fifo(tmp_path / name, content)
    stats = ReadStats()
    documents = read_corpus(tmp_path / name, ReadOptions(stdin_format=line_format), stats=stats)
    assert [(document.text, stats.bytes_read) for document in documents] == [("one", 0)]
    assert stats.bytes_total is None
    writer.join()


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
@pytest.mark.parametrize("through_pipe", [True, False])
def test_the_names_of_standard_input_are_read_in_its_format(tmp_path, path, through_pipe):
    if not Path(path).exists():
        pytest.skip(f"this system has no {path}")
    content = '{"text": "one"}\n'
    script = (
        "import sys; from hpdsearch.corpus import *\n"
        "print([d.text for d in read_corpus(sys.argv[1], ReadOptions(stdin_format=LineFormat.JSONL))])"
    )
    with write(tmp_path / "content", content).open() as file:
        source = {"input": content} if through_pipe else {"stdin": file}
        child = subprocess.run(
            [sys.executable, "-c", script, path], capture_output=True, text=True, check=True, **source
        )
    assert child.stdout == "['one']\n"


# ---- progress


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_bytes_read_grow_to_bytes_total(tmp_path, name):
    content = os.urandom(500_000).hex().encode()
    lines = b"\n".join(content[i : i + 100] for i in range(0, len(content), 100))
    path = write(tmp_path / name, gzip.compress(lines) if name.endswith(".gz") else lines)
    other = write(tmp_path / "b.txt", "other\n")
    stats = ReadStats()
    documents = read_corpus([path, other], stats=stats)
    assert stats.bytes_total == path.stat().st_size + 6
    seen = [stats.bytes_read for _ in documents]
    assert seen == sorted(seen)
    assert seen[0] < stats.bytes_total * 0.3
    assert any(0.4 < n / stats.bytes_total < 0.6 for n in seen)
    assert stats.bytes_read == stats.bytes_total


def test_the_size_of_standard_input_is_unknown():
    stats = ReadStats()
    read("-", stdin=io.BytesIO(b"one\n"), stats=stats)
    assert stats.bytes_total is None


def test_files_are_read_lazily(tmp_path):
    path = write(tmp_path / "a.txt", "one\n" * 1_000_000)
    stats = ReadStats()
    next(read_corpus(path, stats=stats))
    assert stats.bytes_read < 200_000


# ---- folders


def test_a_folder_holds_a_document_a_file():
    stats = ReadStats()
    documents = read(FOLDER, stats=stats)
    assert [(document.doc_id, document.title) for document in documents] == [
        ("README.md", "Harbour guide"),
        ("guide/page.html", "The old harbour"),
        ("guide/tides.rst", "Tides"),
        ("notes.txt", ""),
    ]
    assert documents[3].text == "Plain notes about\nthe lighthouse.\n"
    assert documents[3].source == str(FOLDER / "notes.txt")
    assert stats.other_files == {".csv": 1}
    assert stats.n_hidden == 1
    assert stats.bytes_read == stats.bytes_total == sum((FOLDER / d.doc_id).stat().st_size for d in documents)


def test_a_folder_is_sorted_by_path(tmp_path):
    for name in ("b/z.txt", "b.txt", "a.txt", "b/a.txt", "a/c.txt", "B.txt"):
        write(tmp_path / name, name)
    assert texts(tmp_path) == ["B.txt", "a/c.txt", "a.txt", "b/a.txt", "b/z.txt", "b.txt"]


def test_compressed_pages_of_a_folder_are_read(tmp_path):
    write(tmp_path / "README.md.gz", gzip.compress(b"# Title\n"))
    write(tmp_path / "changelog.gz", gzip.compress(b"not a page"))
    stats = ReadStats()
    (document,) = read(tmp_path, stats=stats)
    assert (document.doc_id, document.title) == ("README.md.gz", "Title")
    assert stats.other_files == {".gz": 1}


def test_a_file_of_a_type_found_in_folders_can_be_given_itself(tmp_path, monkeypatch):
    write(tmp_path / "guide.md", "# Title\n\nText.")
    monkeypatch.chdir(tmp_path)
    (document,) = read("guide.md")
    assert (document.doc_id, document.text, document.title) == ("guide.md", "# Title\n\nText.", "Title")
    assert document.source == f"{tmp_path}/guide.md"


def test_links_to_folders_are_not_followed_and_links_to_files_are(tmp_path):
    write(tmp_path / "corpus" / "a.txt", "a")
    outside = write(tmp_path / "outside" / "b.txt", "b")
    (tmp_path / "corpus" / "loop").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus" / "folder").symlink_to(outside.parent)
    (tmp_path / "corpus" / "file.txt").symlink_to(outside)
    (tmp_path / "corpus" / "nothing.txt").symlink_to(tmp_path / "missing")
    stats = ReadStats()
    assert texts(tmp_path / "corpus", stats=stats) == ["a", "b"]
    assert stats.n_links == 3


def test_a_folder_that_is_a_link_itself_is_read(tmp_path):
    write(tmp_path / "corpus" / "a.txt", "a")
    (tmp_path / "link").symlink_to(tmp_path / "corpus")
    assert texts(tmp_path / "link") == ["a"]


def test_a_pipe_in_a_folder_does_not_hang(tmp_path):
    write(tmp_path / "a.txt", "a")
    os.mkfifo(tmp_path / "pipe.txt")
    assert texts(tmp_path) == ["a"]


# ---- errors


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"ok\nnot \xff utf-8\n", "a.txt:2: expected UTF-8, got the byte 0xff at offset 7 of the file"),
        ("a.txt", b"\xef\xbb\xbfok\nnot \xff", "a.txt:2: expected UTF-8, got the byte 0xff at offset 10 of the file"),
        ("a.txt.gz", pack(b"ok\nnot \xff"), "a.txt.gz:2: expected UTF-8, got the byte 0xff at offset 7"),
        ("a.md", b"ok\nnot \xff", "a.md:2: expected UTF-8, got the byte 0xff at offset 7 of the file"),
        ("a.txt", "text".encode("utf-16-le"), "a.txt:1: expected text, got a NUL byte at offset 1; leave out binary"),
        ("a.txt", b"ok\nbin\0ary\n", "a.txt:2: expected text, got a NUL byte at offset 6; leave out binary files"),
        ("a.csv", b"id,text\n1,a\0b\n", "a.csv:2: expected text, got a NUL byte at offset 11"),
        ("a.html", b"<p>a\0b", "a.html: expected an HTML page, got a NUL character"),
        ("a.txt", pack(b"ok"), "a.txt:1: expected text, got gzip; name the file .gz, or decompress it"),
        ("a.json", pack(b"[]"), "a.json:1: expected text, got gzip; name the file .gz, or decompress it"),
        ("a.txt.gz", b"no gzip", "a.txt.gz: expected a gzip file, got other bytes or a damaged file"),
        ("a.txt.gz", pack(b"one\n" * 9)[:-9], "a.txt.gz: expected a complete gzip file, got one that is"),
        ("a.txt", b"", "a.txt: expected documents, got none"),
        ("a.txt", b"\n \n", "a.txt: expected documents, got only empty ones (2)"),
        ("a.csv", b"", "a.csv: expected documents, got none"),
        ("a.csv", b"id,text\n", "a.csv: expected documents, got none"),
        ("a.bin", b"", 'a.bin: expected a file ending in .txt .jsonl .ndjson .json .csv .tsv .md .rst .html .htm'),
        ("a.parquet.gz", b"", "a.parquet.gz: expected a file ending in"),
        ("corpus", b"", "corpus: expected a file ending in"),
    ],
)  # fmt: skip
def test_wrong_contents_are_refused(tmp_path, monkeypatch, name, content, message):
    write(tmp_path / name, content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError) as error:
        read(name)
    assert str(error.value).startswith(message)


def test_damage_in_the_middle_of_a_gzip_file_names_the_last_line(tmp_path):
    lines = b"".join(zlib.crc32(b"%d" % i).to_bytes(4, "big").hex().encode() + b"\n" for i in range(100_000))
    packed = bytearray(gzip.compress(lines))
    packed[len(packed) // 2 : len(packed) // 2 + 100] = bytes(100)
    path = write(tmp_path / "a.txt.gz", bytes(packed))
    stats = ReadStats()
    with pytest.raises(CorpusError, match=r"damaged or truncated after line \d+") as error:
        read(path, stats=stats)
    assert f"after line {stats.n_documents + stats.n_empty} " in str(error.value)


def test_a_missing_file_is_refused_at_once(tmp_path):
    good = write(tmp_path / "a.txt", "a")
    with pytest.raises(CorpusError, match=r"missing\.txt: expected a file or folder, got: No such file"):
        read_corpus([good, tmp_path / "missing.txt"])


def test_no_path_is_refused():
    with pytest.raises(CorpusError, match="expected at least one file"):
        read_corpus([])


def test_the_error_for_a_folder_without_documents_lists_its_files(tmp_path):
    write(tmp_path / "a.bin", "x")
    write(tmp_path / "b.bin", "x")
    write(tmp_path / "Makefile", "x")
    with pytest.raises(CorpusError, match=r"documents and source code are read.*\(2 \.bin, 1 without ending\)"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path):
    path = write(tmp_path / "a.txt", "a")
    path.chmod(0)
    with pytest.raises(CorpusError, match=r"a\.txt: cannot be read: Permission denied"):
        read(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_refused(tmp_path):
    write(tmp_path / "a.txt", "a")
    write(tmp_path / "inner" / "b.txt", "b").parent.chmod(0)
    try:
        with pytest.raises(CorpusError, match=r"inner: expected a readable folder"):
            read(tmp_path)
    finally:
        (tmp_path / "inner").chmod(0o700)


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("a")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    with pytest.raises(CorpusError, match="expected a file name in UTF-8"):
        read(tmp_path)


def test_a_file_that_vanishes_after_it_was_listed_is_refused(tmp_path):
    path = write(tmp_path / "a.txt", "a")
    documents = read_corpus(path)
    path.unlink()
    with pytest.raises(CorpusError, match=r"a\.txt: cannot be read: No such file"):
        list(documents)


def test_fields_are_ignored_for_plain_text(tmp_path):
    assert texts(write(tmp_path / "a.txt", "a"), fields=Fields(id_field="x", text_field="y")) == ["a"]
