"""The script that people write: sentence-transformers makes the vectors, faiss searches all of them."""

import json
import time
from pathlib import Path

import faiss
from protocol import Answer, Ask, Document, K, main
from sentence_transformers import SentenceTransformer


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Encode and save: vectors in a flat index, documents as JSON."""
    texts = [text for _, text in documents]
    vectors = SentenceTransformer(model, device="cpu").encode(texts, normalize_embeddings=True)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder / "index.faiss"))
    (folder / "documents.json").write_text(json.dumps(documents), encoding="utf-8")


def opened(folder: Path, model: str) -> Ask:
    """Load model, index and documents."""
    encoder = SentenceTransformer(model, device="cpu")
    index = faiss.read_index(str(folder / "index.faiss"))
    documents = json.loads((folder / "documents.json").read_bytes())

    def ask(query: str) -> Answer:
        start = time.perf_counter()
        vectors = encoder.encode([query], normalize_embeddings=True)
        spent = time.perf_counter() - start
        return [documents[row][0] for row in index.search(vectors, K)[1][0]], spent

    return ask


if __name__ == "__main__":
    main(build, opened)
