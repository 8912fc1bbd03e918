"""Search with sentence-transformers in a short script: prepare the embeddings once, then run one query per process.

    python sentence_transformers_query.py prepare documents.json embeddings.npy --model all-MiniLM-L6-v2
    python sentence_transformers_query.py query "fear of spiders" documents.json embeddings.npy --model all-MiniLM-L6-v2

documents.json is a list of objects with id, title and text. The environment does not contain hpdsearch.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

K = 10


def main() -> None:
    """Read the options and run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare")
    commands.add_parser("query").add_argument("text")
    for command in commands.choices.values():
        command.add_argument("documents", type=Path)
        command.add_argument("embeddings", type=Path)
        command.add_argument("--model", type=Path, required=True, help="local model folder")
    options = parser.parse_args()
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    model = SentenceTransformer(str(options.model), device="cpu")
    documents = json.loads(options.documents.read_bytes())
    if options.command == "prepare":
        np.save(options.embeddings, embed(model, documents))
        return
    for score, document in find_best(model, documents, np.load(options.embeddings), options.text):
        print(f"{score:.4f}  {document['title']}  [{document['id']}]  {document['text']}")


def embed(model: Any, documents: list[dict[str, str]]) -> np.ndarray:
    """Return the unit vectors (n, dim) of documents, title before text."""
    texts = [f"{document['title']}\n{document['text']}".strip() for document in documents]
    vectors: np.ndarray = model.encode(texts, normalize_embeddings=True, show_progress_bar=True)
    return vectors


def find_best(
    model: Any, documents: list[dict[str, str]], embeddings: np.ndarray, text: str
) -> list[tuple[float, dict[str, str]]]:
    """Return the K documents whose embeddings (n, dim) have the largest cosine with the query, best first."""
    scores = embeddings @ model.encode([text], normalize_embeddings=True)[0]
    rows = np.argpartition(-scores, min(K, len(scores)) - 1)[:K]
    return [(float(scores[row]), documents[row]) for row in rows[np.argsort(-scores[rows])]]


if __name__ == "__main__":
    main()
