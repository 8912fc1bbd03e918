"""Passages of languages without spaces, and of a million characters."""

import time
from itertools import pairwise

import pytest

from hpdsearch.corpus.passages import split_documents, split_sentences
from hpdsearch.encoder import Encoder
from hpdsearch.records import Document

CHINESE = "暴风雨损坏了两艘船，港口随后关闭。她在花园里修理了旧自行车！自去年冬天以来，面包价格上涨了吗？"
THAI = "ท่าเรือถูกปิดหลังจากพายุทำให้เรือสองลำเสียหาย เธอซ่อมจักรยานเก่าในสวนของเธอ "


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load("static")


def split(text, token_spans, *, max_tokens=256):
    (document,) = split_documents([Document("a", text)], token_spans, max_tokens=max_tokens)
    return document.passages


def test_a_chinese_text_is_split_after_its_sentences(encoder):
    text = (CHINESE * 300)[:10_000]
    passages = split(text, encoder.token_spans)
    assert 40 <= len(passages) <= 60
    assert all(text[passage.end - 1] in "。！？" for passage in passages[:-1])
    assert all(150 <= passage.end - passage.start <= 256 for passage in passages)
    assert [passages[0].start, passages[-1].end] == [0, len(text)]
    assert all(before.end >= after.start for before, after in pairwise(passages))


def test_an_unknown_script_without_spaces_is_split_too(encoder):
    text = (THAI * 200)[:10_000]
    passages = split(text, encoder.token_spans)
    assert all(500 <= passage.end - passage.start <= 1500 for passage in passages)
    assert all(text[passage.end] == " " for passage in passages[:-1])
    without_spaces = split(text.replace(" ", ""), encoder.token_spans)
    assert max(passage.end - passage.start for passage in without_spaces) <= 2000
    assert all(text.replace(" ", "")[passage.start] not in "ัิีืุ่้์็" for passage in without_spaces)


@pytest.mark.parametrize(
    "text", [CHINESE, "猫", "。", "... ", "猫\n", "a"], ids=["text", "letter", "mark", "dots", "lines", "a"]
)
def test_a_million_characters_are_split_within_seconds(text):
    long = (text * 1_000_000)[:1_000_000]
    start = time.process_time()
    passages = split(long, lambda texts: [[(i, i + 1) for i, c in enumerate(each) if c.strip()] for each in texts])
    assert time.process_time() - start < 20
    assert len(passages) > 1000
    assert max(passage.end - passage.start for passage in passages) <= 600


@pytest.mark.parametrize("text", [CHINESE, ".", "。", '."', ". ", "\n "])
def test_a_million_characters_are_split_into_sentences_within_seconds(text):
    start = time.process_time()
    split_sentences((text * 1_000_000)[:1_000_000])
    assert time.process_time() - start < 10
