"""The formats that are extracted, by the ending of the file."""

from collections.abc import Callable, Iterator
from pathlib import Path

from hpdsearch.corpus.extraction.epub import read_epub
from hpdsearch.corpus.extraction.limits import Extraction, ExtractionLimits
from hpdsearch.corpus.extraction.mail import read_eml, read_mbox
from hpdsearch.corpus.extraction.notebooks import read_ipynb
from hpdsearch.corpus.extraction.office import read_docx, read_odt, read_pptx, read_xlsx
from hpdsearch.corpus.extraction.pdf import read_pdf

FORMATS: dict[str, Callable[[Path, ExtractionLimits], Iterator[Extraction]]] = {
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".pptx": read_pptx,
    ".xlsx": read_xlsx,
    ".odt": read_odt,
    ".epub": read_epub,
    ".eml": read_eml,
    ".mbox": read_mbox,
    ".ipynb": read_ipynb,
}
