"""Split documents into passages of at most the encoder's max_tokens, at paragraph and sentence ends.

The passages of a document have about equal lengths, overlap by a sentence and are encoded below the document's title
and the headings of their section.
"""

import math
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hpdsearch.corpus.headings import PassageTitles, join_title
from hpdsearch.errors import ShapeError
from hpdsearch.records import Document, Passage

Spans = Sequence[tuple[int, int]]
TokenSpans = Callable[[list[str]], Sequence[Spans]]

MIN_MAX_TOKENS = 14
TITLE_SHARE = 0.25  # of the budget, if title and text do not both fit; of the rest, for headings
SEPARATOR_TOKENS = 2  # at most, between title and headings
TOLERANCE = 0.25  # of the mean length: how much longer or shorter a passage may be to end at a boundary
LOOKBEHIND_TOKENS = 4  # quotes and brackets between a sentence's mark and the next sentence
LOOKAHEAD_CHARACTERS = 12  # the number of a list item
MAX_ABBREVIATION = 12  # characters
PLAIN_SPACES = ("", " ", "\n", "\r", "\t")  # BERT's normalizer removes other white space, such as a form feed

CLOSERS = "\"'”’»)\\]"
PARAGRAPH_END = re.compile(r"\n[ \t]*\r?\n\s*|\n(?=[ \t]*(?:[-*•‣+]|#{1,6}|\(?\w{1,3}[.)])[ \t])")
SENTENCE_END = re.compile(rf"(?P<mark>[.!?…؟۔।॥]+)[{CLOSERS}]*\s+|[。！？．｡]+[”’」』）》{CLOSERS}]*\s*")
# As SENTENCE_END, which would try each mark of a million marks without a space behind them. It needs the whole text.
SENTENCE_END_OF_RUN = re.compile(f"(?<![.!?…؟۔।॥])(?:{SENTENCE_END.pattern})")
SPACE = re.compile(r"\s+")
# Letters without spaces between words that encoders do not split, as they do Han: Thai, Lao, Burmese, Khmer, kana.
UNSPLIT = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff]{17,}")
UNSPLIT_CHARACTERS = 4  # count as a token
BEFORE_CONSONANT = "เแโใไເແໂໃໄ"  # vowels that are written before their consonant
LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]*$")
ABBREVIATION_WORDS = """
dr mr mrs ms prof rev hon gen col sgt capt lt st jr sr inc ltd co corp dept univ
fig figs eq eqs sec ch chap vol vols pp ed eds no nos vs etc cf al ca approx e.g i.e
a.m p.m u.s u.k ph.d jan feb mar apr jun jul aug sep sept oct nov dec
bzw ggf usw vgl nr abb bd z.b d.h
"""
ABBREVIATIONS = frozenset(ABBREVIATION_WORDS.split())


@dataclass(frozen=True, slots=True)
class SplitDocument:
    """The passages of a document and the text that is encoded for each of them.

    Attributes:
        passages: spans of document.text, ascending; together they cover all of it except surrounding white space.
        texts: title, headings and text of each passage, as one text of at most max_tokens tokens.
        title_is_truncated: `texts` contain only the beginning of the title, because it exceeds its share of the tokens.
    """

    passages: tuple[Passage, ...]
    texts: tuple[str, ...]
    title_is_truncated: bool = False


def split_documents(
    documents: Sequence[Document], token_spans: TokenSpans, *, max_tokens: int, overlap: float = 0.1
) -> list[SplitDocument]:
    """Split documents into passages of at most max_tokens tokens, of about equal length within a document.

    A document that fits is one passage. A passage ends within 25 % of the mean length: after a paragraph, list item or
    heading, else after a sentence, else at a space, else between two tokens. The next passage repeats its last
    sentence, or its last words if that sentence is longer than the overlap.

    Args:
        documents: their texts must not be blank.
        token_spans: returns the (start, end) characters of the tokens of each text, not truncated and without special
            tokens. It is called once with the texts that may be too long, and again with passages that split a word.
        max_tokens: largest number of tokens of title and passage, special tokens not counted; >= 14.
        overlap: largest part of a passage that the next one repeats, 0 <= overlap <= 0.3.

    Returns:
        One SplitDocument per document, in the same order.

    Raises:
        ShapeError: max_tokens or overlap is out of range.
    """
    if max_tokens < MIN_MAX_TOKENS:
        raise ShapeError(f"max_tokens: expected at least {MIN_MAX_TOKENS}, got {max_tokens}")
    if not 0 <= overlap <= 0.3:
        raise ShapeError(f"overlap: expected 0..0.3 of a passage, got {overlap}")
    drafts = [Draft.begin(document) for document in documents]
    uncertain = [draft for draft in drafts if not fits_uncounted(draft, max_tokens)]
    parts = [part for draft in uncertain for part in (draft.title, draft.document.text, *draft.titles.headings)]
    spans = iter(token_spans(parts) if parts else [])
    for draft in uncertain:
        title_spans = next(spans)
        text_spans = divide_unsplit_tokens(draft.document.text, next(spans))
        n_tokens = {heading: len(next(spans)) for heading in draft.titles.headings}
        if len(title_spans) + len(text_spans) > max_tokens:
            text_budget = max_tokens - truncate_title(draft, title_spans, n_text=len(text_spans), budget=max_tokens)
            text_budget -= choose_headings(draft, n_tokens, int(text_budget * TITLE_SHARE))
            draft.passages = split_text(draft.document.text, text_spans, text_budget, int(text_budget * overlap))
    split_long_passages(uncertain, token_spans, max_tokens)
    return [draft.finish() for draft in drafts]


@dataclass(slots=True)
class Draft:
    """A document while it is being split."""

    document: Document
    titles: PassageTitles
    title: str  # as it is encoded: "" if there is none
    passages: list[Passage]
    title_is_truncated: bool = False
    headings: Collection[str] = ()  # those that are encoded

    @classmethod
    def begin(cls, document: Document) -> "Draft":
        """Return a document that is one passage."""
        titles = PassageTitles(document)
        return cls(document, titles, titles.title, [Passage(0, len(document.text))])

    def passage_text(self, passage: Passage) -> str:
        """Return the text that is encoded for a passage."""
        text = self.document.text[passage.start : passage.end]
        heading = self.titles.heading(passage.start)
        return title_and_text(join_title(self.title, heading if heading in self.headings else ""), text)

    def finish(self) -> SplitDocument:
        """Return the passages and their texts."""
        texts = tuple(map(self.passage_text, self.passages))
        return SplitDocument(tuple(self.passages), texts, self.title_is_truncated)


def title_and_text(title: str, text: str) -> str:
    """Join title and text, which are encoded and indexed as one text; the title may be empty."""
    return f"{title}\n{text}" if title else text


def fits_uncounted(draft: Draft, budget: int) -> bool:
    """Return whether title and text are so short that they fit without counting their tokens.

    A character never makes more tokens than it has UTF-8 bytes. It may make more than one: BERT's normalizer splits a
    Hangul syllable (3 bytes) into 3 letters.
    """
    title = draft.title
    text = draft.document.text
    if len(title) + len(text) > budget:
        return False
    return (title.isascii() and text.isascii()) or len(title.encode()) + len(text.encode()) <= budget


def divide_unsplit_tokens(text: str, spans: Spans) -> Spans:
    """Divide tokens that are long runs of letters without spaces, so that passages of such scripts are short too.

    An encoder takes a run that it does not know as one token, however long it is.
    """
    if text.isascii() or not UNSPLIT.search(text):
        return spans
    divided: list[tuple[int, int]] = []
    for start, end in spans:
        if end - start <= UNSPLIT_CHARACTERS**2 or not UNSPLIT.search(text, start, end):
            divided.append((start, end))
            continue
        first = start
        for i in range(start + UNSPLIT_CHARACTERS, end):
            if i - first >= UNSPLIT_CHARACTERS and may_begin_token(text, i):
                divided.append((first, i))
                first = i
        divided.append((first, end))
    return divided


def may_begin_token(text: str, i: int) -> bool:
    """Tell whether character i may begin a token: it is no mark, and no vowel before it belongs to it."""
    return unicodedata.category(text[i])[0] != "M" and text[i - 1] not in BEFORE_CONSONANT


def truncate_title(draft: Draft, spans: Spans, *, n_text: int, budget: int) -> int:
    """Truncate a title that exceeds both its share of the budget and the tokens that the text leaves.

    Args:
        draft: its title is changed.
        spans: characters of the title's tokens.
        n_text: tokens of the text.
        budget: tokens of title and passage.

    Returns:
        The number of tokens of the title that are kept.
    """
    title_budget = max(int(budget * TITLE_SHARE), budget - n_text)
    if len(spans) <= title_budget:
        return len(spans)
    starts = [start for start, _ in spans]
    n_kept = bisect_left(starts, starts[title_budget])
    draft.title = draft.title[: starts[n_kept]].rstrip()
    draft.title_is_truncated = True
    return n_kept


def choose_headings(draft: Draft, n_tokens: Mapping[str, int], limit: int) -> int:
    """Choose the headings of a document that are encoded: those of at most `limit` tokens.

    Returns:
        The tokens that they take of a passage, with those of the sign between title and heading.
    """
    lengths = {heading: n + SEPARATOR_TOKENS for heading, n in n_tokens.items() if n + SEPARATOR_TOKENS <= limit}
    draft.headings = lengths.keys()
    return max(lengths.values(), default=0)


def split_text(text: str, spans: Spans, budget: int, overlap: int) -> list[Passage]:
    """Split a text between its tokens into passages of at most `budget` tokens that overlap by at most `overlap`."""
    starts = [start for start, _ in spans]
    passages = []
    first = 0  # token where the passage begins
    start = 0  # character where the passage begins
    while (n_left := len(starts) - first) > budget:
        n_passages = math.ceil((n_left - overlap) / (budget - overlap))
        mean = math.ceil((n_left + (n_passages - 1) * overlap) / n_passages)
        slack = int(mean * TOLERANCE)
        last = find_end(text, starts, first + mean - slack, first + mean, first + min(mean + slack, budget))
        passages.append(strip_span(text, start, starts[last]))
        first = find_begin(text, starts, max(last - overlap, first + 1), last)
        start = starts[first]
    return [*passages, strip_span(text, start, len(text))]


def find_end(text: str, starts: list[int], low: int, target: int, high: int) -> int:
    """Return the token in low..high before which a passage ends: the boundary nearest to the token `target`.

    A paragraph end is preferred to a sentence end, and a sentence end to a space.
    """
    for ending in (PARAGRAPH_END, SENTENCE_END, SPACE):
        if tokens := find_tokens_after(ending, text, starts, low, high):
            return min(tokens, key=lambda token: abs(token - target))
    return bisect_left(starts, starts[target])  # a character may make several tokens: take its first


def find_begin(text: str, starts: list[int], low: int, end: int) -> int:
    """Return the token in low..end with which the next passage begins: at a sentence, else at a word."""
    sentences = [*find_tokens_after(PARAGRAPH_END, text, starts, low, end - 1)]
    sentences += find_tokens_after(SENTENCE_END, text, starts, low, end - 1)
    if sentences:
        return max(sentences)
    return min(find_tokens_after(SPACE, text, starts, low, end - 1), default=end)


def find_tokens_after(ending: re.Pattern[str], text: str, starts: list[int], low: int, high: int) -> list[int]:
    """Return the tokens in low..high that begin where a match of `ending` ends."""
    if low > high:
        return []
    tokens = []
    for match in ending.finditer(text, starts[max(0, low - LOOKBEHIND_TOKENS)], starts[high] + LOOKAHEAD_CHARACTERS):
        token = bisect_left(starts, match.end())
        if token > high:
            break
        if token >= low and (ending is not SENTENCE_END or ends_sentence(match)):
            tokens.append(token)
    return tokens


def ends_sentence(match: re.Match[str]) -> bool:
    """Return whether a mark and a space end a sentence; after an abbreviation, initial or list number they do not."""
    if match["mark"] not in (".", "…", "..."):
        return True
    text = match.string
    start = match.start()
    if text[match.end() : match.end() + 1].islower():
        return False
    word = LAST_WORD.search(text, max(0, start - MAX_ABBREVIATION), start)
    before = word[0].lower() if word else ""
    is_initial = len(before) == 1 and before.isalpha()
    is_list_number = before.isdigit() and text[max(0, start - len(before) - 1) : start - len(before)] in (
        "",
        "\n",
        "\t",
    )
    return not (before in ABBREVIATIONS or is_initial or is_list_number)


def strip_span(text: str, start: int, end: int) -> Passage:
    """Return the passage start..end without surrounding white space."""
    piece = text[start:end]
    return Passage(start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip()))


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, list items and headings too, without surrounding white space."""
    sentences = (match.end() for match in SENTENCE_END_OF_RUN.finditer(text) if ends_sentence(match))
    ends = sorted({*sentences, *(match.end() for match in PARAGRAPH_END.finditer(text)), len(text)})
    pieces = (text[start:end].strip() for start, end in pairwise([0, *ends]))
    return [piece for piece in pieces if piece]


def split_long_passages(drafts: list[Draft], token_spans: TokenSpans, budget: int) -> None:
    """Count the tokens of passages that begin or end inside a word, and split in half those that are too long.

    Every tokenizer splits at white space, so a passage between white space has the tokens that it had in the text. A
    part of a word may have more.
    """
    uncertain = [(draft, passage) for draft in drafts for passage in draft.passages if needs_recount(draft, passage)]
    while uncertain:
        counted = token_spans([draft.passage_text(passage) for draft, passage in uncertain])
        halves = []
        for (draft, passage), spans in zip(uncertain, counted, strict=True):
            if len(spans) > budget:
                i = draft.passages.index(passage)
                draft.passages[i : i + 1] = pieces = split_in_half(draft, passage, spans)
                halves += [(draft, piece) for piece in pieces]
        uncertain = halves


def needs_recount(draft: Draft, passage: Passage) -> bool:
    """Return whether a passage may have more tokens than the same characters had in the text."""
    text = draft.document.text
    before = text[max(0, passage.start - 1) : passage.start]
    after = text[passage.end : passage.end + 1]
    return draft.title_is_truncated or before not in PLAIN_SPACES or after not in PLAIN_SPACES


def split_in_half(draft: Draft, passage: Passage, spans: Spans) -> list[Passage]:
    """Split a passage before its middle token; `spans` are those of title and passage together."""
    offset = len(draft.passage_text(passage)) - (passage.end - passage.start)
    starts = [start - offset for start, _ in spans if start > offset]  # tokens that may begin the second half
    middle = passage.start + starts[len(starts) // 2]
    text = draft.document.text
    return [strip_span(text, passage.start, middle), strip_span(text, middle, passage.end)]
