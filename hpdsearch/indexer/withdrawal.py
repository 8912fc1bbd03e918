"""Withdrawn documents: their files hold them, but the user deleted them or replaced them from another source.

`update` does not bring them back while their contents are unchanged; `add` does.
"""

from collections.abc import Sequence

from hpdsearch.catalog import CatalogWriter, WithdrawnDocument, content_fingerprint
from hpdsearch.corpus.locations import split_line
from hpdsearch.indexer.incoming import has_generated_id
from hpdsearch.records import Document


def withdraw(catalog: CatalogWriter, docs: Sequence[int]) -> None:
    """Remember stored documents, by number, that will be removed although their files hold them."""
    documents = [stored.document for stored in catalog.documents(docs).values()]
    catalog.withdraw(
        WithdrawnDocument(find_place(document), document.doc_id, content_fingerprint(document))
        for document in documents
        if document.source
    )


def find_withdrawn(catalog: CatalogWriter, document: Document) -> WithdrawnDocument | None:
    """Return the withdrawn version of a document; None: it was not withdrawn."""
    doc_id = None if has_generated_id(document) else document.doc_id
    return catalog.find_withdrawn(find_place(document), doc_id)


def forget_withdrawn(catalog: CatalogWriter, documents: Sequence[Document]) -> None:
    """Forget the withdrawn versions of documents that are indexed again."""
    catalog.forget_withdrawn(
        places=[document.source for document in documents if has_generated_id(document)],
        records=[(find_place(document), document.doc_id) for document in documents if not has_generated_id(document)],
    )


def find_place(document: Document) -> str:
    """Return the source of a document without an id of its own; otherwise the file of its source."""
    return document.source if has_generated_id(document) else split_line(document.source)[0]
