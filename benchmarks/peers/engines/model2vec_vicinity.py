"""Run model2vec with the default index of vicinity, which is an exact search."""

import time
from pathlib import Path

from model2vec import StaticModel
from protocol import Answer, Document, K, Search, main
from vicinity import Vicinity


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Encode and save."""
    vectors = StaticModel.from_pretrained(model).encode([text for _, text in documents])
    Vicinity.from_vectors_and_items(vectors=vectors, items=[doc_id for doc_id, _ in documents]).save(folder / "index")


def open_index(folder: Path, model: str) -> Search:
    """Load the token table and the vectors."""
    encoder = StaticModel.from_pretrained(model)
    vicinity = Vicinity.load(folder / "index")

    def search(query: str) -> Answer:
        start = time.perf_counter()
        vectors = encoder.encode([query])
        spent = time.perf_counter() - start
        return [item for item, _ in vicinity.query(vectors, k=K)[0]], spent

    return search


if __name__ == "__main__":
    main(build, open_index)
