from dataclasses import replace

import numpy as np
import pytest
from tiny_distillation import SPEC, make_texts

from hpdsearch.distillation.data.parallel import Pair
from hpdsearch.distillation.data.split import hold_out, split_texts
from hpdsearch.errors import DistillError


def test_no_held_out_text_is_trained_on_nor_any_augmented_text_that_equals_one():
    texts = [*make_texts(n=400), "the cat sleeps on", "the cat sleeps on gold", "the cat sleeps"]
    for seed in range(20):
        spec = replace(SPEC, seed=seed, n_augmented=5, n_teacher_texts=200, n_held_out=40)
        split = split_texts(texts, spec)
        assert len(split.held_out) == 40
        assert not {*split.held_out} & {*split.training}
        assert len(split.training) == len({*split.training})
        assert {*split.fitted, *split.by_assistant, *split.held_out} == {*texts}
        assert len(split.augmented) > 300
        words = {word for text in split.fitted for word in text.split()}
        assert {word for text in split.augmented for word in text.split()} <= words
    unshuffled = split_texts(texts, replace(spec, shuffle=False))
    assert unshuffled.fitted == [text for text in texts if text not in unshuffled.held_out][:200]


def test_held_out_texts_are_drawn_by_the_seed_and_never_trained_on():
    texts = [f"text {number}" for number in range(1000)]
    train, held_out = hold_out(texts, 60, seed=1)
    assert (len(train), len(held_out)) == (940, 60)
    assert sorted(train + held_out, key=texts.index) == texts
    assert [sorted(part, key=texts.index) for part in (train, held_out)] == [train, held_out], "the order is kept"
    assert hold_out(texts, 60, seed=1) == (train, held_out)
    assert hold_out(texts, 60, seed=2)[1] != held_out
    drawn = [int(text.split()[1]) for seed in range(50) for text in hold_out(texts, 60, seed=seed)[1]]
    assert np.histogram(drawn, bins=4, range=(0, 1000))[0] == pytest.approx(750, rel=0.15), "from everywhere"


def test_at_most_a_tenth_is_held_out():
    texts = [f"text {number}" for number in range(259)]
    assert len(hold_out(texts, 100, seed=0)[1]) == 25
    assert len(hold_out(texts, 22, seed=0)[1]) == 22


def test_too_few_texts_are_an_error_that_says_how_many_are_needed():
    texts = [f"text {number}" for number in range(200)]
    assert len(hold_out(texts, 1000, seed=0)[1]) == 20
    with pytest.raises(DistillError, match=r"expected at least 200 different passages.*got 199"):
        hold_out(texts[:199], 1000, seed=0)
    with pytest.raises(DistillError, match="expected at least 20, got 19"):
        hold_out(texts, 19, seed=0)


def test_the_teacher_embeds_only_texts_of_enough_words():
    texts = ["word " * (number % 7) + str(number) for number in range(400)]
    split = split_texts(texts, replace(SPEC, n_held_out=40, min_teacher_words=5, n_augmented=0))
    assert {len(text.split()) for text in split.fitted} == {5, 6, 7}
    assert {len(text.split()) for text in split.by_assistant} == {1, 2, 3, 4}
    assert len(split.embedded) == 360
    fewer = split_texts(texts, replace(SPEC, n_held_out=40, min_teacher_words=5, n_teacher_texts=9, n_augmented=0))
    assert fewer.fitted == split.fitted[:9]
    assert {*fewer.by_assistant} == {*split.by_assistant, *split.fitted[9:]}


def test_a_translation_is_held_out_with_its_text():
    texts = [f"text {number}" for number in range(300)]
    others = [f"other {number}" for number in range(100)]
    pairs = [Pair(text, f"{language} {text}", language) for text in (*texts[:50], *others) for language in ("de", "fr")]
    pairs.append(Pair("text 299", "text 0", "copied"))
    split = split_texts(texts, replace(SPEC, n_held_out=40, n_teacher_texts=100, n_augmented=0), pairs)
    held_out = {*split.held_out}
    assert held_out | {*split.embedded} == {*texts, *others}
    assert {pair.text for pair in split.held_out_pairs} == held_out & {pair.text for pair in pairs}
    assert not {pair.text for pair in split.pairs} & held_out
    assert not {pair.translation for pair in split.pairs} & held_out
    assert len(split.training) == len(split.embedded) + len(split.pairs)
    n_copies = int("text 0" in held_out and "text 299" not in held_out)
    assert len(split.pairs) + len(split.held_out_pairs) == len(pairs) - n_copies
    assert split_texts(texts, SPEC, []) == split_texts(texts, SPEC)
