"""The text of an EPUB: its chapters in reading order, by the reader of HTML."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from hpdsearch.corpus.extraction.archives import open_archive, parse_xml
from hpdsearch.corpus.extraction.limits import Extraction, ExtractionError, ExtractionLimits, PartsJoiner
from hpdsearch.corpus.pages import extract_html
from hpdsearch.errors import CorpusError

CONTAINER = "META-INF/container.xml"
HTML_TYPES = ("application/xhtml+xml", "text/html")


def read_epub(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield the document of an EPUB; a chapter is named by its title or its number.

    Raises:
        ExtractionError: the book is damaged or encrypted.
    """
    joiner = PartsJoiner(limits)
    with open_archive(path, limits) as archive:
        names = set(archive.namelist())
        if CONTAINER not in names:
            raise ExtractionError(f"expected an EPUB, got an archive without {CONTAINER}")
        package_name = parse_xml(archive.read(CONTAINER)).xpath("string(//*[local-name()='rootfile']/@full-path)")
        if package_name not in names:
            raise ExtractionError(f"expected an EPUB, got an archive without its package {package_name!r}")
        package = parse_xml(archive.read(package_name))
        folder = posixpath.dirname(package_name)
        hrefs = {
            item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
            for item in package.xpath("//*[local-name()='manifest']/*[local-name()='item']")
            if item.get("media-type") in HTML_TYPES
        }
        chapters = [hrefs.get(item.get("idref")) for item in package.xpath("//*[local-name()='itemref']")]
        for number, name in enumerate((name for name in chapters if name), start=1):
            if name not in names:
                raise ExtractionError(f"expected a complete EPUB, got one without {name}")
            try:
                title, text, headings = extract_html(archive.read(name), name)
            except CorpusError as error:
                raise ExtractionError(f"expected readable chapters, got a damaged or encrypted one ({error})") from None
            joiner.add(text, title or f"chapter {number}", headings)
        title = package.xpath("string(//*[local-name()='metadata']/*[local-name()='title'])")
        author = package.xpath("string(//*[local-name()='metadata']/*[local-name()='creator'])")
    yield joiner.finish(title, {"author": author} if author else {})
