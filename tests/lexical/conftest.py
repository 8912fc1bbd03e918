"""Fixtures: a lexical folder of 150 passages."""

import random

import pytest
from lexical_folders import WORDS, write_folder


@pytest.fixture(scope="module")
def corpus():
    rng = random.Random(7)
    frequencies = [1 / (i + 1) for i in range(len(WORDS))]
    lengths = [rng.randint(1, 36) for _ in range(150)]  # Tantivy keeps lengths below 40 words exactly
    passages = [rng.choices(WORDS, frequencies, k=length) for length in lengths]
    titles = [rng.choices(WORDS, k=rng.randint(0, 3)) for _ in passages]
    return titles, passages


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    pairs = [(" ".join(title), " ".join(passage)) for title, passage in zip(*corpus, strict=True)]
    return write_folder(tmp_path_factory.mktemp("lexical") / "l", pairs)
