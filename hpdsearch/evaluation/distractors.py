"""Distractors: texts that answer no judged query, among which the judged documents must be found.

Small collections flatter an encoder: it need not tell a relevant document from a hundred thousand others.
"""

import hashlib
import random
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hpdsearch.errors import CorpusError
from hpdsearch.evaluation.beir import Collection
from hpdsearch.evaluation.files import read_filled_lines

SEED = 7


@dataclass(frozen=True)
class DistractorFile:
    """Texts to draw: n lines of a file, which is plain or .gz and has one text per line."""

    path: Path
    n: int


def read_distractors(
    files: Sequence[DistractorFile], collections: Sequence[Collection], *, seed: int = SEED
) -> list[str]:
    """Draw different texts, none of which is a document of a collection.

    Args:
        files: the texts to draw.
        collections: judged collections.
        seed: of the order in which the texts of a file are drawn.

    Raises:
        CorpusError: a file cannot be read or has too few texts, or a line of a corpus is not as expected.
    """
    known = digest_documents(collections)
    drawn: list[str] = []
    for file in files:
        texts = draw_texts((line.strip() for _, line in read_filled_lines(file.path)), file.n, known, seed=seed)
        if len(texts) < file.n:
            raise CorpusError(
                f"{file.path}: expected {file.n:,} different texts that are not documents of the collections, got "
                f"{len(texts):,}"
            )
        known.update(map(digest_words, texts))
        drawn += texts
    return drawn


def draw_texts(texts: Iterable[str], n: int, known: Container[bytes], *, seed: int = SEED) -> list[str]:
    """Return the first n texts in a seeded order that are not known; fewer if there are not as many.

    Args:
        texts: in any order, repeated or not. Smaller n give the first texts of larger n.
        n: number of texts.
        known: digests of other texts, see digest_words.
        seed: of the order.
    """
    order = sorted(set(texts))  # the order of a set differs between runs
    random.Random(seed).shuffle(order)
    return list(islice((text for text in order if digest_words(text) not in known), n))


def digest_documents(collections: Iterable[Collection]) -> set[bytes]:
    """Return the digests of all documents."""
    return {digest_words(text) for collection in collections for _, text in collection.documents()}


def digest_words(text: str) -> bytes:
    """Return a digest of a text's letters and digits; upper and lower case are the same."""
    return hashlib.blake2b(re.sub(r"[\W_]+", "", text).casefold().encode(), digest_size=16).digest()
