"""Search only the documents whose metadata match a filter.

    python examples/filters.py

docs/filters.md describes the filter language.
"""

import tempfile

from hpdsearch import Document, Index

DOCUMENTS = [
    Document("1", "The parliament votes on a new income tax.", metadata={"year": 2021, "lang": "en", "tags": ["law"]}),
    Document("2", "A guide to filling in the tax return.", metadata={"year": 2019, "lang": "en", "tags": ["guide"]}),
    Document("3", "Das Parlament beschließt eine neue Steuer.", metadata={"year": 2022, "lang": "de", "tags": ["law"]}),
    Document("4", "A recipe for bread with olives.", metadata={"year": 2022, "lang": "en", "tags": []}),
]
FILTERS = (
    "year >= 2020",
    'lang = "en" and tags = "law"',
    'not tags in ("guide", "law")',
)


def main() -> None:
    """Print the hits of one query under several filters."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.build(folder, DOCUMENTS, encoder="static") as index,
    ):
        for where in FILTERS:
            hits = index.search("tax reform", k=3, where=where)
            print(f"{where}: {index.count(where)} of {len(index)} documents match: {[hit.doc_id for hit in hits]}")


if __name__ == "__main__":
    main()
