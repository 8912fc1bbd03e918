"""Documents of a small index, and functions that read what an index holds."""

from collections.abc import Iterator
from pathlib import Path

from brute_force import make_documents

from hpdsearch.index import Index
from hpdsearch.records import Document

DOCUMENTS = make_documents(30)


def find_texts(index: Index) -> dict[str, str]:
    """Return the texts by doc_id, as dense search finds them."""
    hits = index.search("cat", 10_000, mode="dense")
    assert len(hits) == len(index) == index.info().n_documents
    return {hit.doc_id: hit.text for hit in hits}


def get_texts(documents: list[Document]) -> dict[str, str]:
    """Return the texts by doc_id."""
    return {document.doc_id: document.text for document in documents}


def list_names(folder: Path) -> set[str]:
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def interrupt_after(n: int) -> Iterator[Document]:
    """Yield n new documents, then raise KeyboardInterrupt."""
    yield from make_documents(n, first=500)
    raise KeyboardInterrupt
