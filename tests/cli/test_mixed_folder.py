"""A folder of 540 files in nine formats is indexed, asked, updated and watched on the command line."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpdsearch import Hit, Index

docx = pytest.importorskip("docx")
openpyxl = pytest.importorskip("openpyxl")
pptx = pytest.importorskip("pptx")
pytest.importorskip("pypdf")
pytest.importorskip("pypdfium2")
pytest.importorskip("watchfiles")
from document_files import make_eml, make_epub, make_odt, make_pdf  # noqa: E402
from watching import wait_until, watching  # noqa: E402

pytestmark = pytest.mark.slow
N_EACH = 60
LONG = 120  # seconds
WORDS = ("cat", "dog", "moon", "king", "queen", "river", "boat", "old", "happy", "sleeps", "town", "night")


def write_docx(path: Path, sentence: str) -> None:
    document = docx.Document()
    document.add_heading("Notes", 1)
    document.add_paragraph(sentence)
    document.save(str(path))


def write_pptx(path: Path, sentence: str) -> None:
    presentation = pptx.Presentation()
    for text in ("First slide", sentence):
        presentation.slides.add_slide(presentation.slide_layouts[5]).shapes.title.text = text
    presentation.save(str(path))


def write_xlsx(path: Path, sentence: str) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.title = "Data"
    workbook.active.append([sentence, 1])
    workbook.save(path)


WRITERS = {
    "txt": lambda path, sentence: path.write_text(f"{sentence}\n"),
    "md": lambda path, sentence: path.write_text(f"# Top\n\n## Deep\n\n{sentence}\n"),
    "html": lambda path, sentence: path.write_text(f"<h1>Top</h1><p>{sentence}</p>"),
    "py": lambda path, sentence: path.write_text(f"# first\n# {sentence}\n"),
    "ipynb": lambda path, sentence: path.write_text(json.dumps({"cells": [{"source": "x"}, {"source": sentence}]})),
    "pdf": lambda path, sentence: make_pdf(path, ["first", sentence]),
    "docx": write_docx,
    "pptx": write_pptx,
    "xlsx": write_xlsx,
}
PLACES = {
    **{"txt": "line 1", "md": "Top > Deep", "html": "Top", "py": "line 1", "ipynb": "cell 2", "pdf": "page 2"},
    **{"docx": "Notes", "pptx": "slide 2", "xlsx": "sheet Data"},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mixed") / "files"
    drawn = random.Random(0)
    for ending, write in WRITERS.items():
        for number in range(N_EACH):
            path = folder / f"part{number % 6}" / f"{ending}{number}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            name = f"marker{ending}{number}"
            write(path, f"{name} {' '.join(drawn.choices(WORDS, k=4))}")
            old = time.time() - 100
            os.utime(path, (old, old))
    return folder


def hpdsearch(*arguments: object) -> str:
    command = [sys.executable, "-m", "hpdsearch", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def find(folder: Path, query: str) -> Hit | None:
    with Index.open(folder) as index:
        return next(iter(index.search(query, 1, mode="lexical")), None)


def test_a_mixed_folder_is_indexed_asked_updated_and_watched(tmp_path, corpus, tiny_folder):
    folder, index = tmp_path / "files", tmp_path / "index"
    shutil.copytree(corpus, folder)
    make_pdf(folder / "locked.pdf", ["secret"], password="x")
    (folder / "damaged.docx").write_bytes(b"PK\3\4")

    report = hpdsearch("index", folder, "-o", index, "--encoder", tiny_folder)
    assert f"indexed {len(WRITERS) * N_EACH} documents" in report
    assert "2 records and files skipped because of errors" in report
    for ending, place in PLACES.items():
        for number in (0, N_EACH - 1):
            hit = find(index, f"marker{ending}{number}")
            assert (hit.doc_id, hit.location) == (f"part{number % 6}/{ending}{number}.{ending}", place)
    assert hpdsearch("query", "-i", index, "moon", "--where", 'extension = "pdf"', "-k", 500).count(".pdf]") == N_EACH

    assert f"up to date, {len(WRITERS) * N_EACH} unchanged" in hpdsearch("index", folder, "-o", index, "--update")
    for ending, write in WRITERS.items():
        write(folder / "part1" / f"{ending}1.{ending}", f"changed{ending}")
        (folder / "part2" / f"{ending}2.{ending}").unlink()
        write(folder / f"new.{ending}", f"new{ending}")
    report = hpdsearch("index", folder, "-o", index, "--update")
    n = len(WRITERS)
    assert f"indexed {2 * n} documents" in report
    assert f"{n} documents deleted" in report
    assert find(index, "changedpptx").doc_id == "part1/pptx1.pptx"
    assert find(index, "markerpdf2") is None

    out = tmp_path / "out"
    with watching(index, folder, out, seconds=LONG):
        wait_until(lambda: "up to date" in out.read_text(), seconds=LONG)
        make_eml(folder / "letter.eml")
        make_odt(folder / "knots.odt")
        make_epub(folder / "tides.epub")
        (folder / "part3").rename(folder / "part7")
        wait_until(lambda: getattr(find(index, "bowline"), "location", "") == "Knots", seconds=LONG)
        wait_until(lambda: find(index, "markerdocx3").doc_id == "part7/docx3.docx", seconds=LONG)
        assert find(index, "naïve").doc_id == "letter.eml"
    assert hpdsearch("verify", index) == f"{index}: intact\n"
