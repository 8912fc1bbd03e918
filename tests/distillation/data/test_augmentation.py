from collections import Counter

import numpy as np
import pytest

from hpdsearch.distillation.data.augmentation import crop, cross, drop, exchange, make_variants, replace

WORDS = ["one", "two", "three", "four", "five", "six", "seven"]
OTHER = ["A", "B", "C", "D", "E", "F", "G", "H"]


def test_each_text_of_four_to_twenty_four_words_gets_its_variants_in_order():
    texts = ["too few words", " ".join(map(str, range(24))), "x " * 25, "a b c d"]
    variants = make_variants(texts, 50, seed=0)
    numbers = {str(number) for number in range(24)}
    owners = [len({*variant.split()} & numbers) > len({*variant.split()} & {*"abcd"}) for variant in variants]
    assert owners.index(False) > 40
    assert 80 < len(variants) <= 100
    assert not {*variants} & {*texts}
    assert not any("x" in variant.split() or "few" in variant for variant in variants)


def test_equal_seeds_make_equal_variants():
    texts = [" ".join(WORDS), " ".join(OTHER)]
    assert make_variants(texts, 9, seed=1) == make_variants(texts, 9, seed=1) != make_variants(texts, 9, seed=2)
    # Embeddings of variants are kept for long: these are not to change.
    assert make_variants(texts, 2, seed=1) == FIXED
    assert make_variants(texts, 0, seed=1) == make_variants([], 3, seed=1) == []


@pytest.mark.parametrize("seed", range(25))
def test_every_change_does_what_it_says(seed):
    def rng():
        return np.random.default_rng(seed)

    left = drop([*WORDS], OTHER, rng())
    assert 1 <= len(WORDS) - len(left) <= 3
    assert left == [word for word in WORDS if word in left]
    exchanged = exchange([*WORDS], OTHER, rng())
    assert Counter(exchanged) == Counter(WORDS)
    assert sum(one != other for one, other in zip(exchanged, WORDS, strict=True)) == 2
    pairs = zip(replace([*WORDS], OTHER, rng()), WORDS, strict=True)
    assert [one in OTHER for one, other in pairs if one != other] == [True]
    cropped = crop([*WORDS], OTHER, rng())
    assert len(WORDS) // 2 <= len(cropped) < len(WORDS)
    assert " ".join(cropped) in " ".join(WORDS)
    crossed = cross([*WORDS], OTHER, rng())
    n_own = sum(word in WORDS for word in crossed)
    assert n_own in range(2, 6)
    assert crossed == WORDS[:n_own] + OTHER[len(OTHER) - (len(crossed) - n_own) :]


FIXED = ["one two three four five six six", "one four six seven", "A B C D four five six seven"]
