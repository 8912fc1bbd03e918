"""The texts of a distillation: documents become passages, and texts with targets become a training set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from hpdsearch.corpus.passages import TokenSpans, split_documents
from hpdsearch.errors import DistillError
from hpdsearch.records import Document

BLOCK = 256  # documents whose token spans are in memory at once

Ids = Sequence[Sequence[int]]  # the token ids of each text, without special tokens


@dataclass(frozen=True)
class TrainingSet:
    """Tokenized texts and the vectors that a student learns for them.

    Attributes:
        token_ids: of n texts.
        targets: unit vectors in the space (n, dim), float32, or float16 in a memory map.
    """

    token_ids: Ids
    targets: np.ndarray


@dataclass(frozen=True)
class CorpusTexts:
    """The passages of a corpus, and counts.

    Attributes:
        texts: distinct passages with their titles, in the order of the documents.
        n_documents: documents with text.
        n_empty: documents without text, which are left out.
        n_duplicates: passages that repeat an earlier one, title included; they are left out.
    """

    texts: list[str]
    n_documents: int
    n_empty: int
    n_duplicates: int

    @property
    def n_passages(self) -> int:
        """The number of passages before duplicates were removed."""
        return len(self.texts) + self.n_duplicates


def read_texts(documents: Iterable[Document], token_spans: TokenSpans, *, max_tokens: int) -> CorpusTexts:
    """Split documents into passages as for an index, but without overlap.

    Args:
        documents: consumed once. All their passages are held in memory.
        token_spans: (start, end) characters of the tokens of each text, as in split_documents.
        max_tokens: of a passage, including its title.

    Raises:
        DistillError: no document contains text.
        ShapeError: max_tokens is out of range.
    """
    texts: dict[str, None] = {}
    n_documents = n_empty = n_passages = 0
    stream = iter(documents)
    while block := list(islice(stream, BLOCK)):
        filled = [document for document in block if document.text and not document.text.isspace()]
        n_documents += len(filled)
        n_empty += len(block) - len(filled)
        for cut in split_documents(filled, token_spans, max_tokens=max_tokens, overlap=0):
            n_passages += len(cut.texts)
            texts |= dict.fromkeys(cut.texts)
    if not texts:
        raise DistillError(f"texts: expected documents with text, got {n_empty} documents without text")
    return CorpusTexts(list(texts), n_documents, n_empty, n_duplicates=n_passages - len(texts))
