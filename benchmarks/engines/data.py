"""Write corpus, queries and judgments of the comparison of programs into a folder, and print a description as JSON.

This runs in a process of its own, because on Linux the peak memory of the parent counts for every child process.
"""

import argparse
import json
from pathlib import Path

from benchmarks.common.mixed_corpus import mix_corpus, select_collections
from hpdsearch.evaluation import read_collections

QUERIES_FILE = "queries.json"


def main() -> None:
    """Read the options and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--retrieval", type=Path, required=True)
    parser.add_argument("--mix", nargs="+", required=True)
    parser.add_argument("--fill", type=Path, nargs="+", required=True)
    parser.add_argument("--n", type=int, required=True)
    options = parser.parse_args()
    collections = select_collections(read_collections(options.retrieval), options.mix)
    made = mix_corpus(collections, options.fill, options.n)
    options.folder.mkdir(parents=True, exist_ok=True)
    records = ({"id": doc_id, "text": text} for doc_id, text in made.documents.items())
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (options.folder / "corpus.jsonl").write_text(lines, encoding="utf-8")
    queries_and_qrels = {
        "queries": dict(made.queries),
        "qrels": {query_id: dict(grades) for query_id, grades in made.qrels.items()},
    }
    (options.folder / QUERIES_FILE).write_text(json.dumps(queries_and_qrels), encoding="utf-8")
    print(json.dumps(dict(made.about)))


if __name__ == "__main__":
    main()
