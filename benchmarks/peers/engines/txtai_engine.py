"""Run txtai with its defaults: model all-MiniLM-L6-v2 from a local folder, and its default index."""

from pathlib import Path

from protocol import Document, K, Search, main
from txtai import Embeddings


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Index and save."""
    embeddings = Embeddings(path=model)
    embeddings.index(documents)
    embeddings.save(str(folder / "index"))


def open_index(folder: Path, model: str) -> Search:
    """Load the index, which stores the path of its model."""
    embeddings = Embeddings()
    embeddings.load(str(folder / "index"))
    return lambda query: ([doc_id for doc_id, _ in embeddings.search(query, K)], None)


if __name__ == "__main__":
    main(build, open_index)
