"""Documents -> passages that an encoder reads whole: long texts are cut at paragraph and sentence ends."""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpdsearch.errors import ShapeError
from hpdsearch.records import Document, Passage

Spans = Sequence[tuple[int, int]]
TokenSpans = Callable[[list[str]], Sequence[Spans]]

SMALLEST_MAX_TOKENS = 14
TITLE_SHARE = 0.25  # of the budget, where title and text do not both fit
WINDOW = 0.25  # a passage may be this much longer or shorter than its fair share, to end at a good place
LOOK_BACK = 4  # tokens: quotes and brackets between a sentence's mark and the next sentence
LOOK_AHEAD = 12  # characters: the number of a list item
LONGEST_ABBREVIATION = 12  # characters
PLAIN_SPACES = ("", " ", "\n", "\r", "\t")  # other white space, such as a form feed, BERT's normalizer removes

CLOSERS = "\"'”’»)\\]"
PARAGRAPH_END = re.compile(r"\n[ \t]*\r?\n\s*|\n(?=[ \t]*(?:[-*•‣+]|#{1,6}|\(?\w{1,3}[.)])[ \t])")
SENTENCE_END = re.compile(rf"(?P<mark>[.!?…؟۔।॥]+)[{CLOSERS}]*\s+|[。！？．｡]+[”’」』）》{CLOSERS}]*\s*")
SPACE = re.compile(r"\s+")
LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]*$")
ABBREVIATION_WORDS = """
dr mr mrs ms prof rev hon gen col sgt capt lt st jr sr inc ltd co corp dept univ
fig figs eq eqs sec ch chap vol vols pp ed eds no nos vs etc cf al ca approx e.g i.e
a.m p.m u.s u.k ph.d jan feb mar apr jun jul aug sep sept oct nov dec
bzw ggf usw vgl nr abb bd z.b d.h
"""
ABBREVIATIONS = frozenset(ABBREVIATION_WORDS.split())


@dataclass(frozen=True, slots=True)
class CutDocument:
    """A document's passages and what the encoder is given for each.

    Attributes:
        passages: spans of document.text, ascending; together they hold every character but surrounding white space.
        texts: title and passage as one text, a passage each; at most max_tokens tokens.
        title_is_shortened: the title is not whole in `texts`, because it is longer than its share of the tokens.
    """

    passages: tuple[Passage, ...]
    texts: tuple[str, ...]
    title_is_shortened: bool = False


def cut_passages(
    documents: Sequence[Document], token_spans: TokenSpans, *, max_tokens: int, overlap: float = 0.1
) -> list[CutDocument]:
    """Cut a block of documents into passages of at most max_tokens tokens, of about equal length in each document.

    A document that fits stays whole. A passage ends, within a quarter of its fair share, at a paragraph, list item or
    heading, else at a sentence, else at a space, else between two tokens; the next one begins with its last sentence
    again, or with its last words where that sentence is longer than the overlap.

    Args:
        documents: with texts that are not blank.
        token_spans: gives for each text the (start, end) characters of its tokens, neither truncated nor with special
            tokens. It is called once for the texts that may be too long, and again for the pieces of words cut in two.
        max_tokens: the encoder's limit, special tokens not counted; >= 14.
        overlap: largest part of a passage that the next one repeats, 0 <= overlap <= 0.3.

    Returns:
        One a document, in the same order.

    Raises:
        ShapeError: max_tokens or overlap are out of range.
    """
    if max_tokens < SMALLEST_MAX_TOKENS:
        raise ShapeError(f"max_tokens: expected at least {SMALLEST_MAX_TOKENS}, got {max_tokens}")
    if not 0 <= overlap <= 0.3:
        raise ShapeError(f"overlap: expected 0..0.3 of a passage, got {overlap}")
    drafts = [Draft(document, title_before_text(document), [Passage(0, len(document.text))]) for document in documents]
    uncertain = [draft for draft in drafts if not certainly_fits(draft, max_tokens)]
    spans = (
        token_spans([part for draft in uncertain for part in (draft.title, draft.document.text)]) if uncertain else []
    )
    for draft, title_spans, text_spans in zip(uncertain, spans[::2], spans[1::2], strict=True):
        if len(title_spans) + len(text_spans) > max_tokens:
            room = max_tokens - fit_title(draft, title_spans, n_text=len(text_spans), budget=max_tokens)
            draft.passages = cut_text(draft.document.text, text_spans, room, int(room * overlap))
    split_what_is_too_long(uncertain, token_spans, max_tokens)
    return [draft.finished() for draft in drafts]


@dataclass(slots=True)
class Draft:
    """A document while it is being cut."""

    document: Document
    title: str  # as the encoder gets it: "" if there is none
    passages: list[Passage]
    title_is_shortened: bool = False

    def encoded(self, passage: Passage) -> str:
        """Return what the encoder is given for a passage."""
        text = self.document.text[passage.start : passage.end]
        return encoded_text(self.title, text)

    def finished(self) -> CutDocument:
        """Return the result."""
        texts = tuple(map(self.encoded, self.passages))
        return CutDocument(tuple(self.passages), texts, self.title_is_shortened)


def encoded_text(title: str, text: str) -> str:
    """Return what the encoder is given for a text under a title, which may be empty."""
    return f"{title}\n{text}" if title else text


def title_before_text(document: Document) -> str:
    """Return the title that is encoded before each passage; none where it is blank or the text itself."""
    title = document.title
    return "" if not title or title.isspace() or title == document.text else title


def certainly_fits(draft: Draft, budget: int) -> bool:
    """Whether a text is so short that its tokens need not be counted.

    A character is never more tokens than its UTF-8 bytes. (It may be more than one token: BERT's normalizer takes a
    Hangul syllable, 3 bytes, apart into 3 letters.)
    """
    title, text = draft.title, draft.document.text
    if len(title) + len(text) > budget:
        return False
    return (title.isascii() and text.isascii()) or len(title.encode()) + len(text.encode()) <= budget


def fit_title(draft: Draft, spans: Spans, *, n_text: int, budget: int) -> int:
    """Shorten a title that is longer than its share and than what the text leaves; return its number of tokens."""
    room = max(int(budget * TITLE_SHARE), budget - n_text)
    if len(spans) <= room:
        return len(spans)
    starts = [start for start, _ in spans]
    n_kept = bisect_left(starts, starts[room])
    draft.title = draft.title[: starts[n_kept]].rstrip()
    draft.title_is_shortened = True
    return n_kept


def cut_text(text: str, spans: Spans, budget: int, overlap: int) -> list[Passage]:
    """Cut a text between its tokens into passages of at most `budget` tokens that repeat at most `overlap` of them."""
    starts = [start for start, _ in spans]
    passages = []
    first, start = 0, 0  # token and character where the passage begins
    while (n_left := len(starts) - first) > budget:
        n_passages = math.ceil((n_left - overlap) / (budget - overlap))
        fair = math.ceil((n_left + (n_passages - 1) * overlap) / n_passages)
        slack = int(fair * WINDOW)
        last = best_end(text, starts, first + fair - slack, first + fair, first + min(fair + slack, budget))
        passages.append(stripped(text, start, starts[last]))
        first = next_begin(text, starts, max(last - overlap, first + 1), last)
        start = starts[first]
    return [*passages, stripped(text, start, len(text))]


def best_end(text: str, starts: list[int], low: int, fair: int, high: int) -> int:
    """Return the token, low..high, before which to cut: after a paragraph, sentence or space, the nearest to `fair`."""
    for ending in (PARAGRAPH_END, SENTENCE_END, SPACE):
        if tokens := tokens_after(ending, text, starts, low, high):
            return min(tokens, key=lambda token: abs(token - fair))
    return bisect_left(starts, starts[fair])  # the first of several tokens made from one character


def next_begin(text: str, starts: list[int], low: int, end: int) -> int:
    """Return the token, low..end, with which to begin after a cut before `end`: at a sentence, else at a word."""
    sentences = [*tokens_after(PARAGRAPH_END, text, starts, low, end - 1)]
    sentences += tokens_after(SENTENCE_END, text, starts, low, end - 1)
    if sentences:
        return max(sentences)
    return min(tokens_after(SPACE, text, starts, low, end - 1), default=end)


def tokens_after(ending: re.Pattern[str], text: str, starts: list[int], low: int, high: int) -> list[int]:
    """Return the tokens, low..high, that begin where a match of `ending` ends."""
    if low > high:
        return []
    tokens = []
    for match in ending.finditer(text, starts[max(0, low - LOOK_BACK)], starts[high] + LOOK_AHEAD):
        token = bisect_left(starts, match.end())
        if token > high:
            break
        if token >= low and (ending is not SENTENCE_END or ends_sentence(match)):
            tokens.append(token)
    return tokens


def ends_sentence(match: re.Match[str]) -> bool:
    """Whether a mark and the space behind it end a sentence: not after an abbreviation, an initial or a list number."""
    if match["mark"] not in (".", "…", "..."):
        return True
    text, start = match.string, match.start()
    if text[match.end() : match.end() + 1].islower():
        return False
    word = LAST_WORD.search(text, max(0, start - LONGEST_ABBREVIATION), start)
    before = word[0].lower() if word else ""
    is_initial = len(before) == 1 and before.isalpha()
    is_list_number = before.isdigit() and text[max(0, start - len(before) - 1) : start - len(before)] in (
        "",
        "\n",
        "\t",
    )
    return not (before in ABBREVIATIONS or is_initial or is_list_number)


def stripped(text: str, start: int, end: int) -> Passage:
    """Return the characters start..end without white space around them."""
    piece = text[start:end]
    return Passage(start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip()))


def split_what_is_too_long(drafts: list[Draft], token_spans: TokenSpans, budget: int) -> None:
    """Count the tokens of passages that begin or end inside a word, and halve those that have become too long.

    At white space a tokenizer splits anyway, so the tokens of such a passage are those it had in the whole text; a
    piece of a word may have more.
    """
    doubtful = [(draft, passage) for draft in drafts for passage in draft.passages if is_doubtful(draft, passage)]
    while doubtful:
        counted = token_spans([draft.encoded(passage) for draft, passage in doubtful])
        halves = []
        for (draft, passage), spans in zip(doubtful, counted, strict=True):
            if len(spans) > budget:
                i = draft.passages.index(passage)
                draft.passages[i : i + 1] = pieces = halved(draft, passage, spans)
                halves += [(draft, piece) for piece in pieces]
        doubtful = halves


def is_doubtful(draft: Draft, passage: Passage) -> bool:
    """Whether a passage may have other tokens than it had in the whole text."""
    text = draft.document.text
    before, after = text[max(0, passage.start - 1) : passage.start], text[passage.end : passage.end + 1]
    return draft.title_is_shortened or before not in PLAIN_SPACES or after not in PLAIN_SPACES


def halved(draft: Draft, passage: Passage, spans: Spans) -> list[Passage]:
    """Cut a passage before the middle one of its tokens; `spans` are those of title and passage together."""
    offset = len(draft.encoded(passage)) - (passage.end - passage.start)
    starts = [start - offset for start, _ in spans if start > offset]  # tokens that may begin the second half
    middle = passage.start + starts[len(starts) // 2]
    text = draft.document.text
    return [stripped(text, passage.start, middle), stripped(text, middle, passage.end)]
