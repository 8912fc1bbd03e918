"""Byte order marks, encodings that the user names, and bytes that are not of them."""

import gzip
import io
import json
from pathlib import Path

import pytest

from hpdsearch.corpus import Fields, LineFormat, ReadOptions, read_corpus
from hpdsearch.corpus.encodings import normalize_encoding
from hpdsearch.corpus.lines import SourceLocation, read_text_lines
from hpdsearch.errors import CorpusError

TEXTS = ["Möwe \u20ac \u2028 x", "\u0a0d\u0d0a \U00010a0a", "last"]  # code units that contain the bytes of \r and \n
CONTENTS = {
    "a.txt": "\n".join(TEXTS),
    "crlf.txt": "\r\n".join(TEXTS) + "\r\n",
    "a.jsonl": "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS),
    "a.ndjson": "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS),
    "a.json": json.dumps([{"text": text} for text in TEXTS], ensure_ascii=False, indent=1),
    "a.csv": "text,n\n" + "".join(f'"{text}",1\n' for text in TEXTS),
    "a.tsv": "n\ttext\n" + "".join(f"1\t{text}\n" for text in TEXTS),
    "a.md": "# " + "\n".join(TEXTS),
    "a.rst": "\n".join(TEXTS),
    "a.html": f"<title>{TEXTS[0]}</title><p>{TEXTS[1]}</p>",
}
MARKS = {
    "utf-8": b"\xef\xbb\xbf",
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
    "utf-32-le": b"\xff\xfe\0\0",
    "utf-32-be": b"\0\0\xfe\xff",
}


def read(path: Path, **options: object) -> list[tuple[str, str, str]]:
    documents = read_corpus(path, ReadOptions(**options))  # type: ignore[arg-type]
    return [(document.doc_id, document.text, document.title) for document in documents]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_byte_order_mark_decides_the_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, encoding: str, compressed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"{name}.gz" if compressed else name)

    def write(raw: bytes) -> None:
        path.write_bytes(gzip.compress(raw) if compressed else raw)

    write(CONTENTS[name].encode())
    expected = read(path)
    assert len(expected) in (1, len(TEXTS))
    write(MARKS[encoding] + CONTENTS[name].encode(encoding))
    assert read(path) == expected
    assert read(path, encoding="cp1252") == expected  # the mark comes first
    write(CONTENTS[name].encode(encoding))
    assert read(path, encoding=encoding) == expected  # without a mark, the option decides


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso-8859-15", "mac-roman", "gb18030", "shift_jis", "utf-7"])
@pytest.mark.parametrize("name", CONTENTS)
def test_the_encoding_can_be_named(tmp_path: Path, name: str, encoding: str) -> None:
    texts = ["震动", "ソ表"] if encoding in ("gb18030", "shift_jis", "utf-7") else ["Möwe", "über"]
    content = CONTENTS[name]
    for text, other in zip(TEXTS, [*texts, "last"], strict=True):
        content = content.replace(text, other)
    if encoding == "shift_jis":
        content = content.replace("震动", "震動")
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    expected = read(path)
    path.write_bytes(content.encode(encoding))
    assert read(path, encoding=encoding) == expected


@pytest.mark.parametrize("line_format", list(LineFormat))
def test_standard_input_is_decoded_by_its_mark_and_by_the_option(line_format: LineFormat) -> None:
    content = CONTENTS[f"a.{line_format.value}"]

    def read_stdin(raw: bytes, encoding: str | None = None) -> list[str]:
        options = ReadOptions(stdin_format=line_format, encoding=encoding)
        return [document.text for document in read_corpus("-", options, stdin=io.BytesIO(raw))]

    expected = read_stdin(content.encode())
    assert len(expected) == len(TEXTS)
    for encoding, mark in MARKS.items():
        assert read_stdin(mark + content.encode(encoding)) == expected
        assert read_stdin(content.encode(encoding), encoding) == expected


def test_a_line_longer_than_every_buffer_is_decoded(tmp_path: Path) -> None:
    text = "\U0001f600ö" * 100_000
    (tmp_path / "a.txt").write_bytes(f"\ufeff{text}\n{text}x".encode("utf-16-be"))
    assert [text for _, text, _ in read(tmp_path / "a.txt")] == [text, f"{text}x"]


def test_lines_are_numbered_and_byte_order_marks_inside_are_kept() -> None:
    location = SourceLocation("a")
    lines = []
    for line in read_text_lines(io.BytesIO("\ufeffa\n\n\ufeffb".encode("utf-16-le")), location):
        lines.append((location.line, line))
    assert lines == [(1, "a\n"), (2, "\n"), (3, "\ufeffb")]


@pytest.mark.parametrize(
    ("name", "raw", "encoding", "message"),
    [
        ("a.txt", b"ok\ncaf\xe9\n", None, "a.txt:2: expected UTF-8, got the byte 0xe9 at offset 6 of the file; con"),
        ("a.txt", b"ok\ncaf\xe9\n", None, "name its encoding (--encoding latin-1), or leave it out (--on-error skip)"),
        ("a.txt", b"ok\n\x81\n", "cp1252", "a.txt:2: expected CP1252, got the byte 0x81; convert the file"),
        ("a.txt", b"\xff\xfea\0\n\0\0\xd8x\0", None, "a.txt:2: expected UTF-16, got the byte 0x00"),
        ("a.txt", b"\xff\xfea\0b", None, "a.txt:1: expected UTF-16, got the byte 0x62"),  # half a code unit
        ("a.json", b'[{"text": "a"},\n{"text": "\x81"}]', "cp1252", "a.json:2: expected CP1252, got the byte 0x81"),
        ("a.csv", b"text\nok\n\x81\n", "cp1252", "a.csv:3: expected CP1252, got the byte 0x81"),
        ("a.md", b"ok\n\x81\n", "cp1252", "a.md:2: expected CP1252, got the byte 0x81"),
        ("a.html", b"ok\n\x81\n", "cp1252", "a.html:2: expected cp1252 as --encoding says, got the byte 0x81"),
        ("a.html", b"\xef\xbb\xbfok\n\x81\n", None, "a.html:2: expected utf-8 as its byte order mark states"),
        ("a.txt", "a b".encode("utf-16-le"), None, "a.txt:1: expected text, got a NUL byte at offset 1; leave out "
         "binary files, or name the encoding, as in --encoding utf-16-le"),
    ],
)  # fmt: skip
def test_bytes_that_are_not_of_the_encoding_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, raw: bytes, encoding: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(raw)
    with pytest.raises(CorpusError) as error:
        list(read_corpus(name, ReadOptions(encoding=encoding)))
    assert message in str(error.value)


def test_the_named_encoding_comes_before_the_declared_one(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes("<meta charset=utf-8><p>Möwe".encode("latin-1"))
    assert [text for _, text, _ in read(tmp_path / "a.html", encoding="latin-1")] == ["Möwe"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "no",
        "base64",
        "rot13",
        "zlib",
        "undefined",
        "idna",
        "punycode",
        "unicode_escape",
        "a\0b",
        "\udcff",
        "x" * 9999,
    ],
)
def test_an_unknown_encoding_is_refused(name: str) -> None:
    with pytest.raises(
        CorpusError, match="--encoding: expected an encoding such as utf-8, utf-16, latin-1 or cp1252, got"
    ):
        ReadOptions(encoding=name)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", CONTENTS)
def test_an_encoding_that_needs_a_mark_is_refused_without_one(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(CONTENTS[name].encode(f"{encoding}-le"))
    options = ReadOptions(encoding=encoding)
    with pytest.raises(CorpusError, match=f"expected a byte order mark, .* got none; .* --encoding {encoding}-le or "):
        read_corpus(tmp_path / name, options)
    (tmp_path / name).write_bytes(CONTENTS[name].encode(encoding))  # Python writes the mark
    assert len(list(read_corpus(tmp_path / name, options))) in (1, len(TEXTS))


def test_an_encoding_has_many_names() -> None:
    assert {normalize_encoding(name) for name in ("latin-1", "LATIN1", "iso-8859-1", "l1", "iso8859_1")} == {
        "iso8859-1"
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": null, "id": "x"}\n{"text": "b", "title": null}'),
        ("a.json", '[{"text": null, "id": "x"}, {"text": "b", "title": null}]'),
    ],
)
def test_a_text_of_null_is_an_empty_text(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    reader = read_corpus(tmp_path / name, keep_empty=True)
    assert [(document.text, document.title) for document in reader] == [("", ""), ("b", "")]
    assert reader.stats.n_empty == 1


def test_a_text_inside_a_null_object_is_null_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    fields = Fields(text_field="body.text")
    path.write_text('{"body": null}\n{"body": {"text": null}}\n{"body": {"text": "a"}}\n')
    assert [document.text for document in read_corpus(path, ReadOptions(fields), keep_empty=True)] == ["", "", "a"]
    path.write_text('{"body": {}}\n')
    with pytest.raises(CorpusError, match=r'a\.jsonl:1: expected a "body.text" string, got the fields body'):
        read_corpus(path, ReadOptions(fields))
