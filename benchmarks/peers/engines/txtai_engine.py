"""txtai with its defaults: its model all-MiniLM-L6-v2, given as a folder, and the index that it chooses."""

from pathlib import Path

from protocol import Ask, Document, K, main
from txtai import Embeddings


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Index and save."""
    embeddings = Embeddings(path=model)
    embeddings.index(documents)
    embeddings.save(str(folder / "index"))


def opened(folder: Path, model: str) -> Ask:
    """Load the index, which names its model."""
    embeddings = Embeddings()
    embeddings.load(str(folder / "index"))
    return lambda query: ([doc_id for doc_id, _ in embeddings.search(query, K)], None)


if __name__ == "__main__":
    main(build, opened)
