"""Run bm25s as in its first example: English stop words are removed, words are stemmed."""

import json
from pathlib import Path

import bm25s
import Stemmer
from protocol import Document, K, Search, main


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Tokenize, index, save."""
    tokens = bm25s.tokenize([text for _, text in documents], stopwords="en", stemmer=Stemmer.Stemmer("english"))
    retriever = bm25s.BM25()
    retriever.index(tokens)
    retriever.save(folder / "index")
    (folder / "documents.json").write_text(json.dumps(documents), encoding="utf-8")


def open_index(folder: Path, model: str) -> Search:
    """Load the index."""
    retriever = bm25s.BM25.load(folder / "index")
    stemmer = Stemmer.Stemmer("english")
    documents = json.loads((folder / "documents.json").read_bytes())

    def search(query: str) -> tuple[list[str], float]:
        tokens = bm25s.tokenize([query], stopwords="en", stemmer=stemmer, show_progress=False)
        rows, scores = retriever.retrieve(tokens, k=K, show_progress=False)
        # bm25s fills the list with documents that share no term with the query; their score is 0.
        return [documents[row][0] for row, score in zip(rows[0], scores[0], strict=True) if score > 0], 0.0

    return search


if __name__ == "__main__":
    main(build, open_index)
