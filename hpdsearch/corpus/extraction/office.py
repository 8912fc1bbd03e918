"""The text of .docx, .pptx, .xlsx and .odt files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpdsearch.corpus.extraction.archives import check_archive, open_archive, parse_xml
from hpdsearch.corpus.extraction.limits import Extraction, ExtractionLimits, HeadingPath, PartsJoiner

HEADING_STYLE = re.compile(r"heading (\d)", re.IGNORECASE)
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
PARAGRAPH = f"{WORD}p"
TABLE = f"{WORD}tbl"
ROW = f"{WORD}tr"
CELL = f"{WORD}tc"
MARKS = {f"{WORD}tab": "\t", f"{WORD}br": "\n", f"{WORD}cr": "\n", f"{WORD}noBreakHyphen": "-"}
# It repeats a text box for old programs.
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
NO_TEXT = (f"{WORD}pPr", f"{WORD}rPr", f"{WORD}moveFrom", FALLBACK)
ODF_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
DC_TITLE = "{http://purl.org/dc/elements/1.1/}title"


def read_docx(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield the document of a .docx: paragraphs, tables and notes, located by their headings.

    python-docx lists neither content controls, nor text boxes, nor inserted text that is not accepted yet.
    """
    import docx

    check_archive(path, limits)
    document = docx.Document(str(path))
    styles = {style.style_id: style.name or "" for style in document.styles}
    joiner = PartsJoiner(limits)
    headings = HeadingPath()
    first_heading = ""
    for block in list_blocks(document.element.body):
        if block.tag == TABLE:
            joiner.add("\n".join(read_rows(block)), str(headings))
            continue
        text = read_paragraph(block)
        style = styles.get(block.style or "", "")
        if text.strip() and (found := HEADING_STYLE.match(style)):
            headings.enter(int(found[1]), text)
        if text.strip() and (found or style == "Title"):
            first_heading = first_heading or text
        joiner.add(text, str(headings))
    for notes in list_notes(document):
        joiner.add("\n".join(map(read_paragraph, notes.iter(PARAGRAPH))), "notes")
    properties = document.core_properties
    yield joiner.finish(properties.title or first_heading, name_author(properties.author))


def list_blocks(element: Any) -> Iterator[Any]:
    """Yield the paragraphs and tables of a .docx, those inside content controls and text boxes too."""
    for child in element:
        if child.tag in (PARAGRAPH, TABLE):
            yield child
        if child.tag not in (TABLE, FALLBACK):
            yield from list_blocks(child)


def read_paragraph(element: Any) -> str:
    """Return the text of a paragraph, without that of the paragraphs of a text box in it."""
    parts = []
    for child in element:
        if child.tag == f"{WORD}t":
            parts.append(child.text or "")
        elif child.tag in MARKS:
            parts.append(MARKS[child.tag])
        elif child.tag not in (PARAGRAPH, *NO_TEXT):
            parts.append(read_paragraph(child))
    return "".join(parts)


def read_rows(table: Any) -> Iterator[str]:
    """Yield the rows of a table of a .docx; those of a table inside a cell follow."""
    for row in table.iter(ROW):
        cells = [cell for cell in row.iter(CELL) if next(cell.iterancestors(ROW)) is row]
        paragraphs = [[p for p in cell.iter(PARAGRAPH) if next(p.iterancestors(CELL)) is cell] for cell in cells]
        if line := join_cells(" ".join(map(read_paragraph, each)) for each in paragraphs):
            yield line


def list_notes(document: Any) -> Iterator[Any]:
    """Yield the footnotes and the endnotes of a .docx, an XML element each."""
    for relationship in document.part.rels.values():
        if not relationship.is_external and relationship.reltype.rpartition("/")[2] in ("footnotes", "endnotes"):
            yield parse_xml(relationship.target_part.blob)


def read_pptx(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield the document of a .pptx: the texts, tables and notes of its slides."""
    import pptx

    check_archive(path, limits)
    presentation = pptx.Presentation(str(path))
    joiner = PartsJoiner(limits)
    title = ""
    for number, slide in enumerate(presentation.slides, start=1):
        if not title and slide.shapes.title is not None:
            title = slide.shapes.title.text_frame.text
        for text in list_shape_texts(slide.shapes):
            joiner.add(text, f"slide {number}")
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            joiner.add(slide.notes_slide.notes_text_frame.text, f"slide {number}")
    properties = presentation.core_properties
    yield joiner.finish(title or properties.title, name_author(properties.author))


def list_shape_texts(shapes: Any) -> Iterator[str]:
    """Yield the texts of shapes, those inside groups too."""
    for shape in shapes:
        if shape.has_text_frame:
            yield shape.text_frame.text
        elif getattr(shape, "has_table", False):
            yield "\n".join(join_cells(cell.text for cell in row.cells) for row in shape.table.rows)
        elif hasattr(shape, "shapes"):
            yield from list_shape_texts(shape.shapes)


def read_xlsx(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield the document of a .xlsx: a line for each row that has values, located by the sheet."""
    import openpyxl

    check_archive(path, limits)
    workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        joiner = PartsJoiner(limits)
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # a value in the last cell would fill all rows before it with blanks
            rows = (join_cells("" if v is None else str(v) for v in row) for row in sheet.iter_rows(values_only=True))
            joiner.add("\n".join(row for row in rows if row), f"sheet {sheet.title}")
        properties = workbook.properties
        author = properties.creator if properties.creator != "openpyxl" else None
        yield joiner.finish(properties.title or "", name_author(author))
    finally:
        workbook.close()


def read_odt(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield the document of a .odt: its paragraphs, located by their headings."""
    joiner = PartsJoiner(limits)
    headings = HeadingPath()
    title = first_heading = ""
    with open_archive(path, limits) as archive:
        root = parse_xml(archive.read("content.xml"))
        if "meta.xml" in archive.namelist():
            title = parse_xml(archive.read("meta.xml")).findtext(f".//{DC_TITLE}") or ""
    for deleted in root.findall(f".//{ODF_TEXT}tracked-changes"):
        deleted.getparent().remove(deleted)
    for element in root.iter(f"{ODF_TEXT}h", f"{ODF_TEXT}p"):
        text = read_odt_paragraph(element)
        if element.tag == f"{ODF_TEXT}h":
            headings.enter(int(element.get(f"{ODF_TEXT}outline-level") or 1), text)
            first_heading = first_heading or text
        joiner.add(text, str(headings))
    yield joiner.finish(title or first_heading)


def read_odt_paragraph(element: Any) -> str:
    """Return the text of a paragraph; ODF writes tabs, line ends and several spaces as elements."""
    parts = [element.text or ""]
    for child in element:
        if child.tag == f"{ODF_TEXT}s":
            parts.append(" ")
        elif child.tag == f"{ODF_TEXT}tab":
            parts.append("\t")
        elif child.tag == f"{ODF_TEXT}line-break":
            parts.append("\n")
        elif child.tag not in (f"{ODF_TEXT}p", f"{ODF_TEXT}h") and isinstance(child.tag, str):
            parts.append(read_odt_paragraph(child))
        parts.append(child.tail or "")
    return "".join(parts)


def join_cells(cells: Iterator[str]) -> str:
    """Return a row of a table as one line, or "" if all cells are blank."""
    values = [" ".join(cell.split()) for cell in cells]
    return "\t".join(values).rstrip("\t") if any(values) else ""


def name_author(author: str | None) -> dict[str, Any]:
    """Return the metadata that name an author; "python-docx" and the like are templates of libraries."""
    return {"author": author} if author and author not in ("python-docx", "Steve Canny") else {}
