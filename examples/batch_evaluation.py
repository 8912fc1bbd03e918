"""Search judged queries in one batch, score the run, and compare the search modes.

    python examples/batch_evaluation.py

`hpdsearch evaluate retrieval FOLDER` does this for the vectors of any BEIR folder.
"""

import tempfile
from itertools import islice
from pathlib import Path

import numpy as np

from hpdsearch import Index
from hpdsearch.corpus import read_corpus
from hpdsearch.evaluation import mrr_at_k, ndcg_at_k

SAMPLE = Path(__file__).parent / "wordnet.jsonl.gz"
N_DOCUMENTS = 2000
# The qrels: for each query the doc_ids that are relevant to it, with their relevance.
QRELS = {
    "moving around on hands and knees": {"n00294868": 1},
    "lowering what people pay to the state": {"n00353100": 1},
    "passing another car on the road": {"n00340192": 1},
    "making somebody feel small": {"n00273449": 1},
    "eyes getting used to the sun": {"n00193811": 1},
    "soaking something through": {"n00402671": 1},
    "changing the order of things": {"n00339646": 1},
}


def main() -> None:
    """Index part of the sample corpus, search all queries at once in each mode, and print the metrics."""
    with tempfile.TemporaryDirectory() as folder:
        documents = islice(read_corpus(SAMPLE), N_DOCUMENTS)
        with Index.build(folder, documents, encoder="static") as index:
            for mode in ("lexical", "dense", "hybrid"):
                run = index.search(list(QRELS), k=10, mode=mode)
                rankings = [[hit.doc_id for hit in hits] for hits in run]
                ndcg = np.mean([ndcg_at_k(*pair) for pair in zip(rankings, QRELS.values(), strict=True)])
                mrr = np.mean([mrr_at_k(*pair) for pair in zip(rankings, QRELS.values(), strict=True)])
                print(f"{mode:8} nDCG@10 {ndcg:.3f}  MRR@10 {mrr:.3f}")


if __name__ == "__main__":
    main()
