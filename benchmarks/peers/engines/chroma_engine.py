"""Run Chroma with its defaults: a persistent collection, HNSW over squared distances.

Its default embedding function downloads all-MiniLM-L6-v2 as ONNX. The same model comes from a local folder here,
through its embedding function for sentence-transformers.
"""

from pathlib import Path

import chromadb
from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction
from protocol import Document, K, Search, main

NAME = "documents"


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Add the documents in batches of the largest allowed size."""
    client = chromadb.PersistentClient(str(folder / "index"))
    encode = SentenceTransformerEmbeddingFunction(model_name=model, device="cpu")
    collection = client.create_collection(NAME, embedding_function=encode)
    size = client.get_max_batch_size()
    for start in range(0, len(documents), size):
        ids, texts = zip(*documents[start : start + size], strict=True)
        collection.add(ids=list(ids), documents=list(texts))


def open_index(folder: Path, model: str) -> Search:
    """Open the collection."""
    client = chromadb.PersistentClient(str(folder / "index"))
    encode = SentenceTransformerEmbeddingFunction(model_name=model, device="cpu")
    collection = client.get_collection(NAME, embedding_function=encode)
    return lambda query: (collection.query(query_texts=[query], n_results=K)["ids"][0], None)


if __name__ == "__main__":
    main(build, open_index)
