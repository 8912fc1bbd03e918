"""One document from a file: .txt, Markdown, reStructuredText, and HTML by resiliparse."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import IO, Any, TypeAlias

from hpdsearch.corpus.encodings import UTF8, choose_encoding, find_bom_encoding
from hpdsearch.corpus.extraction.limits import HeadingPath
from hpdsearch.corpus.file_fields import FRONT_MATTER, add_file_fields, split_front_matter
from hpdsearch.corpus.lines import BOM_CHARACTER, SourceLocation, read_text_lines
from hpdsearch.corpus.options import ReadOptions
from hpdsearch.corpus.sources import CODE_ENDINGS, HTML_ENDINGS, Source
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

Locations: TypeAlias = tuple[tuple[int, str], ...]  # Document.locations

MAIN = "main, [role=main]"
# Elements around a page's text: HTML's own and their ARIA roles, Sphinx's paragraph signs, DocBook's links.
BOILERPLATE = [
    *("nav", "footer", "aside"),
    *(f"[role={role}]" for role in ("navigation", "banner", "contentinfo", "search", "complementary")),
    *("a.headerlink", ".navheader", ".navfooter"),
]
CHARSET = re.compile(rb"""<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
CHARSET_WITHIN = 1024  # bytes (HTML standard, 4.2.5.4)

FENCE = re.compile(r" {0,3}(```|~~~)")
ATX_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
SETEXT_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
TEX_TITLE = re.compile(r"\\title\s*(?:\[[^\]]*\])?\{((?:[^{}]|\{[^{}]*\})*)\}")
RST_LINE = re.compile(r"([^\w\s])\1*\s*$", re.ASCII)


def read_page(file: IO[bytes], source: Source, location: SourceLocation, options: ReadOptions) -> Document:
    """Read a file as one document; a page that has only a title gets the title as its text.

    Raises:
        CorpusError: the file cannot be decoded.
    """
    front: dict[str, Any] = {}
    if source.ending in HTML_ENDINGS:
        title, text, locations = extract_html(file.read(), location.name, options.encoding)
    else:
        read = read_code if source.ending in CODE_ENDINGS else read_text
        text = read(file, location, options)
        if source.ending == ".md":
            front, text = split_front_matter(text)
        title = front.pop("title", None)
        if not isinstance(title, str):
            title = TITLE_FINDERS[source.ending](text) if source.ending in TITLE_FINDERS else ""
        locations = locate_markdown(text) if source.ending == ".md" else ()
    metadata = add_file_fields(front, source, options)
    return Document(source.doc_id, text if text.strip() else title, title, metadata, source.name, locations)


def read_text(file: IO[bytes], location: SourceLocation, options: ReadOptions) -> str:
    """Return the text of a file with \\n as its line ends."""
    decoding = replace(options.decoding, defers_errors=False)
    return "".join(read_text_lines(file, location, decoding)).replace("\r\n", "\n")


def read_code(file: IO[bytes], location: SourceLocation, options: ReadOptions) -> str:
    """Return source code, which is Windows-1252 if it is not UTF-8: files of a source tree seldom say what they are."""
    raw = file.read()
    try:
        return read_text(io.BytesIO(raw), location, options)
    except CorpusError:
        if options.encoding or b"\0" in raw:
            raise
        with suppress(UnicodeDecodeError):
            return raw.decode("cp1252").replace("\r\n", "\n")
        raise


def extract_html(raw: bytes, name: str, encoding: str | None = None) -> tuple[str, str, Locations]:
    """Return a page's <title>, its visible text without menus, with a blank line between paragraphs, and its headings.

    Args:
        raw: the bytes of the page.
        name: the file, for messages.
        encoding: chosen by the user.

    Raises:
        CorpusError: the page cannot be decoded.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    page = decode_html(raw, name, encoding)
    if not page.strip():
        return "", "", ()
    tree = HTMLTree.parse(page)
    title = " ".join((tree.title or "").split())
    main = tree.document.query_selector_all(MAIN) if tree.document else []
    if len(main) == 1 and (main[0].text or "").strip():
        tree = HTMLTree.parse(main[0].html)
    text = extract_plain_text(tree, preserve_formatting=True, alt_texts=False, skip_elements=BOILERPLATE)
    text = text.strip()
    return title, text, locate_headings(text, [(int(h.tag[1]), h.text or "") for h in list_headings(tree)])


def list_headings(tree: Any) -> list[Any]:
    """Return the elements h1 to h6 of a page, in their order."""
    return list(tree.document.query_selector_all("h1, h2, h3, h4, h5, h6")) if tree.document else []


def locate_headings(text: str, headings: Iterable[tuple[int, str]]) -> Locations:
    """Return where the sections of an extracted text begin, by the lines that are its headings.

    A heading that is no line of the text, because it stands in a menu, is left out.
    """
    starts: dict[str, list[int]] = {}
    at = 0
    for line in text.split("\n"):
        starts.setdefault(" ".join(line.split()), []).append(at)
        at += len(line) + 1
    path = HeadingPath()
    locations: list[tuple[int, str]] = []
    after = -1
    for level, heading in headings:
        found = [start for start in starts.get(" ".join(heading.split()), ()) if start > after]
        if found and heading.strip():
            after = found[0]
            path.enter(level, heading)
            locations.append((after, str(path)))
    return tuple(locations)


def locate_markdown(text: str) -> Locations:
    """Return where the sections of a Markdown text begin: "Install > From source"."""
    path = HeadingPath()
    locations: list[tuple[int, str]] = []
    for start, level, heading in find_markdown_headings(text):
        path.enter(level, heading)
        locations.append((start, str(path)))
    return tuple(locations)


def find_markdown_headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (first character, level, heading) of a Markdown text: `## Title`, or underlined."""
    fence = ""
    before = ""
    front = FRONT_MATTER.match(text)
    at = front.end() if front else 0
    for line in text[at:].split("\n"):
        if mark := FENCE.match(line):
            fence = "" if mark[1] == fence else fence or mark[1]
        elif not fence:
            if heading := ATX_HEADING.match(line):
                yield at, len(line.split(maxsplit=1)[0]), heading[1]
            elif before.strip() and (underline := SETEXT_UNDERLINE.match(line)):
                yield at - len(before) - 1, 1 if underline[1][0] == "=" else 2, before.strip()
        before = "" if fence else line
        at += len(line) + 1


def decode_html(raw: bytes, name: str, encoding: str | None = None, *, is_cut: bool = False) -> str:
    """Decode a page by its byte order mark, the user's encoding, its declared charset, or as UTF-8 or Windows-1252.

    Args:
        raw: the bytes of the page.
        name: the file, for messages.
        encoding: chosen by the user.
        is_cut: `raw` is only the beginning of the page.

    Raises:
        CorpusError: the page is not encoded as it declares, or contains a NUL character.
    """
    from resiliparse.parse.encoding import map_encoding_to_html5

    stated = find_bom_encoding(raw)
    if stated or encoding:
        encodings = [choose_encoding(raw, encoding or UTF8, name)]
    elif declared := CHARSET.search(raw[:CHARSET_WITHIN]):
        label = map_encoding_to_html5(declared[1].decode("ascii")) or "utf-8"
        # If the declaration can be read as ASCII, the page is not UTF-16 (HTML standard, 13.2.3.2).
        encodings = ["utf-8" if label.startswith("utf-16") else label]
    else:
        encodings = [UTF8, "windows-1252"]
    for each in encodings:
        try:
            page = codecs.getincrementaldecoder(each)().decode(raw, final=not is_cut)
        except UnicodeDecodeError as error:
            failure = error
        else:
            if "\0" in page:
                raise CorpusError(f"{name}: expected an HTML page, got a NUL character; leave out binary files")
            return page.removeprefix(BOM_CHARACTER)
    line = raw.count(b"\n", 0, failure.start) + 1
    why = "its byte order mark states" if stated else "--encoding says" if encoding else "the page declares"
    raise CorpusError(
        f"{name}:{line}: expected {each} as {why}, got the byte 0x{raw[failure.start]:02x} at offset "
        f"{failure.start} of the file; correct the declaration, convert the page, or name another --encoding"
    )


def find_markdown_title(text: str) -> str:
    """Return the first heading of a Markdown text, "" if there is none."""
    return next((heading for _, _, heading in find_markdown_headings(text)), "")


def find_rst_title(text: str) -> str:
    """Return the first section title of a reStructuredText, "" if there is none.

    A title is a line of text above a line that repeats one punctuation character and is at least as long.
    """
    for line, underline in pairwise(text.split("\n")):
        title = line.strip()
        is_underlined = RST_LINE.match(underline) and len(underline.rstrip()) >= len(title)
        if title and is_underlined and not RST_LINE.match(line):
            return title
    return ""


def find_tex_title(text: str) -> str:
    """Return the title of a LaTeX text, "" if there is none."""
    found = TEX_TITLE.search(text)
    return " ".join(found[1].split()) if found else ""


TITLE_FINDERS = {".md": find_markdown_title, ".rst": find_rst_title, ".tex": find_tex_title}
