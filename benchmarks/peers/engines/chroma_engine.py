"""Chroma with its defaults: a persistent collection, HNSW over squared distances.

Its own embedding function fetches all-MiniLM-L6-v2 as ONNX from a server of its makers; the same model is given as a
folder through its function for sentence-transformers.
"""

from pathlib import Path

import chromadb
from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction
from protocol import Ask, Document, K, main

NAME = "documents"


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Add the documents in the largest batches that it takes."""
    client = chromadb.PersistentClient(str(folder / "index"))
    encode = SentenceTransformerEmbeddingFunction(model_name=model, device="cpu")
    collection = client.create_collection(NAME, embedding_function=encode)
    size = client.get_max_batch_size()
    for start in range(0, len(documents), size):
        ids, texts = zip(*documents[start : start + size], strict=True)
        collection.add(ids=list(ids), documents=list(texts))


def opened(folder: Path, model: str) -> Ask:
    """Open the collection."""
    client = chromadb.PersistentClient(str(folder / "index"))
    encode = SentenceTransformerEmbeddingFunction(model_name=model, device="cpu")
    collection = client.get_collection(NAME, embedding_function=encode)
    return lambda query: (collection.query(query_texts=[query], n_results=K)["ids"][0], None)


if __name__ == "__main__":
    main(build, opened)
