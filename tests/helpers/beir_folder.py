"""Small BEIR folders."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

CORPUS = [
    {"_id": "b", "title": "sea", "text": "the ship on the river"},
    {"_id": "a", "title": "", "text": "the cat runs"},
    {"_id": "c", "title": "", "text": "the cat runs"},
    {"_id": "q1", "title": "", "text": "stone and gold"},
    {"_id": "d", "title": None, "text": "a king of war and peace"},
    {"_id": "q2", "title": "", "text": "a  small bird sings"},
]
QUERIES = {"q1": "a cat that runs", "q2": "a small bird sings", "q3": "war and peace", "q4": "cold", "q5": "rain"}
QRELS = [
    ("q1", "a", 2),
    ("q1", "b", 1),
    ("q1", "d", 0),
    ("q2", "a", 1),
    ("q3", "d", 1),
    ("q3", "lost", 1),
    ("q4", "a", 0),
    ("q9", "a", 1),
]


def write_beir(
    folder: Path,
    corpus: Sequence[Mapping[str, object]] = CORPUS,
    queries: Mapping[str, str] = QUERIES,
    qrels: Sequence[tuple[str, str, int]] = QRELS,
) -> Path:
    """Write a collection, its corpus as .gz."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(d) + "\n" for d in corpus).encode()))
    lines = [json.dumps({"_id": query_id, "text": text}) + "\n" for query_id, text in queries.items()]
    (folder / "queries.jsonl").write_text("".join(lines))
    rows = ["\t".join(map(str, row)) + "\n" for row in [("query-id", "corpus-id", "score"), *qrels]]
    (folder / "qrels" / "test.tsv").write_text("".join(rows))
    return folder
