"""Run LEANN: a compact HNSW graph whose search computes embeddings again, or a graph that stores them.

The first is its default. Its documentation recommends the second (`--no-recompute`) for machines without a GPU.

The default model, all-MiniLM-L6-v2, comes from a local folder. By default its embedding server runs for another fifteen
minutes after the program ends. Here the server ends with the program, so that every new process starts cold.
"""

from pathlib import Path

from leann import LeannBuilder, LeannSearcher
from protocol import Document, K, Search, main


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Build the graph."""
    folder_of_model, recompute = split(model)
    builder = LeannBuilder(
        backend_name="hnsw",
        embedding_model=folder_of_model,
        embedding_mode="sentence-transformers",
        is_recompute=recompute,
        is_compact=recompute,
    )
    for doc_id, text in documents:
        builder.add_text(text, metadata={"id": doc_id})
    builder.build_index(str(folder / "index.leann"))


def open_index(folder: Path, model: str) -> Search:
    """Open the graph."""
    _, recompute = split(model)
    searcher = LeannSearcher(str(folder / "index.leann"), use_daemon=False, recompute_embeddings=recompute)
    return lambda query: ([hit.metadata["id"] for hit in searcher.search(query, top_k=K)], None)


def split(model: str) -> tuple[str, bool]:
    """Split the argument FOLDER[:stored] into the model's folder and whether a search computes embeddings again."""
    folder, _, stored = model.partition(":")
    return folder, not stored


if __name__ == "__main__":
    main(build, open_index)
