from collections import Counter

import numpy as np
import pytest

from hpdsearch.distillation.data.augmentation import augment_texts, crop, delete, replace, splice, swap

WORDS = ["one", "two", "three", "four", "five", "six", "seven"]
OTHER = ["A", "B", "C", "D", "E", "F", "G", "H"]


def test_each_text_of_four_to_twenty_four_tokens_is_augmented_in_order():
    texts = ["too few words", " ".join(map(str, range(24))), "x " * 25, "a b c d"]
    augmented = augment_texts(texts, 50, seed=0)
    numbers = {str(number) for number in range(24)}
    owners = [len({*text.split()} & numbers) > len({*text.split()} & {*"abcd"}) for text in augmented]
    assert owners.index(False) > 40
    assert 80 < len(augmented) <= 100
    assert not {*augmented} & {*texts}
    assert not any("x" in text.split() or "few" in text for text in augmented)


def test_equal_seeds_make_equal_texts():
    texts = [" ".join(WORDS), " ".join(OTHER)]
    assert augment_texts(texts, 9, seed=1) == augment_texts(texts, 9, seed=1) != augment_texts(texts, 9, seed=2)
    # Caches hold the embeddings of augmented texts, so the texts must not change between releases.
    assert augment_texts(texts, 2, seed=1) == FIXED
    assert augment_texts(texts, 0, seed=1) == augment_texts([], 3, seed=1) == []


@pytest.mark.parametrize("seed", range(25))
def test_every_operation_does_what_its_name_says(seed):
    def rng():
        return np.random.default_rng(seed)

    left = delete([*WORDS], OTHER, rng())
    assert 1 <= len(WORDS) - len(left) <= 3
    assert left == [word for word in WORDS if word in left]
    swapped = swap([*WORDS], OTHER, rng())
    assert Counter(swapped) == Counter(WORDS)
    assert sum(one != other for one, other in zip(swapped, WORDS, strict=True)) == 2
    pairs = zip(replace([*WORDS], OTHER, rng()), WORDS, strict=True)
    assert [one in OTHER for one, other in pairs if one != other] == [True]
    cropped = crop([*WORDS], OTHER, rng())
    assert len(WORDS) // 2 <= len(cropped) < len(WORDS)
    assert " ".join(cropped) in " ".join(WORDS)
    spliced = splice([*WORDS], OTHER, rng())
    n_own = sum(word in WORDS for word in spliced)
    assert n_own in range(2, 6)
    assert spliced == WORDS[:n_own] + OTHER[len(OTHER) - (len(spliced) - n_own) :]


FIXED = ["one two three four five six six", "one four six seven", "A B C D four five six seven"]
