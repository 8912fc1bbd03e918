"""Run one round of the indexing benchmark without torch: build an index, encode the same texts, print JSON.

python -m benchmarks.product.indexing_round CORPUS --texts 100000 --order build encode
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.common.harness import positive
from hpdsearch import Document, Encoder, Index
from hpdsearch.corpus import read_corpus
from hpdsearch.corpus.passages import split_documents
from hpdsearch.encoder import DEFAULT_ENCODER

STEPS = ("build", "encode")
WARM_UP = 256  # documents


def main() -> None:
    """Read the options, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--texts", type=positive, required=True, help="number of documents")
    parser.add_argument("--order", nargs=2, choices=STEPS, default=STEPS)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    options = parser.parse_args()
    print(json.dumps(measure_round(options.corpus, options.texts, Encoder.load(options.encoder), options.order)))


def measure_round(corpus: Path, n: int, encoder: Encoder, order: Sequence[str]) -> dict[str, Any]:
    """Return the wall times in seconds of building an index of n documents and of encoding the same texts.

    The time of building starts when the corpus file is opened and ends when the committed index is open. The encoder is
    loaded before, and both steps run once with few documents as a warm-up.

    Args:
        corpus: file with at least n documents.
        n: number of documents.
        encoder: encoder of both steps.
        order: "build" and "encode", in the order to run.
    """
    texts = passage_texts(iterate_documents(corpus, n), encoder)
    build(corpus, min(n, WARM_UP), encoder)
    encoder.encode(texts[:WARM_UP])
    found: dict[str, Any] = {"n_passages": len(texts)}
    for step in order:
        if step == "build":
            found |= build(corpus, n, encoder)
        else:
            start = time.perf_counter()
            encoder.encode(texts)
            found["encode_seconds"] = time.perf_counter() - start
    return found


def build(corpus: Path, n: int, encoder: Encoder) -> dict[str, Any]:
    """Build an index of the first n documents in a temporary folder, and return wall times and counts."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with Index.build(Path(folder) / "index", iterate_documents(corpus, n), encoder=encoder) as index:
            seconds = time.perf_counter() - start
            assert index.report is not None
            return {
                "build_seconds": seconds,
                "encode_seconds_in_build": index.report.encode_seconds,
                "n_documents": index.report.n_documents,
            }


def iterate_documents(corpus: Path, n: int) -> Iterator[Document]:
    """Yield the first n documents of a corpus."""
    return islice(read_corpus(corpus), n)


def passage_texts(documents: Iterator[Document], encoder: Encoder) -> list[str]:
    """Return the passage texts that indexing passes to the encoder."""
    splits = split_documents(list(documents), encoder.token_spans, max_tokens=encoder.max_tokens)
    return [text for split in splits for text in split.texts]


if __name__ == "__main__":
    main()
