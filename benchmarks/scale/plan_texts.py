"""Measure the bytes on disk of documents of several lengths, their tokens and their passages.

Documents of so many words are made by joining the texts of a corpus, each text in one document only.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.common.results import Result, measurement
from hpdsearch import Document, Encoder, Index

WORDS = (15, 60, 120, 240, 480, 960)


def join_texts(texts: Sequence[str], words: int, n: int) -> list[Document]:
    """Return up to n documents of at least so many words each."""
    documents: list[Document] = []
    part: list[str] = []
    n_words = 0
    for text in texts:
        part.append(text)
        n_words += len(text.split())
        if n_words >= words:
            documents.append(Document(str(len(documents)), " ".join(part)))
            part = []
            n_words = 0
            if len(documents) == n:
                break
    return documents


def measure_texts(texts: Sequence[str], encoder: Encoder, n: int, work: Path) -> Iterator[Result]:
    """Yield words, tokens, passages and bytes of a document, for each length; an index of n documents is built."""
    for words in WORDS:
        documents = join_texts(texts, words, n)
        folder = work / f"texts-{words}-{n}"
        if not folder.exists():
            Index.build(folder, documents, encoder=encoder).close()
        with Index.open(folder, encoder=encoder) as index:
            described = index.info()
        if described.n_buffered:
            raise SystemExit(f"{words} words: expected documents for more than a buffer, got {len(documents):,}")
        count = len(documents)
        tokens = sum(map(len, encoder.token_spans([one.text for one in documents])))
        per_document = {
            "words": sum(len(one.text.split()) for one in documents) / count,
            "tokens": tokens / count,
            "passages": described.n_passages / count,
            "catalog_bytes": described.disk_bytes["documents"] / count,
            "lexical_bytes": described.disk_bytes["lexical"] / count,
        }
        for what, value in per_document.items():
            unit = "B" if what.endswith("bytes") else ""
            name = f"documents of {words} words: {what.replace('_', ' ')}"
            yield measurement(name, unit, [value]) | {"what": what, "words": words, "n_documents": count}
