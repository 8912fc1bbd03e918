"""Distill an encoder of your own from a teacher, and index with it.

    pip install ".[distill]"
    python examples/own_encoder.py                        # offline, about a minute
    python examples/own_encoder.py TEACHER                # a sentence-transformers model: a folder, or its hub name

Without an argument the built-in encoder `base` is exported as a sentence-transformers model and serves as the teacher,
so that nothing has to be downloaded. The student becomes a static encoder: one vector for each token of `small`.
"""

import sys
import tempfile
from itertools import islice
from pathlib import Path

from hpdsearch import Index, distill
from hpdsearch.corpus import read_corpus
from hpdsearch.distillation.export.sentence_transformers import write_sentence_transformers
from hpdsearch.distillation.spec import DistillSpec

SAMPLE = Path(__file__).parent / "wordnet.jsonl.gz"
N_DOCUMENTS = 1000


def main(teacher: str | None = None) -> None:
    """Distill on part of the sample corpus, print the quality, and search with the new encoder."""
    documents = list(islice(read_corpus(SAMPLE), N_DOCUMENTS))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = distill(
            documents,
            teacher=teacher or write_sentence_transformers("base", folder / "teacher"),
            student="small",
            output=folder / "my-encoder",
            spec=DistillSpec(static=True),
            cache=folder / "cache",
            force=True,  # keep the encoder of this short demonstration, whatever the quality gates say
        )
        print("\n".join(made.quality.summary))
        with Index.build(folder / "index", documents, encoder=made.folder) as index:
            for hit in index.search("moving around on hands and knees", k=3):
                print(f"{hit.score:.3f}  {hit.title}: {hit.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
