"""Variants of short texts: near, but not equal. Fine differences are learned on them; corpora hold few such pairs."""

import re

import numpy as np

WORD = re.compile(r"\S+")
LONGEST = 24  # words; longer texts are left alone
SHORTEST = 4


def make_variants(texts: list[str], n_variants: int, seed: int) -> list[str]:
    """Return up to n_variants of each text of 4 to 24 words, in the order of the texts, none equal to its text.

    A variant lacks one to three of the words, has two words exchanged, has one taken from another text, is cropped, or
    continues as another text does.

    Args:
        texts: what variants are made of.
        n_variants: of each.
        seed: another one makes other variants.
    """
    if not n_variants:
        return []  # nor are millions of texts cut into words
    rng = np.random.default_rng(seed)
    split = [WORD.findall(text) for text in texts]
    short = [words for words in split if SHORTEST <= len(words) <= LONGEST]
    variants = []
    for words in short:
        for _ in range(n_variants):
            other = short[rng.integers(len(short))]
            changed = CHANGES[rng.integers(len(CHANGES))](list(words), other, rng)
            if changed != words:
                variants.append(" ".join(changed))
    return variants


def drop(words: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Leave out one to three words."""
    gone = set(rng.choice(len(words), min(int(rng.integers(1, 4)), len(words) // 2), replace=False).tolist())
    return [word for position, word in enumerate(words) if position not in gone]


def exchange(words: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Exchange two words."""
    one, two = rng.choice(len(words), 2, replace=False)
    words[one], words[two] = words[two], words[one]
    return words


def replace(words: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Put a word of the other text in the place of one."""
    words[rng.integers(len(words))] = other[rng.integers(len(other))]
    return words


def crop(words: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Keep a stretch of half the words or more."""
    n_kept = int(rng.integers(len(words) // 2, len(words)))
    first = int(rng.integers(0, len(words) - n_kept + 1))
    return words[first : first + n_kept]


def cross(words: list[str], other: list[str], rng: np.random.Generator) -> list[str]:
    """Go on as the other text does."""
    share = rng.uniform(0.3, 0.7)
    return words[: max(1, round(share * len(words)))] + other[round(share * len(other)) :]


CHANGES = (drop, exchange, replace, crop, cross)
