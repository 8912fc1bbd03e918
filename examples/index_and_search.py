"""Index a few documents and search them in the three modes.

python examples/index_and_search.py
"""

import tempfile

from hpdsearch import Document, Index

DOCUMENTS = [
    Document("arachnophobia", "An abnormal fear of spiders."),
    Document("seismograph", "An instrument that records the movements of the ground, as in an earthquake."),
    Document("kleptomaniac", "Someone with an irrational urge to steal."),
    Document("homesickness", "A longing to return home."),
]


def main() -> None:
    """Build an index, close it, open it again and search it."""
    with tempfile.TemporaryDirectory() as folder:
        Index.build(folder, DOCUMENTS).close()
        with Index.open(folder) as index:
            for mode in ("hybrid", "dense", "lexical"):
                print(f"{mode}:")
                for hit in index.search("who cannot stop stealing", k=2, mode=mode):
                    print(f"  {hit.score:.3f}  {hit.doc_id}: {hit.passage}")


if __name__ == "__main__":
    main()
