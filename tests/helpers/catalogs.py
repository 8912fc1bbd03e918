"""Small catalogs, written and read."""

import sqlite3

from hpdsearch.catalog import FILE_NAME, Catalog, CatalogWriter, SegmentEntry
from hpdsearch.records import Document, Passage

SEGMENT = SegmentEntry(
    3, 0, 7, 5, b"\x17\x00\xff\n", "v.f16", 70, "ab", "i.faiss", 99, "cd", {"kind": "flat", "nlist": 0}, {"n": 1}
)


def in_one_passage(document):
    return document, [Passage(0, len(document.text))]


def write(folder, documents, *, first_row=0, clear=True):
    """Commit documents, of one passage each."""
    folder.mkdir(exist_ok=True)
    writer = CatalogWriter.open(folder)
    if clear:
        writer.clear()
        writer.set_meta(generation=1)
    writer.insert([in_one_passage(document) for document in documents], first_row)
    writer.commit()
    writer.close()
    return folder


def read(folder):
    """Return every document in a folder, and the problems."""
    catalog = Catalog.open(folder)
    try:
        return [stored.document for stored in catalog.all_documents()], catalog.find_problems()
    finally:
        catalog.close()


DOCUMENTS = [
    Document("a", "first text", "Title", {"n": 1, "lang": "en"}, "c.jsonl:1"),
    Document("b", "second text é😀", "", {"n": 2, "lang": ["de", "fr"], "x": {"y": True}}, "c.jsonl:2"),
    Document("c", "the disk is full and the database is locked", "", {}, ""),
]


def execute(folder, statement):
    connection = sqlite3.connect(folder / FILE_NAME)
    connection.execute(statement)
    connection.commit()
    connection.close()
