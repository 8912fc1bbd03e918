"""Compare the built-in encoders on part of the sample corpus: speed, and how often each finds the right document.

    python examples/compare_encoders.py [NUMBER_OF_DOCUMENTS]

The query is the quoted usage example of a dictionary entry; the right document is the definition of that entry.
"""

import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np

from hpdsearch import Encoder
from hpdsearch.corpus import read_corpus

SAMPLE = Path(__file__).parent / "wordnet.jsonl.gz"


def read_pairs(n: int) -> list[tuple[str, str]]:
    """Read n pairs (definition, usage example) from the sample corpus."""
    entries = (document.text.split('. "', maxsplit=1) for document in read_corpus(SAMPLE))
    return list(islice(((entry[0], entry[1]) for entry in entries if len(entry) == 2), n))


def main(n_documents: int = 500) -> None:
    """Print a line for each built-in encoder."""
    pairs = read_pairs(n_documents)
    definitions = [definition for definition, _ in pairs]
    examples = [example for _, example in pairs]
    print(f"{len(pairs)} definitions, as many queries")
    for name in Encoder.names():
        encoder = Encoder.load(name)
        start = time.perf_counter()
        documents = encoder.encode(definitions)  # (n, dim), rows of unit length
        seconds = time.perf_counter() - start
        scores = encoder.encode_queries(examples) @ documents.T  # (queries, documents)
        top10 = np.argsort(-scores, axis=1)[:, :10]
        recall = np.mean([row in ranking for row, ranking in enumerate(top10)])
        print(f"{name:7} dim {encoder.dim}  {len(pairs) / seconds:9,.0f} texts/s  recall@10 {recall:.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
