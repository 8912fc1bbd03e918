"""Run hpdsearch through its Python API. The model is ENCODER or ENCODER:MODE (hybrid, dense)."""

import time
from pathlib import Path
from typing import Any

from protocol import Answer, Document, K, Search, main

import hpdsearch


def build(documents: list[Document], folder: Path, model: str) -> None:
    """Build an index."""
    records = (hpdsearch.Document(doc_id, text) for doc_id, text in documents)
    hpdsearch.Index.build(folder / "index", records, encoder=model.partition(":")[0]).close()


def open_index(folder: Path, model: str) -> Search:
    """Open the index with an encoder that counts its seconds."""
    name, _, mode = model.partition(":")
    encoder = hpdsearch.Encoder.load(name)
    index = hpdsearch.Index.open(folder / "index", encoder=TimedEncoder(encoder))

    def search(query: str) -> Answer:
        spent = TimedEncoder.seconds
        hits = index.search(query, K, mode=mode or "hybrid")
        return [hit.doc_id for hit in hits], TimedEncoder.seconds - spent

    return search


class TimedEncoder(hpdsearch.Encoder):
    """An encoder that counts the seconds of encoding."""

    seconds = 0.0

    def __init__(self, encoder: hpdsearch.Encoder) -> None:
        """Wrap a loaded encoder."""
        vars(self).update(vars(encoder))

    def _encode(self, *arguments: Any) -> Any:
        start = time.perf_counter()
        vectors = super()._encode(*arguments)
        TimedEncoder.seconds += time.perf_counter() - start
        return vectors


if __name__ == "__main__":
    main(build, open_index)
