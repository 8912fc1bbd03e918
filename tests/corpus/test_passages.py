import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer
from tokenizers.normalizers import BertNormalizer

from hpdsearch.corpus.passages import SplitDocument, split_documents
from hpdsearch.errors import ShapeError
from hpdsearch.records import Document

WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "bridge", "##bridge", "water", "##water", "。", "橋"]
VOCABULARY += [prefix + chr(letter) for letter in range(ord("a"), ord("z") + 1) for prefix in ("", "##")]
VOCABULARY += [prefix + chr(letter) for letter in range(0x1100, 0x1176) for prefix in ("", "##")]  # Hangul letters
VOCABULARY += list(".,!?()-'\"#0123456789")
WORDPIECE = BertWordPieceTokenizer({token: i for i, token in enumerate(VOCABULARY)})


def word_spans(texts):
    """Tokenizes words and punctuation marks: one token per word of any length."""
    return [[match.span() for match in WORD_OR_MARK.finditer(text)] for text in texts]


def wordpiece_spans(texts):
    return [encoding.offsets for encoding in WORDPIECE.encode_batch(texts, add_special_tokens=False)]


def n_words(text):
    return len(WORD_OR_MARK.sub("x ", text).split())


def n_wordpieces(text):
    return len(WORDPIECE.encode(text, add_special_tokens=False).ids)


def split(text, title="", *, max_tokens=30, token_spans=word_spans, overlap=0.1) -> SplitDocument:
    (result,) = split_documents([Document("1", text, title)], token_spans, max_tokens=max_tokens, overlap=overlap)
    return result


def parts(text, result):
    return [text[passage.start : passage.end] for passage in result.passages]


def assert_covered(text, result):
    """Check that the passages cover all characters except white space, in order, and that none contains another."""
    covered = set()
    for passage in result.passages:
        assert 0 <= passage.start < passage.end <= len(text)
        covered.update(range(passage.start, passage.end))
    assert all(character.isspace() for i, character in enumerate(text) if i not in covered)
    assert all(a.start < b.start and a.end < b.end for a, b in zip(result.passages, result.passages[1:], strict=False))


SENTENCES = [f"This is sentence number {i} of the text." for i in range(40)]  # nine words and marks each


def test_a_text_that_fits_is_one_passage_and_is_not_tokenized():
    def never(texts):
        raise AssertionError("tokenized")

    result = split("Short text", "Title", max_tokens=16, token_spans=never)
    assert result.passages[0].start == 0
    assert result.passages[0].end == 10
    assert result.texts == ("Title\nShort text",)


def test_a_text_that_fits_by_tokens_only_is_one_passage():
    text = "internationalization " * 14
    result = split(text, max_tokens=14)
    assert parts(text, result) == [text]


def test_a_title_that_is_the_text_is_encoded_once():
    assert split("Only a title", "Only a title").texts == ("Only a title",)


def test_the_texts_of_a_block_are_tokenized_in_one_call():
    calls = []

    def counting(texts):
        calls.append(len(texts))
        return word_spans(texts)

    documents = [Document(str(i), " ".join(SENTENCES), f"Title {i}") for i in range(5)] + [Document("5", "short")]
    assert len(split_documents(documents, counting, max_tokens=30)) == 6
    assert calls == [10]


def test_passages_end_at_sentences_and_overlap_by_a_sentence():
    text = " ".join(SENTENCES)
    result = split(text, max_tokens=100, overlap=0.1)  # 100 tokens, of which 10 may be repeated: one sentence of 9
    assert all(part.startswith("This") and part.endswith("text.") for part in parts(text, result))
    for before, after in zip(result.passages, result.passages[1:], strict=False):
        assert text[after.start : before.end].count("This") == 1


def test_the_overlap_is_one_sentence_even_if_more_would_fit():
    text = " ".join(SENTENCES)
    result = split(text, max_tokens=100, overlap=0.3)
    for before, after in zip(result.passages, result.passages[1:], strict=False):
        assert text[after.start : before.end].count("This") == 1


def test_a_sentence_end_beyond_the_limit_is_not_used():
    sentence = " ".join(f"word{i}" for i in range(34)) + ". "
    text = sentence * 20
    assert max(map(n_words, split(text, max_tokens=30, overlap=0).texts)) == 30


def test_a_sentence_longer_than_the_overlap_is_repeated_by_its_last_words():
    text = " ".join(f"word{i}" for i in range(300))
    result = split(text, max_tokens=100, overlap=0.1)
    for before, after in zip(result.passages, result.passages[1:], strict=False):
        assert len(text[after.start : before.end].split()) == 10


def test_no_overlap_repeats_nothing():
    text = " ".join(SENTENCES)
    assert " ".join(parts(text, split(text, overlap=0))) == text


def test_paragraphs_are_better_ends_than_sentences():
    paragraphs = [" ".join(SENTENCES[i : i + 8]) for i in range(0, 40, 8)]  # 72 tokens each
    text = "\n\n".join(paragraphs)
    assert parts(text, split(text, max_tokens=90, overlap=0)) == paragraphs


@pytest.mark.parametrize("mark", ["- ", "* ", "1. ", "## ", "(b) "])
def test_list_items_and_headings_are_good_ends(mark):
    items = [f"{mark}" + "the words of an item without a mark at its end " * 2 for _ in range(12)]
    text = "\n".join(items)
    assert all(part.startswith(mark.strip()) for part in parts(text, split(text, max_tokens=58, overlap=0)))


def test_a_list_item_that_begins_at_the_limit_is_a_good_end():
    first = "word " * 29 + "word"
    text = first + "\n- " + "item " * 19
    assert parts(text, split(text, overlap=0))[0] == first


@pytest.mark.parametrize(
    "not_an_end",
    [
        "Dr. Smith",
        "e.g. this",
        "i.e. That",
        "Fig. 3",
        "No. 7",
        "J. Smith",
        "U.S. Army",
        "\t7. Item",
        "etc. and",
        "Kap. drei",
        "3.14",
    ],
)
def test_abbreviations_initials_and_numbers_do_not_end_sentences(not_an_end):
    """Two marks are near the middle. The nearer one ends no sentence, so the text is split at the other one."""
    first = "one two three four five six seven eight nine ten eleven twelve. "
    text = first + f"Some words {not_an_end} follow here and more words come then to the end of it all now"
    assert parts(text, split(text, max_tokens=28, overlap=0))[0] == first.strip()


@pytest.mark.parametrize("end", [". ", "! ", "? ", "… ", '." ', ".) ", "?! ", ".\n", "。", "？", "。」"])
def test_sentence_ends_are_found(end):
    first = "one two three four five six seven eight nine ten eleven twelve" + end
    text = first + "Then other words follow here and more words come so that the text is long enough"
    assert parts(text, split(text, max_tokens=23, overlap=0))[0] == first.strip()


def test_the_last_passage_is_not_a_short_remainder():
    for n in range(31, 200):
        text = " ".join(f"w{i}." for i in range(n))
        lengths = [n_words(part) for part in parts(text, split(text))]
        assert max(lengths) <= 30
        assert len(lengths) == 1 or min(lengths) >= 30 * 0.3


def test_a_long_title_is_truncated_to_its_share_and_reported():
    title = " ".join(f"t{i}" for i in range(100))
    result = split(" ".join(SENTENCES), title, max_tokens=40)
    assert result.title_is_truncated
    assert all(text.startswith("t0 t1 t2 t3 t4 t5 t6 t7 t8 t9\n") for text in result.texts)
    assert max(map(n_words, result.texts)) <= 40


def test_a_long_title_keeps_the_tokens_that_a_short_text_leaves():
    title = " ".join(f"t{i}" for i in range(100))
    result = split("five words make this text", title, max_tokens=40)
    assert result.title_is_truncated
    assert result.texts == (" ".join(f"t{i}" for i in range(35)) + "\nfive words make this text",)


def test_a_title_of_middle_length_is_not_shortened():
    title = " ".join(f"t{i}" for i in range(10))
    result = split(" ".join(SENTENCES), title, max_tokens=40)
    assert not result.title_is_truncated
    assert all(text.startswith(title + "\n") for text in result.texts)


def test_a_huge_word_is_cut_between_its_tokens():
    text = "bridgewater" * 9
    result = split(text, max_tokens=14, token_spans=wordpiece_spans)
    assert len(result.passages) == 2
    assert_covered(text, result)
    assert max(map(n_wordpieces, result.texts)) <= 14


@pytest.mark.parametrize("joint", ["", "\x0c", "\u200b"])
def test_a_piece_of_a_word_with_more_tokens_than_before_is_cut_again(joint):
    """Only "##water" is one token here, "water" five: the right half of the word grows when it stands alone.

    BERT's normalizer removes a form feed or a zero-width space: what it parts for the eye is one word for the encoder.
    """
    tokens = ["[UNK]", "[CLS]", "[SEP]", "##water", *(prefix + letter for letter in "water" for prefix in ("", "##"))]
    tokenizer = BertWordPieceTokenizer({token: i for i, token in enumerate(tokens)})

    def spans(texts):
        return [encoding.offsets for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]

    text = joint.join(["water"] * 19)
    assert len(spans([text])[0]) == 23
    result = split(text, max_tokens=14, token_spans=spans)
    assert_covered(text, result)
    assert all(len(tokens) <= 14 for tokens in spans(list(result.texts)))


def test_text_without_spaces_is_cut_between_its_characters():
    text = "橋" * 100
    result = split(text, max_tokens=30, token_spans=wordpiece_spans)
    assert "".join(parts(text, result)) == text
    assert max(map(n_wordpieces, result.texts)) <= 30


def test_hangul_is_counted_in_letters_not_syllables():
    text = "가나다 " * 5  # 20 characters, but 30 tokens
    assert n_wordpieces(text) == 30
    result = split(text, max_tokens=22, token_spans=wordpiece_spans)
    assert len(result.passages) == 2
    assert max(map(n_wordpieces, result.texts)) <= 22


def test_no_character_becomes_more_letters_than_it_has_bytes():
    """The rule that spares the tokenization of short texts holds for each character of Unicode."""
    normalizer = BertNormalizer()
    for code in range(0x80, 0x110000):
        if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) != "Cn":
            assert len(normalizer.normalize_str(chr(code)).replace(" ", "")) <= len(chr(code).encode()), hex(code)


@pytest.mark.parametrize(
    "arguments", [{"max_tokens": 13}, {"overlap": -0.1}, {"overlap": 0.4}, {"overlap": float("nan")}]
)
def test_arguments_out_of_range_are_errors(arguments):
    with pytest.raises(ShapeError, match=rf"{next(iter(arguments))}: expected"):
        split("text", **arguments)


def test_no_documents_give_no_passages():
    assert split_documents([], word_spans, max_tokens=30) == []


PROSE = st.lists(
    st.sampled_from(
        [
            "the",
            "bridge",
            "waterbridge",
            "Dr.",
            "e.g.",
            "End.",
            "Why?",
            "橋。",
            "한국",
            "\n\n",
            "\n- ",
            "(x)",
            "é",
            "\x0c",
        ]
    ),
    min_size=1,
    max_size=300,
).map(" ".join)
TEXTS = (PROSE | st.text(min_size=1, max_size=400)).filter(str.strip)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, title=st.just("") | PROSE, max_tokens=st.integers(14, 62), overlap=st.floats(0, 0.3))
@example(text="a" * 90 + "橋" * 30, title="", max_tokens=14, overlap=0.3)
def test_passages_cover_the_text_within_the_limit(text, title, max_tokens, overlap):
    for token_spans, n_tokens in ((wordpiece_spans, n_wordpieces), (word_spans, n_words)):
        result = split(text, title, max_tokens=max_tokens, token_spans=token_spans, overlap=overlap)
        assert_covered(text, result)
        assert len(result.texts) == len(result.passages)
        assert max(map(n_tokens, result.texts)) <= max_tokens
        assert all(encoded.endswith(part) for encoded, part in zip(result.texts, parts(text, result), strict=True))
        assert result == split(text, title, max_tokens=max_tokens, token_spans=token_spans, overlap=overlap)
        if not result.title_is_truncated and title.strip() and title != text:
            assert all(encoded.startswith(title + "\n") for encoded in result.texts)
