"""Documents -> the texts that a student learns from and is judged on: passages, each once, some of them held out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from hpdsearch.corpus.passages import TokenSpans, split_documents
from hpdsearch.errors import DistillError
from hpdsearch.records import Document

BLOCK = 256  # documents whose token spans are in memory at once
LEAST_HELD_OUT = 20  # fewer texts have hardly more than the ten neighbours that are compared
HELD_OUT_SHARE = 10  # at most one text of so many is held out


@dataclass(frozen=True)
class CorpusTexts:
    """What was read.

    Attributes:
        texts: passages with their titles, none twice, in the order of the documents.
        n_documents: documents with text.
        n_empty: documents left out because they hold no text.
        n_duplicates: passages left out because the same one, title included, came before.
    """

    texts: list[str]
    n_documents: int
    n_empty: int
    n_duplicates: int

    @property
    def n_passages(self) -> int:
        """Passages that the documents were cut into."""
        return len(self.texts) + self.n_duplicates


def read_texts(documents: Iterable[Document], token_spans: TokenSpans, *, max_tokens: int) -> CorpusTexts:
    """Cut documents into passages as for an index, but without overlap.

    Args:
        documents: consumed once; all their passages are held in memory.
        token_spans: (start, end) characters of the tokens of each text, as in split_documents.
        max_tokens: of a passage, its title included.

    Raises:
        DistillError: no document holds text.
        ShapeError: max_tokens is out of range.
    """
    texts: dict[str, None] = {}
    n_documents = n_empty = n_passages = 0
    stream = iter(documents)
    while block := list(islice(stream, BLOCK)):
        filled = [document for document in block if document.text and not document.text.isspace()]
        n_documents, n_empty = n_documents + len(filled), n_empty + len(block) - len(filled)
        for cut in split_documents(filled, token_spans, max_tokens=max_tokens, overlap=0):
            n_passages += len(cut.texts)
            texts |= dict.fromkeys(cut.texts)
    if not texts:
        raise DistillError(f"texts: expected documents with text to learn from, got {n_empty} documents without any")
    return CorpusTexts(list(texts), n_documents, n_empty, n_duplicates=n_passages - len(texts))


def held_out_split(texts: Sequence[str], n: int, seed: int) -> tuple[list[str], list[str]]:
    """Return (training texts, held-out texts), both in the order of `texts`; equal seeds draw the same ones.

    Args:
        texts: none twice.
        n: texts to hold out, >= 20; of fewer than 10 n texts a tenth is held out.
        seed: of the draw.

    Raises:
        DistillError: n is smaller, or a tenth of the texts is.
    """
    if n < LEAST_HELD_OUT:
        raise DistillError(f"held-out texts: expected at least {LEAST_HELD_OUT}, got {n}")
    if len(texts) < HELD_OUT_SHARE * LEAST_HELD_OUT:
        raise DistillError(
            f"texts: expected at least {HELD_OUT_SHARE * LEAST_HELD_OUT} different passages, so that a tenth can judge "
            f"what was learned, got {len(texts)}; give more texts"
        )
    n = min(n, len(texts) // HELD_OUT_SHARE)
    held = set(np.random.default_rng(seed).choice(len(texts), n, replace=False).tolist())
    train = [text for position, text in enumerate(texts) if position not in held]
    return train, [texts[position] for position in sorted(held)]
