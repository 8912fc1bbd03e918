"""Run LEANN with its defaults: a compact HNSW graph; a search computes embeddings again.

The default model, all-MiniLM-L6-v2, comes from a local folder. By default its embedding server runs for another fifteen
minutes after the program ends. Here the server ends with the program, so that every new process starts cold.
"""

from pathlib import Path

from leann import LeannBuilder, LeannSearcher
from protocol import Document, K, Search, main


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Build the graph."""
    builder = LeannBuilder(backend_name="hnsw", embedding_model=model, embedding_mode="sentence-transformers")
    for doc_id, text in documents:
        builder.add_text(text, metadata={"id": doc_id})
    builder.build_index(str(folder / "index.leann"))


def open_index(folder: Path, model: str) -> Search:
    """Open the graph."""
    searcher = LeannSearcher(str(folder / "index.leann"), use_daemon=False)
    return lambda query: ([hit.metadata["id"] for hit in searcher.search(query, top_k=K)], None)


if __name__ == "__main__":
    main(build, open_index)
