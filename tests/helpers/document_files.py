"""Small files of the formats that are extracted, made by the libraries themselves."""

import email.message
import json
import mailbox
import zipfile
from pathlib import Path

import docx
import openpyxl
import pptx
import pypdf


def make_pdf(path: Path, pages: list[str], password: str = "") -> Path:
    """Write a PDF with a line of text a page; "" makes a page without text, as a scan is."""
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        if text:
            stream = DecodedStreamObject()
            stream.set_data(f"BT /F1 12 Tf 20 150 Td ({text}) Tj ET".encode())
            font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
            fonts = DictionaryObject({NameObject(k): NameObject(v) for k, v in font.items()})
            page[NameObject("/Resources")] = DictionaryObject(
                {NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(fonts)})}
            )
            page[NameObject("/Contents")] = writer._add_object(stream)
    writer.add_metadata({"/Title": "The harbour", "/Author": "Ada"})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)
    return path


def make_docx(path: Path) -> Path:
    document = docx.Document()
    document.add_heading("Install", 1)
    document.add_paragraph("Take a package.")
    document.add_heading("From source", 2)
    document.add_paragraph("Clone and build.")
    table = document.add_table(1, 2)
    table.cell(0, 0).text = "left"
    table.cell(0, 1).text = "right"
    document.core_properties.title = ""
    document.save(str(path))
    return path


def make_reviewed_docx(path: Path) -> Path:
    """Write a .docx with a content control, an insertion, a deletion, a text box, a merged cell and a footnote."""
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.opc.packuri import PackURI
    from docx.opc.part import Part
    from docx.oxml import parse_xml

    word = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    compatible = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'

    def paragraph(text: str) -> str:
        return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"

    document = docx.Document()
    body = document.element.body
    for xml in (
        f"<w:sdt {word}><w:sdtContent>{paragraph('Controlled.')}</w:sdtContent></w:sdt>",
        f"<w:p {word}><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>Kept</w:t></w:r>"
        "<w:ins><w:r><w:t> and new</w:t></w:r></w:ins><w:del><w:r><w:delText> old</w:delText></w:r></w:del></w:p>",
        f"<w:p {word} {compatible}><w:r><w:t>Outside.</w:t><mc:AlternateContent><mc:Choice><w:txbxContent>"
        f"{paragraph('Boxed.')}</w:txbxContent></mc:Choice><mc:Fallback>{paragraph('Boxed.')}</mc:Fallback>"
        "</mc:AlternateContent></w:r></w:p>",
        f"<w:tbl {word}><w:tr><w:tc><w:tcPr><w:gridSpan w:val='2'/></w:tcPr>{paragraph('Wide')}</w:tc>"
        f"<w:tc>{paragraph('one')}{paragraph('two')}</w:tc></w:tr></w:tbl>",
    ):
        body.insert(len(body) - 1, parse_xml(xml))
    notes = f"<w:footnotes {word}><w:footnote>{paragraph('A note.')}</w:footnote></w:footnotes>"
    part = Part(PackURI("/word/footnotes.xml"), "application/xml", notes.encode(), document.part.package)
    document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
    document.save(str(path))
    return path


def make_pptx(path: Path) -> Path:
    presentation = pptx.Presentation()
    for title, body in (("Plan", "Sail at dawn."), ("Costs", "Ten coins.")):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
    presentation.slides[1].notes_slide.notes_text_frame.text = "Say thanks."
    presentation.save(str(path))
    return path


def make_xlsx(path: Path) -> Path:
    workbook = openpyxl.Workbook()
    workbook.active.title = "Costs"
    workbook.active.append(["item", "coins"])
    workbook.active.append(["rope", 3])
    workbook.create_sheet("Crew").append(["Ada"])
    workbook.save(path)
    return path


def make_zip(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_odt(path: Path) -> Path:
    text = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    content = (
        f'<office:document-content xmlns:office="{office}" xmlns:text="{text}"><office:body><office:text>'
        '<text:h text:outline-level="1">Knots</text:h><text:p>A <text:span>bow</text:span>line<text:s/>holds.</text:p>'
        "</office:text></office:body></office:document-content>"
    )
    return make_zip(path, {"content.xml": content})


def make_epub(path: Path) -> Path:
    container = '<container xmlns="urn:x"><rootfiles><rootfile full-path="O/book.opf"/></rootfiles></container>'
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<metadata><dc:title>Tides</dc:title><dc:creator>Ada</dc:creator></metadata><manifest>"
        '<item id="a" href="a%20b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="c"/><itemref idref="a"/></spine></package>'
    )
    return make_zip(
        path,
        {
            "META-INF/container.xml": container,
            "O/book.opf": package,
            "O/a b.xhtml": "<html><head><title>Low</title></head><body><p>Low tide.</p></body></html>",
            "O/c.xhtml": "<html><body><p>High tide.</p></body></html>",
        },
    )


def make_message(subject: str, text: str) -> email.message.EmailMessage:
    message = email.message.EmailMessage()
    message["From"] = "ada@example.org"
    message["Subject"] = subject
    message["Date"] = "Wed, 06 May 2026 07:08:00 +0200"
    message.set_content(text)
    message.add_attachment(b"x", "application", "pdf", filename="map.pdf")
    return message


def make_eml(path: Path) -> Path:
    path.write_bytes(make_message("Boat", "The boat is naïve.").as_bytes())
    return path


def make_mbox(path: Path) -> Path:
    box = mailbox.mbox(str(path))
    for number in (1, 2):
        box.add(make_message(f"Subject {number}", f"Text {number}."))
    box.close()
    return path


def make_ipynb(path: Path) -> Path:
    cells = [
        {"cell_type": "markdown", "source": ["# Waves\n", "Intro."]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "secret"}]},
    ]
    path.write_text(json.dumps({"nbformat": 4, "cells": cells}))
    return path
