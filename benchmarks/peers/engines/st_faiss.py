"""Encode with sentence-transformers and search all vectors with faiss, as in a short script."""

import json
import time
from pathlib import Path

import faiss
from protocol import Answer, Document, K, Search, main
from sentence_transformers import SentenceTransformer


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Encode; save the vectors as a flat index and the documents as JSON."""
    texts = [text for _, text in documents]
    vectors = SentenceTransformer(model, device="cpu").encode(texts, normalize_embeddings=True)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder / "index.faiss"))
    (folder / "documents.json").write_text(json.dumps(documents), encoding="utf-8")


def open_index(folder: Path, model: str) -> Search:
    """Load the model, the index and the documents."""
    encoder = SentenceTransformer(model, device="cpu")
    index = faiss.read_index(str(folder / "index.faiss"))
    documents = json.loads((folder / "documents.json").read_bytes())

    def search(query: str) -> Answer:
        start = time.perf_counter()
        vectors = encoder.encode([query], normalize_embeddings=True)
        spent = time.perf_counter() - start
        return [documents[row][0] for row in index.search(vectors, K)[1][0]], spent

    return search


if __name__ == "__main__":
    main(build, open_index)
