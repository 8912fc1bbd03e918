import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import SPECIAL, tiny_tokenizer
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import BertProcessing, Sequence, TemplateProcessing

from hpdsearch.distillation.student.vocabulary import trim_vocabulary
from hpdsearch.encoder.folder import BUILT_IN
from hpdsearch.errors import DistillError

CORPUS = ["The cat runs to the river.", "a ship on the sea, xylophone 42!", "", "snow snow [SEP] snow ü"]
UNIGRAM_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
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
    with pytest.raises(DistillError, match="only a WordPiece or Unigram tokenizer can be trimmed, got BPE"):
        trim_vocabulary(other, table(other), CORPUS)
    old = tiny_tokenizer()
    with pytest.raises(DistillError, match=r"a row for each of \d+ pieces, got 5"):
        trim_vocabulary(old, table(old)[:5], CORPUS)


UNIGRAM_TEXTS = ["der Fluss fließt", "la rivière coule", "река течёт", "川が流れる", "the river flows to the sea"]


def unigram_tokenizer() -> Tokenizer:
    """Return a tokenizer as XLM-RoBERTa has it: special tokens first, words and parts of them, single characters."""
    words = sorted({f"▁{word}" for text in UNIGRAM_TEXTS for word in text.split()})
    parts = sorted({word[first : first + 3] for word in words for first in range(1, len(word) - 2)} - {*words})
    letters = sorted({letter for word in words for letter in word})
    pieces = [*UNIGRAM_SPECIAL, *words, *parts, *letters]
    scores = [0.0] * 4 + [-5.0 - len(words) * 0.01] * len(words) + [-8.0] * len(parts) + [-10.0] * len(letters)
    tokenizer = Tokenizer(Unigram(list(zip(pieces, scores, strict=True)), unk_id=3))
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in UNIGRAM_SPECIAL])
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer


def test_a_unigram_tokenizer_keeps_the_pieces_of_the_corpus_with_their_rows():
    old = unigram_tokenizer()
    words = table(old, spare_rows=35)
    new, rows, kept = trim_vocabulary(old, words, UNIGRAM_TEXTS[:3])
    assert new.get_vocab_size() == len(rows) == len(kept) < old.get_vocab_size()
    np.testing.assert_array_equal(rows, words[kept])
    assert new.encode("").tokens == ["<s>", "</s>"]
    for text in UNIGRAM_TEXTS[:3]:
        before, after = old.encode(text), new.encode(text)
        assert after.tokens == before.tokens
        np.testing.assert_array_equal(rows[after.ids], words[before.ids])
    for text in (*UNIGRAM_TEXTS[3:], "☃ snowman"):
        before, after = old.encode(text), new.encode(text)
        assert len(after) >= len(before)
        # A run of unknown characters is one token.
        assert after.tokens.count("<unk>") == before.tokens.count("<unk>")
        assert "".join(after.tokens) == "".join(before.tokens)
    again, _, every = trim_vocabulary(new, rows, UNIGRAM_TEXTS[:3])
    assert again.to_str() == new.to_str()
    assert every == list(range(len(rows)))


@pytest.mark.parametrize("make", [tiny_tokenizer, unigram_tokenizer])
def test_a_size_keeps_the_most_frequent_pieces(make):
    old = make()
    texts = UNIGRAM_TEXTS if make is unigram_tokenizer else ["the cat runs to the river", "the river", "a ship to sea"]
    texts = [*texts, texts[-1]]
    _, _, required = trim_vocabulary(old, table(old), [])
    _, _, used = trim_vocabulary(old, table(old), texts)
    counts = Counter(number for text in texts for number in old.encode(text, add_special_tokens=False).ids)
    for n_more in (0, 1, 3, len(used) - len(required), 1000):
        new, rows, kept = trim_vocabulary(old, table(old), texts, size=len(required) + n_more)
        assert new.get_vocab_size() == len(rows) == len(kept) == min(len(required) + n_more, len(used))
        chosen = {*kept} - {*required}
        left_out = {*used} - {*kept}
        assert min([counts[number] for number in chosen], default=99) >= max(
            [counts[number] for number in left_out], default=0
        )
    with pytest.raises(DistillError, match=rf"expected at least {len(required)} tokens, .*--vocabulary-size"):
        trim_vocabulary(old, table(old), texts, size=len(required) - 1)


def test_the_bytes_of_a_unigram_tokenizer_with_byte_fallback_stay():
    pieces = [*UNIGRAM_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁a", "bc", "b", "c", "a", "▁"]
    old = Tokenizer(Unigram([(piece, -1.0) for piece in pieces], unk_id=3, byte_fallback=True))
    old.pre_tokenizer = Metaspace()
    old.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    new, _, _ = trim_vocabulary(old, table(old), ["a"])
    assert {*pieces} - {*new.get_vocab()} == {"bc", "<pad>"}
    assert new.encode("☃").tokens == old.encode("☃").tokens == ["<s>", "▁", "<0xE2>", "<0x98>", "<0x83>", "</s>"]
