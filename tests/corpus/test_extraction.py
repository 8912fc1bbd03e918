"""Documents are extracted in a process of its own; the files are made by the libraries themselves."""

import io
import json
import os
import time

import pytest

from hpdsearch.corpus import ReadOptions, ReadStats, read_corpus
from hpdsearch.corpus.extraction import ExtractionLimits, Extractor
from hpdsearch.errors import CorpusError, MissingExtraError

docx = pytest.importorskip("docx")
openpyxl = pytest.importorskip("openpyxl")
pptx = pytest.importorskip("pptx")
pypdf = pytest.importorskip("pypdf")
pytest.importorskip("pypdfium2")
from document_files import (  # noqa: E402
    make_docx,
    make_eml,
    make_epub,
    make_ipynb,
    make_mbox,
    make_odt,
    make_pdf,
    make_pptx,
    make_reviewed_docx,
    make_xlsx,
    make_zip,
)

KINDS = ("pdf", "docx", "pptx", "xlsx", "odt", "epub", "eml", "mbox", "ipynb")


MAKERS = {
    "pdf": lambda path: make_pdf(path, ["Sail at dawn.", "", "Ten coins."]),
    "docx": make_docx,
    "pptx": make_pptx,
    "xlsx": make_xlsx,
    "odt": make_odt,
    "epub": make_epub,
    "eml": make_eml,
    "mbox": make_mbox,
    "ipynb": make_ipynb,
}
EXPECTED = {
    "pdf": ("The harbour", "Sail at dawn.\n\nTen coins.", [(0, "page 1"), (15, "page 3")]),
    "docx": (
        "Install",
        "Install\n\nTake a package.\n\nFrom source\n\nClone and build.\n\nleft\tright",
        [(0, "Install"), (26, "Install > From source")],
    ),
    "pptx": ("Plan", "Plan\n\nSail at dawn.\n\nCosts\n\nTen coins.\n\nSay thanks.", [(0, "slide 1"), (21, "slide 2")]),
    "xlsx": ("", "item\tcoins\nrope\t3\n\nAda", [(0, "sheet Costs"), (19, "sheet Crew")]),
    "odt": ("Knots", "Knots\n\nA bowline holds.", [(0, "Knots")]),
    "epub": ("Tides", "High tide.\n\nLow tide.", [(0, "chapter 1"), (12, "Low")]),
    "eml": ("Boat", "The boat is naïve.", []),
    "ipynb": ("Waves", "# Waves\nIntro.\n\nx = 1", [(0, "cell 1"), (16, "cell 2")]),
}


@pytest.fixture(scope="module")
def extractor():
    with Extractor(ExtractionLimits()) as opened:
        yield opened


def read_with_reasons(path, **options):
    stats = ReadStats()
    documents = list(read_corpus(path, ReadOptions(**options), stats=stats))
    return documents, stats.skipped.reasons


@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_text_title_and_locations_are_extracted(tmp_path, extractor, kind):
    path = MAKERS[kind](tmp_path / f"a.{kind}")
    (found,) = extractor.extract(path, path.name, f".{kind}")
    assert (found.title, found.text, found.locations) == EXPECTED[kind]


def test_a_word_file_is_read_with_all_that_it_shows(tmp_path, extractor):
    (found,) = extractor.extract(make_reviewed_docx(tmp_path / "a.docx"), "a.docx", ".docx")
    parts = ["Controlled.", "Kept and new", "Outside.", "Boxed.", "Wide\tone two", "A note."]
    assert found.text.split("\n\n") == parts
    assert found.locations[-1] == (found.text.index("A note."), "notes")


def test_a_value_in_the_last_cell_of_a_sheet_takes_no_time(tmp_path):
    workbook = openpyxl.Workbook()
    workbook.active["A1"] = "first"
    workbook.active["XFD1048576"] = "last"
    workbook.save(tmp_path / "a.xlsx")
    with Extractor(ExtractionLimits(seconds=60)) as extractor:
        (found,) = extractor.extract(tmp_path / "a.xlsx", "a.xlsx", ".xlsx")
    assert found.text.split() == ["first", "last"]


def test_a_message_that_cannot_be_read_does_not_end_its_mailbox(tmp_path):
    unreadable = "From x\nSubject: two\nTo: {}\n\ntext\n\n".format("(" * 5000)  # the parser of addresses recurses
    good = "From x\nSubject: {}\n\ntext\n\n"
    (tmp_path / "a.mbox").write_text(good.format("one") + unreadable + good.format("three"))
    documents, reasons = read_with_reasons(tmp_path)
    assert [document.doc_id for document in documents] == ["a.mbox:1", "a.mbox:3"]
    assert len(reasons) == 1
    assert reasons[0].startswith(
        f"{tmp_path}/a.mbox:2: expected a complete file, got a damaged or other one (Recursion"
    )


def test_a_mailbox_holds_a_document_a_message(tmp_path):
    make_mbox(tmp_path / "a.mbox")
    documents = list(read_corpus(tmp_path))
    assert [(d.doc_id, d.title, d.text) for d in documents] == [
        ("a.mbox:1", "Subject 1", "Text 1."),
        ("a.mbox:2", "Subject 2", "Text 2."),
    ]
    assert documents[0].metadata["from"] == "ada@example.org"
    assert documents[0].metadata["date"] == "2026-05-06T07:08:00+02:00"
    assert documents[0].metadata["attachments"] == ["map.pdf"]


def test_all_kinds_of_a_folder_are_read(tmp_path):
    for kind in KINDS:
        MAKERS[kind](tmp_path / f"a.{kind}")
    documents, reasons = read_with_reasons(tmp_path)
    assert reasons == []
    assert {d.doc_id.split(".")[1].split(":")[0] for d in documents} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"\x00\xff\xfe rubbish \x80" * 50, b""], ids=["binary", "empty"])
def test_rubbish_is_named_and_does_not_end_the_reading(tmp_path, kind, content):
    (tmp_path / "a.txt").write_text("good")
    (tmp_path / f"b.{kind}").write_bytes(content)
    stats = ReadStats()
    assert [d.doc_id for d in read_corpus(tmp_path, stats=stats)] == ["a.txt"]
    if kind == "mbox" and not content:  # an empty mailbox holds no message
        assert stats.skipped.count == 0
        return
    assert stats.skipped.count == 1
    assert stats.skipped.reasons[0].startswith(f"{tmp_path}/b.{kind}: expected ")
    assert "\n" not in stats.skipped.reasons[0]


@pytest.mark.parametrize("kind", ["pdf", "docx", "pptx", "xlsx", "odt", "epub", "ipynb"])
def test_a_truncated_file_is_named(tmp_path, kind):
    (tmp_path / "a.txt").write_text("good")
    path = MAKERS[kind](tmp_path / f"b.{kind}")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 3])
    documents, reasons = read_with_reasons(tmp_path)
    assert [d.doc_id for d in documents] == ["a.txt"]
    assert reasons[0].startswith(f"{path}: expected ")


def test_an_encrypted_pdf_and_a_scanned_one_are_named(tmp_path):
    make_pdf(tmp_path / "a.pdf", ["text"], password="secret")
    make_pdf(tmp_path / "b.pdf", ["", ""])
    make_pdf(tmp_path / "c.pdf", ["text"])
    documents, reasons = read_with_reasons(tmp_path)
    assert [d.doc_id for d in documents] == ["c.pdf"]
    assert "a.pdf: expected a PDF without a password" in reasons[0]
    assert "b.pdf: expected a PDF with text, got 2 scanned or empty pages" in reasons[1]


def test_an_encrypted_office_file_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("good")
    (tmp_path / "b.docx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000))
    _, reasons = read_with_reasons(tmp_path)
    assert "expected an Office file without a password" in reasons[0]


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx", "odt", "epub"])
def test_a_zip_bomb_is_not_unpacked(tmp_path, kind):
    (tmp_path / "a.txt").write_text("good")
    make_zip(tmp_path / f"b.{kind}", {"content.xml": "0" * 5_000_000})
    _, reasons = read_with_reasons(tmp_path, limits=ExtractionLimits(unpacked_bytes=1_000_000))
    assert "expected at most 1,000,000 bytes when it is unpacked, got 5,000,000" in reasons[0]


def test_an_archive_of_many_files_is_not_read(tmp_path):
    (tmp_path / "a.txt").write_text("good")
    make_zip(tmp_path / "b.odt", {f"{i}.xml": "" for i in range(30)})
    _, reasons = read_with_reasons(tmp_path, limits=ExtractionLimits(entries=20))
    assert "expected at most 20 files in the archive, got 30" in reasons[0]


def test_a_file_and_a_text_beyond_the_limits_are_named(tmp_path):
    make_eml(tmp_path / "a.eml")
    path = make_ipynb(tmp_path / "b.ipynb")
    (tmp_path / "c.txt").write_text("good")
    limits = ExtractionLimits(file_bytes=path.stat().st_size, characters=5)
    _, reasons = read_with_reasons(tmp_path, limits=limits)
    assert "a.eml: expected a file of at most" in reasons[0]
    assert "b.ipynb: expected a text of at most 5 characters" in reasons[1]


def test_the_process_is_used_again_and_restarted_after_a_timeout(tmp_path, monkeypatch):
    path = make_ipynb(tmp_path / "a.ipynb")
    os.mkfifo(tmp_path / "b.ipynb")  # it blocks the reader for ever
    with Extractor(ExtractionLimits(seconds=20)) as extractor:
        list(extractor.extract(path, "a.ipynb", ".ipynb"))
        first = extractor._worker
        list(extractor.extract(path, "a.ipynb", ".ipynb"))
        assert extractor._worker is first
        extractor.limits = ExtractionLimits(seconds=0.3)
        start = time.monotonic()
        with pytest.raises(CorpusError, match=r"b\.ipynb: expected .*, got one that takes longer than 0\.3 s"):
            list(extractor.extract(tmp_path / "b.ipynb", "b.ipynb", ".ipynb"))
        assert time.monotonic() - start < 10
        assert first.poll() is not None
        extractor.limits = ExtractionLimits(seconds=20)
        assert list(extractor.extract(path, "a.ipynb", ".ipynb"))
    assert extractor._worker is None


def test_a_file_that_needs_too_much_memory_is_named(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [{"source": "x" * 300_000_000}]}))
    (tmp_path / "b.txt").write_text("good")
    documents, reasons = read_with_reasons(tmp_path, limits=ExtractionLimits(memory_bytes=600 << 20))
    assert [d.doc_id for d in documents] == ["b.txt"]
    assert "a.ipynb: expected a file that can be read within the limits, got one that needs more memory" in reasons[0]


def test_a_process_that_crashes_is_named_and_restarted(tmp_path):
    path = make_ipynb(tmp_path / "a.ipynb")
    with Extractor(ExtractionLimits()) as extractor:
        list(extractor.extract(path, "a.ipynb", ".ipynb"))
        extractor._worker.kill()
        assert list(extractor.extract(path, "a.ipynb", ".ipynb"))


def test_a_file_at_which_the_library_crashes_is_named_and_the_next_one_is_read(tmp_path, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    (library / "pypdfium2.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(library)
    for name in ("a.ipynb", "d.ipynb"):
        make_ipynb(tmp_path / name)
    for name in ("b.pdf", "c.pdf"):
        (tmp_path / name).write_bytes(b"any")
    documents, reasons = read_with_reasons(tmp_path, exclude=("library/",))
    assert [document.doc_id for document in documents] == ["a.ipynb", "d.ipynb"]
    crash = "expected a file that can be read within the limits, got one at which the reader crashed"
    assert reasons == [f"{tmp_path}/b.pdf: {crash}", f"{tmp_path}/c.pdf: {crash}"]


def test_strict_stops_at_a_document_that_cannot_be_extracted(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"rubbish")
    with pytest.raises(CorpusError, match=r"a\.pdf: expected a PDF"):
        list(read_corpus(tmp_path, strict=True))


def test_a_missing_library_is_named_at_once(tmp_path, monkeypatch):
    (tmp_path / "a.pdf").write_bytes(b"")
    monkeypatch.setattr("hpdsearch.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'documents needs pypdfium2: pip install "hpdsearch\[documents\]"'):
        read_corpus(tmp_path)


def test_source_code_is_read_and_binary_files_are_counted(tmp_path):
    (tmp_path / "a.py").write_text("print(1)\n")
    (tmp_path / "b.tex").write_text("\\title{On {\\em tides}}\ntext")
    (tmp_path / "c.c").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "d.js").write_bytes("let x".encode("utf-16"))
    stats = ReadStats()
    documents = {d.doc_id: d for d in read_corpus(tmp_path, stats=stats)}
    assert documents.keys() == {"a.py", "b.tex", "d.js"}
    assert documents["b.tex"].title == "On {\\em tides}"
    assert stats.n_binary == 1


def test_source_code_that_is_not_utf8_or_binary_further_on_does_not_stop_the_reading(tmp_path):
    (tmp_path / "a.py").write_bytes(b"# \x93caf\xe9\x94\r\n")
    (tmp_path / "b.c").write_bytes(b"int x;\n" * 3000 + b"\0")
    (tmp_path / "c.py").write_bytes(b"\x81\xe9")
    documents, reasons = read_with_reasons(tmp_path)
    assert [document.text for document in documents] == ["# “café”\n"]
    assert reasons[0].startswith(f"{tmp_path}/b.c:3001: expected text, got a NUL byte")
    assert reasons[1].startswith(f"{tmp_path}/c.py:1: expected UTF-8")
    with pytest.raises(CorpusError, match=r"b\.c:3001"):
        list(read_corpus(tmp_path, strict=True))


def test_pypdf_reads_the_same_text(tmp_path, extractor):
    path = make_pdf(tmp_path / "a.pdf", ["Sail at dawn.", "Ten coins."])
    (found,) = extractor.extract(path, "a.pdf", ".pdf")
    assert found.text == "\n\n".join(
        page.extract_text() for page in pypdf.PdfReader(io.BytesIO(path.read_bytes())).pages
    )
