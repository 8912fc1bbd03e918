"""Words in all scripts: those without spaces, and characters that are written in several ways."""

import sys
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lexical_folders import write_folder

from hpdsearch.lexical import (
    ENGLISH_ANALYSIS,
    Analysis,
    AnalysisVersion,
    LexicalReader,
    find_spans,
    query_stems,
)
from hpdsearch.lexical.analysis import analyzer, prepare
from hpdsearch.lexical.scripts import is_changed, prepare_document, split_into_terms

FIRST = Analysis(AnalysisVersion.WORDS)

# A sentence, a word of it, the part of the sentence that is marked.
FOUND = [
    ("昨天夜里发生了强烈震动，居民跑到街上。", "震动", "震动"),
    ("昨天夜里发生了强烈震动，居民跑到街上。", "强烈震动", "强烈震动"),
    ("我家有一只猫。", "猫", "猫"),
    ("昨天夜里发生了强烈震\n动，居民跑到街上。", "震动", "震\n动"),
    ("震\r\n动", "震动", "震\r\n动"),
    ("私は東京に住んでいます。", "東京", "東京"),
    ("ここでラーメンを食べる。", "ラーメン", "ラーメン"),
    ("ここでﾗｰﾒﾝを食べる。", "ラーメン", "ﾗｰﾒﾝ"),
    ("ｶﾞﾗｽの靴", "ガラス", "ｶﾞﾗｽ"),
    ("か\u3099くせい", "がく", "か\u3099く"),
    ("ㄅㄆㄇ", "ㄆㄇ", "ㄆㄇ"),
    ("𠀀𠀁𠀂", "𠀁𠀂", "𠀁𠀂"),
    ("⾦⾊の髪", "金色", "⾦⾊"),  # Kangxi radicals
    ("ฉันกินข้าวผัดทุกวัน", "ข้าว", "ข้าว"),
    ("ຂ້ອຍກິນເຂົ້າທຸກມື້", "ເຂົ້າ", "ເຂົ້າ"),
    ("ខ្ញុំរៀនភាសាខ្មែរ", "ភាសា", "ភាសា"),
    ("ខ្ញុំរៀន\u200bភាសា\u200bខ្មែរ", "ភាសាខ្មែរ", "ភាសា\u200bខ្មែរ"),
    ("ကျွန်တော်မြန်မာစာသင်နေတယ်", "မြန်မာ", "မြန်မာ"),
    ("新しいiPhone手机", "iphone", "iPhone"),
    ("新しいiPhone手机", "手机", "手机"),
    ("an inter\u00adnational bank", "international", "inter\u00adnational"),
    ("an international bank", "inter\u00adnational", "international"),
    ("an in\u200bter\u200cna\u200dti\u2060on\ufeffal bank", "international", None),
    ("a \u202ebank\u202c", "bank", "bank"),
    ("\u2067bank\u2069 note", "bank", "bank"),
    ("Ｔｏｋｙｏ tower", "tokyo", "Ｔｏｋｙｏ"),
    ("tokyo tower", "Ｔｏｋｙｏ", "tokyo"),
    ("cafe\u0301s here", "café", "cafe\u0301s"),
    ("caf\u00e9s here", "cafe\u0301", "caf\u00e9s"),
    ("za\u0304x\u0304 here", "zax", "za\u0304x\u0304"),
    ("за\u0301мок", "замок", "за\u0301мок"),
    ("İstanbul", "istanbul", "İstanbul"),
    ("istanbul", "İSTANBUL", "istanbul"),
    ("هٰذَا كِتَابٌ", "كتاب", "كِتَابٌ"),
    ("كتـــاب", "كتاب", "كتـــاب"),
    ("ﻛﺘﺎﺏ", "كتاب", "ﻛﺘﺎﺏ"),
    ("می\u200cخواهم", "میخواهم", "می\u200cخواهم"),
    ("שָׁלוֹם", "שלום", "שָׁלוֹם"),
    ("यह क्षेत्र है", "क्षेत्र", "क्षेत्र"),
    ("হ্যাঁ বাংলা", "বাংলা", "বাংলা"),
    ("سنة ٢٠٢٤", "2024", "٢٠٢٤"),
    ("in 2024", "۲۰۲۴", "2024"),
    ("ปี๒๕๖๗", "2567", "๒๕๖๗"),
    ("ปี2567", "ปี", "ปี"),
    ("２０２４年", "2024", "２０２４"),
    ("це обʼєкт", "об'єкт", "обʼєкт"),
    ("we donʼt", "don’t", "donʼt"),
    ("we don’t", "donʼt", None),
    ("𝐛𝐨𝐥𝐝 text", "bold", "𝐛𝐨𝐥𝐝"),
    ("ﬁnal ﬁle", "file", "ﬁle"),
    ("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"),
    ("Ⅳ. part", "iv", "Ⅳ"),
    ("5½ cups", "5", "5"),
    ("①②③", "2", "②"),
    ("❤\ufe0f1\ufe0f\u20e3 love", "1", "1\ufe0f\u20e3"),
]


@pytest.mark.parametrize(("text", "query", "marked"), FOUND)
@pytest.mark.parametrize("is_buffered", [False, True])
def test_a_word_is_found_and_marked_in_its_sentence(tmp_path, text, query, marked, is_buffered):
    rows = [("", "an unrelated text"), ("", text)]
    folder = write_folder(tmp_path / "l", rows[:1] if is_buffered else rows)
    reader = LexicalReader(folder, [(1, *rows[1])] if is_buffered else [])
    assert reader.search(query, 10)[0].tolist() == [1]
    spans = find_spans(frozenset(query_stems(query)), text)
    assert spans
    if marked is not None:
        assert [text[start:end].strip("\u202e\u202c\u2067\u2069") for start, end in spans] == [marked]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("ขา", "ข้า"),  # a tone is no accent
        ("强度，震荡，移动", "震动"),
        ("震。动", "震动"),
        ("震\n\n动", "震动"),  # another paragraph
        ("震 动", "震动"),
        ("かき", "がき"),
        ("तम", "त्म"),
        ("5½ cups", "51"),
        ("①②③", "123"),
    ],
)
def test_another_word_is_not_found(tmp_path, text, query):
    reader = LexicalReader(write_folder(tmp_path / "l", [("", text), ("", "an unrelated text")]))
    assert reader.search(query, 10)[0].tolist() == []


@pytest.mark.parametrize("is_buffered", [False, True])
def test_no_word_reaches_from_the_title_into_the_text(tmp_path, is_buffered):
    rows = [("地震", "动物跑到街上")]
    folder = write_folder(tmp_path / "l", [] if is_buffered else rows)
    reader = LexicalReader(folder, [(0, *rows[0])] if is_buffered else [])
    assert reader.search("震动", 10)[0].tolist() == []
    assert reader.search("地震", 10)[0].tolist() == reader.search("动物", 10)[0].tolist() == [0]


def test_the_document_that_holds_the_whole_word_comes_first(tmp_path):
    texts = ["天气预报今天有雨", "气象台天气", "今天的天气预报说会下雨", "预订报告", "ขาวมาก", "กินข้าว"]
    reader = LexicalReader(write_folder(tmp_path / "l", [("", text) for text in texts]))
    assert set(reader.search("天气预报", 10)[0][:2].tolist()) == {0, 2}
    assert reader.search("ข้าว", 10)[0].tolist() == [5, 4]  # a pair of the word is in the other one too


ALPHABET = st.sampled_from(
    [
        *"aé震动東かﾊﾞｶﾟーアข้าวກຳខ្ញ្កကျ्षक2٣๓½①㌖㍿ﷺﬁİ한ㄱㅏ",
        "\u1100",
        "\u1161",
        "\u11a8",
        "\u00ad",
        "\u200b",
        "\u200d",
        "\ufe0f",
        *[
            " ",
            "\n",
            "\r\n",
            "。",
            "-",
            "\u0301",
            "\u0304",
            "\u0338",
            "\u0e31",
            "\u17d2",
            "\u3099",
            "\u05b8",
            "\u064e",
            "¨",
            "😀",
        ],
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.text() | st.lists(ALPHABET).map("".join))
def test_marked_tokens_are_the_indexed_ones(text):
    indexed = Counter(analyzer().analyze(prepare(text)))
    terms = list(split_into_terms(text))
    assert Counter(stem for _, _, term in terms for stem in analyzer().analyze(term)) == indexed
    assert all(0 <= start < end <= len(text) for start, end, _ in terms)
    spans = find_spans(set(indexed), text)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert bool(spans) == bool(indexed)


@settings(max_examples=200, deadline=None)
@given(st.lists(ALPHABET, min_size=1).map("".join), st.lists(ALPHABET).map("".join))
def test_a_text_is_found_by_itself(text, more):
    stems = set(query_stems(text))
    assert stems <= set(analyzer().analyze(prepare(f"{more} {text} {more}")))


@pytest.mark.slow
def test_a_character_becomes_a_bounded_number_of_letters():
    for code in (*range(0xD800), *range(0xE000, sys.maxunicode + 1)):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Co"):  # no such character, or one for private use
            continue
        prepared = prepare_document(character)
        n_letters = len(prepared.replace(" ", ""))
        n_composed = len(unicodedata.normalize("NFKC", character))
        assert n_letters <= 18 or (n_composed > 1 and n_letters <= 3 * n_composed), hex(code)
        # Ten of them: characters and pairs are three times the letters.
        assert len(prepare_document(character * 10).replace(" ", "")) <= 30 * max(n_letters, 5), hex(code)


@pytest.mark.slow
def test_texts_that_skip_preparation_would_not_be_changed_by_it():
    for code in (*range(0xD800), *range(0xE000, sys.maxunicode + 1)):
        character = chr(code)
        if not is_changed(character):
            text = f"a{character}b c"
            forced = prepare_document(f"{text} \u00ad")
            assert analyzer().analyze(forced) == analyzer().analyze(text), hex(code)


def test_english_is_not_prepared():
    text = "The “quick” brown fox – it’s 5 °C; naïve cafés… £5 €7 São Łódź\u00a0Δx привет"
    assert prepare(text) is text
    assert query_stems(text) == query_stems(text, FIRST)


def test_a_folder_of_the_first_analysis_keeps_its_rules(tmp_path):
    text = "发生震动 cafe\u0301s"
    assert prepare(text, FIRST) is text
    assert query_stems("发生震动", FIRST) == ["发生震动"]
    assert query_stems("发生震动", ENGLISH_ANALYSIS) == ["发生", "生震", "震动"]
    buffered = LexicalReader(write_folder(tmp_path / "l", []), [(0, "", text)], analysis=FIRST)
    assert buffered.search("震动", 9)[0].tolist() == []
    assert buffered.search("发生震动", 9)[0].tolist() == [0]
    assert find_spans({"cafe"}, text, FIRST) == ((5, 9),)
