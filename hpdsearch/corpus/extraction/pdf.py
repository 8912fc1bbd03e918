"""The text of a PDF, page by page, by PDFium."""

import re
from collections.abc import Iterator
from pathlib import Path

from hpdsearch.corpus.extraction.limits import Extraction, ExtractionError, ExtractionLimits, PartsJoiner

PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
BROKEN_WORD = re.compile("[\x02\ufffe](?:\r?\n)?")  # PDFium marks a hyphen at the end of a line


def read_pdf(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield the document of a PDF.

    Raises:
        ExtractionError: the file is encrypted or damaged, or has no text.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == PASSWORD_ERROR:
            raise ExtractionError("expected a PDF without a password, got an encrypted one; save it without") from error
        raise ExtractionError(f"expected a PDF, got a damaged or other file ({error})") from error
    try:
        joiner = PartsJoiner(limits)
        for number in range(len(document)):
            page = document[number]
            text_page = page.get_textpage()
            text = text_page.get_text_bounded()
            text_page.close()
            page.close()
            joiner.add(BROKEN_WORD.sub("", text).replace("\r\n", "\n"), f"page {number + 1}")
        title = document.get_metadata_value("Title")
        author = document.get_metadata_value("Author")
        extraction = joiner.finish(title, {"author": author} if author else {})
        if not extraction.text:
            raise ExtractionError(
                f"expected a PDF with text, got {len(document)} scanned or empty pages without a text layer; "
                "add one, for example by ocrmypdf"
            )
    finally:
        document.close()
    yield extraction
