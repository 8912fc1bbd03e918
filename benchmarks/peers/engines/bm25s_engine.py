"""bm25s as its first example has it: English stop words left out, words stemmed."""

import json
from pathlib import Path

import bm25s
import Stemmer
from protocol import Ask, Document, K, main


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Tokenize, index, save."""
    tokens = bm25s.tokenize([text for _, text in documents], stopwords="en", stemmer=Stemmer.Stemmer("english"))
    retriever = bm25s.BM25()
    retriever.index(tokens)
    retriever.save(folder / "index")
    (folder / "documents.json").write_text(json.dumps(documents), encoding="utf-8")


def opened(folder: Path, model: str) -> Ask:
    """Load the index."""
    retriever, stemmer = bm25s.BM25.load(folder / "index"), Stemmer.Stemmer("english")
    documents = json.loads((folder / "documents.json").read_bytes())

    def ask(query: str) -> tuple[list[str], float]:
        tokens = bm25s.tokenize([query], stopwords="en", stemmer=stemmer, show_progress=False)
        rows, scores = retriever.retrieve(tokens, k=K, show_progress=False)
        # It fills up with documents that share no word; their score is 0.
        return [documents[row][0] for row, score in zip(rows[0], scores[0], strict=True) if score > 0], 0.0

    return ask


if __name__ == "__main__":
    main(build, opened)
