"""model2vec's table of token vectors with vicinity's default index, which compares with all vectors."""

import time
from pathlib import Path

from model2vec import StaticModel
from protocol import Answer, Ask, Document, K, main
from vicinity import Vicinity


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Encode and save."""
    vectors = StaticModel.from_pretrained(model).encode([text for _, text in documents])
    Vicinity.from_vectors_and_items(vectors=vectors, items=[doc_id for doc_id, _ in documents]).save(folder / "index")


def opened(folder: Path, model: str) -> Ask:
    """Load table and vectors."""
    encoder, vicinity = StaticModel.from_pretrained(model), Vicinity.load(folder / "index")

    def ask(query: str) -> Answer:
        start = time.perf_counter()
        vectors = encoder.encode([query])
        spent = time.perf_counter() - start
        return [item for item, _ in vicinity.query(vectors, k=K)[0]], spent

    return ask


if __name__ == "__main__":
    main(build, opened)
