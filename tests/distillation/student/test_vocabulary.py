import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import SPECIAL, tiny_tokenizer
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import BertProcessing, Sequence

from hpdsearch.distillation.student.vocabulary import trim_vocabulary
from hpdsearch.encoder.folder import BUILT_IN
from hpdsearch.errors import DistillError

CORPUS = ["The cat runs to the river.", "a ship on the sea, xylophone 42!", "", "snow snow [SEP] snow ü"]
OTHERS = ["dogs sing of old gold", "unseen §§ words: antidisestablishmentarianism", "a" * 150, "Ünïcode 漢字"]


def table(tokenizer: Tokenizer, spare_rows: int = 0) -> np.ndarray:
    """Return a table whose rows hold their token ids."""
    return np.arange(tokenizer.get_vocab_size() + spare_rows, dtype=np.float32)[:, None] * [1, -2]


def built_in_tokenizer() -> Tokenizer:
    """Return the tokenizer of a built-in Transformer, 30,522 pieces."""
    paths: list[Path] = sorted(BUILT_IN.glob("*/tokenizer.json"))
    if not paths:
        pytest.skip("no built-in encoder with a tokenizer.json is installed")
    return Tokenizer.from_file(str(paths[0]))


@pytest.mark.parametrize("make", [tiny_tokenizer, built_in_tokenizer])
def test_the_corpus_is_tokenized_into_the_same_pieces_with_the_same_rows(make):
    old = make()
    words = table(old, spare_rows=3)
    new, rows, kept = trim_vocabulary(old, words, iter(CORPUS))
    assert new.get_vocab_size() == len(rows) == len(kept) < old.get_vocab_size()
    assert kept == sorted(set(kept))
    np.testing.assert_array_equal(rows, words[kept])
    for text in CORPUS:
        for special in (False, True):
            before, after = (tokenizer.encode(text, add_special_tokens=special) for tokenizer in (old, new))
            assert after.tokens == before.tokens
            np.testing.assert_array_equal(rows[after.ids], words[before.ids])
    again, _, every = trim_vocabulary(new, rows, CORPUS)
    assert again.to_str() == new.to_str()
    assert every == list(range(len(rows)))


@pytest.mark.parametrize("make", [tiny_tokenizer, built_in_tokenizer])
def test_only_unused_pieces_of_several_characters_are_removed(make):
    old = make()
    new, _, kept = trim_vocabulary(old, table(old), CORPUS)
    used = {token for text in CORPUS for token in old.encode(text).tokens}
    new_ids = {number: place for place, number in enumerate(kept)}
    for piece, number in old.get_vocab().items():
        is_special = piece in SPECIAL or piece == "[MASK]"
        assert (number in new_ids) == (is_special or piece in used or len(piece.removeprefix("##")) == 1), piece
        assert new.token_to_id(piece) == new_ids.get(number)


@pytest.mark.parametrize("make", [tiny_tokenizer, built_in_tokenizer])
def test_other_texts_are_tokenized_into_smaller_pieces(make):
    old = make()
    new, _, kept = trim_vocabulary(old, table(old), CORPUS)
    for text in OTHERS:
        before, after = old.encode(text), new.encode(text)
        assert after.tokens.count("[UNK]") == before.tokens.count("[UNK]")
        assert len(after) >= len(before)
        spelt, wanted = ("".join(p.removeprefix("##") for p in found.tokens) for found in (after, before))
        assert spelt == wanted
        assert set(after.ids) <= set(range(len(kept)))


@given(st.lists(st.text("abcdst sünow-[]#1", max_size=20), max_size=4), st.text("abcdst sünow-[]#1", max_size=20))
@settings(max_examples=25, deadline=None)
def test_any_corpus_keeps_its_pieces_and_nothing_becomes_unknown(texts, other):
    old = tiny_tokenizer()
    new, _, _ = trim_vocabulary(old, table(old), texts)
    for text in texts:
        before, after = old.encode(text), new.encode(text)
        known = "[UNK]" not in before.tokens
        assert after.tokens == before.tokens or not known
    assert new.encode(other).tokens.count("[UNK]") <= old.encode(other).tokens.count("[UNK]")


def test_ids_are_renumbered_in_added_tokens_and_every_kind_of_post_processor():
    old = tiny_tokenizer()
    vocabulary = dict(sorted(old.get_vocab().items(), key=lambda item: -item[1]))  # special tokens get large ids
    renamed = {piece: number for number, piece in enumerate(vocabulary)}
    fields = json.loads(old.to_str())
    fields["model"]["vocab"] = renamed
    fields["post_processor"] = None
    old = Tokenizer.from_str(json.dumps(fields))
    specials = [(token, renamed[token]) for token in ("[SEP]", "[CLS]")]
    old.post_processor = Sequence([BertProcessing(*specials)])
    old.add_tokens([AddedToken("fish tank")])  # outside the model's vocabulary
    old.add_special_tokens(["[CLS]"])
    old.enable_padding(length=30)
    old.enable_truncation(4)
    before = old.to_str()
    new, rows, _ = trim_vocabulary(old, table(old), [*CORPUS, "the last word is unknown: tree"])
    assert old.to_str() == before
    old.no_padding()
    old.no_truncation()
    for text in (*CORPUS, "tree [CLS] fish tank"):
        assert new.encode(text).tokens == old.encode(text).tokens
        np.testing.assert_array_equal(rows[new.encode(text).ids], table(old)[old.encode(text).ids])
    assert "fish tank" in new.encode("a fish tank").tokens
    assert new.encode("").tokens == ["[CLS]", "[SEP]"]


def test_other_tokenizers_and_too_few_rows_are_refused():
    other = Tokenizer(BPE({"a": 0, "b": 1}, []))
    with pytest.raises(DistillError, match="only a WordPiece tokenizer can be trimmed, got BPE"):
        trim_vocabulary(other, table(other), CORPUS)
    old = tiny_tokenizer()
    with pytest.raises(DistillError, match=r"a row for each of \d+ pieces, got 5"):
        trim_vocabulary(old, table(old)[:5], CORPUS)
