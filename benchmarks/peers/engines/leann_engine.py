"""LEANN with its defaults: a compact HNSW graph that computes embeddings again while it searches.

Its default model is all-MiniLM-L6-v2, given as a folder. The server of embeddings that it starts would outlive the
program by a quarter of an hour; here it ends with it, so that every new process is a cold one.
"""

from pathlib import Path

from leann import LeannBuilder, LeannSearcher
from protocol import Ask, Document, K, main


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Build the graph."""
    builder = LeannBuilder(backend_name="hnsw", embedding_model=model, embedding_mode="sentence-transformers")
    for doc_id, text in documents:
        builder.add_text(text, metadata={"id": doc_id})
    builder.build_index(str(folder / "index.leann"))


def opened(folder: Path, model: str) -> Ask:
    """Open the graph."""
    searcher = LeannSearcher(str(folder / "index.leann"), use_daemon=False)
    return lambda query: ([hit.metadata["id"] for hit in searcher.search(query, top_k=K)], None)


if __name__ == "__main__":
    main(build, opened)
