"""Augmentation of short texts.

An augmented text is near its original, but not equal. The student learns fine differences from such pairs, which are
rare in a corpus.
"""

import re

import numpy as np

TOKEN = re.compile(r"\S+")
MIN_TOKENS = 4  # separated by white space
MAX_TOKENS = 24  # longer texts are not augmented


def augment_texts(texts: list[str], n_augmented: int, seed: int) -> list[str]:
    """Make up to n_augmented texts of each text of 4 to 24 tokens, in the order of the texts.

    Each is made by one of five operations: random deletion of one to three tokens, random swap of two tokens,
    replacement of a token by one of another text, cropping, and splicing with another text.

    Args:
        texts: the originals.
        n_augmented: per text. A result that equals its original is left out.
        seed: of the operations and their positions.

    Source: deletion and swap are those of EDA (Wei & Zou 2019, arXiv:1901.11196).
    """
    if not n_augmented:
        return []  # millions of texts need not be split into tokens
    rng = np.random.default_rng(seed)
    split = [TOKEN.findall(text) for text in texts]
    short = [tokens for tokens in split if MIN_TOKENS <= len(tokens) <= MAX_TOKENS]
    augmented = []
    for tokens in short:
        for _ in range(n_augmented):
            other = short[rng.integers(len(short))]
            changed = OPERATIONS[rng.integers(len(OPERATIONS))](list(tokens), other, rng)
            if changed != tokens:
                augmented.append(" ".join(changed))
    return augmented


def delete(tokens: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Delete one to three tokens, at most half of them."""
    n_deleted = min(int(rng.integers(1, 4)), len(tokens) // 2)
    deleted = set(rng.choice(len(tokens), n_deleted, replace=False).tolist())
    return [token for position, token in enumerate(tokens) if position not in deleted]


def swap(tokens: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Swap two tokens."""
    one, two = rng.choice(len(tokens), 2, replace=False)
    tokens[one], tokens[two] = tokens[two], tokens[one]
    return tokens


def replace(tokens: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Replace a token by one of the other text."""
    tokens[rng.integers(len(tokens))] = other[rng.integers(len(other))]
    return tokens


def crop(tokens: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Keep a span of at least half of the tokens."""
    n_kept = int(rng.integers(len(tokens) // 2, len(tokens)))
    first = int(rng.integers(0, len(tokens) - n_kept + 1))
    return tokens[first : first + n_kept]


def splice(tokens: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Join the beginning of the text and the end of the other text."""
    share = rng.uniform(0.3, 0.7)
    return tokens[: max(1, round(share * len(tokens)))] + other[round(share * len(other)) :]


OPERATIONS = (delete, swap, replace, crop, splice)
