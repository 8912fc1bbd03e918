"""Does a heading help the passages below it? nDCG@10 with titles before every passage, or before the first one only.

The titles of judged documents stand for headings: a title names the text below it, as a heading does. Documents are cut
into short passages, so that most passages do not hold the title. In both indexes a document has the same words.

    python -m benchmarks.quality.headings --data data/retrieval
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from benchmarks.common.results import RESULTS, Result, measurement, result, write_result
from hpdsearch import Document, Encoder, Index
from hpdsearch.evaluation.beir import Collection, read_collections
from hpdsearch.evaluation.files import read_filled_lines
from hpdsearch.evaluation.metrics import ndcg_at_k, paired_bootstrap

SHORT = 48  # tokens of title and passage; longer documents have several passages
MIN_TITLED = 0.9  # of the documents
MODES = ("hybrid", "dense")


def main() -> None:
    """Read the options, search each collection with both indexes, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of BEIR folders")
    parser.add_argument("--encoder", default="base", help="an encoder, by name or folder")
    parser.add_argument("--max-tokens", type=int, default=SHORT, help="tokens of a passage, title included")
    parser.add_argument("--output", type=Path, default=RESULTS / "headings.json", help="result file")
    options = parser.parse_args()
    encoder = Encoder.load(options.encoder)
    encoder.max_tokens = options.max_tokens
    measured = []
    used = {}
    for collection in read_collections(options.data):
        documents = list(read_documents(collection.corpus))
        n_titled = sum(bool(document.title) for document in documents)
        if n_titled < MIN_TITLED * len(documents):
            continue
        used[collection.name] = len(documents)
        measured += compare(collection, documents, encoder)
    settings = {"encoder": options.encoder, "max_tokens": options.max_tokens, "n_documents": used}
    write_result(result("headings", settings, measured, []), options.output)


def read_documents(corpus: Path) -> Iterator[Document]:
    """Yield the documents of a corpus with their titles apart, without those that have no text."""
    for _, line in read_filled_lines(corpus):
        record = json.loads(line)
        if (record.get("text") or "").strip():
            yield Document(str(record["_id"]), record["text"], record.get("title"))


def compare(collection: Collection, documents: list[Document], encoder: Encoder) -> list[Result]:
    """Return the mean nDCG@10 of both indexes and of the difference, with its interval, in each mode."""
    without = [Document(each.doc_id, f"{each.title}\n\n{each.text}".strip()) for each in documents]
    scores = {True: search(collection, documents, encoder), False: search(collection, without, encoder)}
    rows = []
    for mode in MODES:
        differences = [a - b for a, b in zip(scores[True][mode], scores[False][mode], strict=True)]
        low, high = paired_bootstrap(differences, seed=0)
        name = f"{collection.name}, {mode}"
        rows.append(measurement(f"{name}: title before every passage", "nDCG@10", [fmean(scores[True][mode])]))
        rows.append(measurement(f"{name}: title before the first passage", "nDCG@10", [fmean(scores[False][mode])]))
        interval = [fmean(differences), low, high]
        rows.append(measurement(f"{name}: difference and its 95 % interval", "nDCG@10", interval))
    return rows


def search(collection: Collection, documents: list[Document], encoder: Encoder) -> dict[str, list[float]]:
    """Return the nDCG@10 of each query, by mode, of an index of these documents."""
    queries = collection.queries
    with tempfile.TemporaryDirectory() as folder, Index.build(folder, documents, encoder=encoder) as index:
        print(f"{collection.name}: {index.info().n_passages / len(documents):.1f} passages a document", flush=True)
        found = {mode: index.search(list(queries.values()), 10, mode=mode) for mode in MODES}
    return {
        mode: [
            ndcg_at_k([hit.doc_id for hit in hits], collection.qrels[query_id])
            for query_id, hits in zip(queries, answers, strict=True)
        ]
        for mode, answers in found.items()
    }


if __name__ == "__main__":
    main()
