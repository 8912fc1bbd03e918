"""hpdsearch as a program uses it. The model is ENCODER or ENCODER:MODE (hybrid, dense)."""

import time
from pathlib import Path
from typing import Any

from protocol import Answer, Ask, Document, K, main

import hpdsearch


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Build an index."""
    records = (hpdsearch.Document(doc_id, text) for doc_id, text in documents)
    hpdsearch.Index.build(folder / "index", records, encoder=model.partition(":")[0]).close()


def opened(folder: Path, model: str) -> Ask:
    """Open the index with an encoder that is timed."""
    name, _, mode = model.partition(":")
    encoder = hpdsearch.Encoder.load(name)
    index = hpdsearch.Index.open(folder / "index", encoder=TimedEncoder(encoder))

    def ask(query: str) -> Answer:
        spent = TimedEncoder.seconds
        hits = index.search(query, K, mode=mode or "hybrid")
        return [hit.doc_id for hit in hits], TimedEncoder.seconds - spent

    return ask


class TimedEncoder(hpdsearch.Encoder):
    """An encoder that counts the seconds it takes."""

    seconds = 0.0

    def __init__(self, encoder: hpdsearch.Encoder) -> None:
        """Stand for an encoder that was loaded."""
        vars(self).update(vars(encoder))

    def encode(self, *texts: Any, **options: Any) -> Any:
        """Encode."""
        start = time.perf_counter()
        vectors = super().encode(*texts, **options)
        TimedEncoder.seconds += time.perf_counter() - start
        return vectors


if __name__ == "__main__":
    main(build, opened)
