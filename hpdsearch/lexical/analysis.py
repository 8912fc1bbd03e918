"""Texts -> stems: the same analysis for documents and queries."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from itertools import groupby

import tantivy

from hpdsearch.corpus.passages import title_and_text
from hpdsearch.lexical.languages import (
    ENGLISH,
    detect_language,
    possible_languages,
    script,
    script_of,
    stemmer_name,
    stemming_languages,
)
from hpdsearch.lexical.scripts import (
    is_changed,
    is_token_character,
    prepare_document,
    prepare_query,
    prepare_words,
    split_into_terms,
)
from hpdsearch.lexical.stop_words import stop_word_filters

TOKENIZER = "hpdsearch_english"  # the name in Tantivy's schema on disk
STEMS_TOKENIZER = "hpdsearch_stems"  # of folders in other languages: they get stems, separated by spaces
_MAX_TOKEN_BYTES = 255  # longer runs of letters are data
_CACHED_TEXTS = 1024  # several times the buffered passages
_CACHED_QUERIES = 64  # a hybrid search asks for the stems of its query four times

_UNIFIED = str.maketrans("ёЁأإآٱ", "еЕاااا")  # a language writes either
Span = tuple[int, int]  # start, end, in characters
Word = tuple[str, ...]  # the stems of a word


class AnalysisVersion(IntEnum):
    """The rules by which texts become stems; a lexical folder keeps the version that it was begun with."""

    WORDS = 1  # runs of alphanumeric characters
    SCRIPTS = 2  # texts are prepared before (hpdsearch.lexical.scripts)
    LANGUAGES = 3  # as SCRIPTS, each passage by the stemmer of its language


@dataclass(frozen=True)
class Analysis:
    """How texts become stems.

    Attributes:
        version: the rules.
        languages: those whose stemmers are used, ascending; English alone before version LANGUAGES.
    """

    version: AnalysisVersion
    languages: tuple[str, ...] = (ENGLISH,)

    @classmethod
    def of_languages(cls, languages: Sequence[str]) -> "Analysis":
        """Return the newest analysis for documents in these languages."""
        stemming = stemming_languages(languages)
        return ENGLISH_ANALYSIS if stemming == (ENGLISH,) else cls(AnalysisVersion.LANGUAGES, stemming)

    @property
    def prepares(self) -> bool:
        """Whether texts are prepared before Tantivy's tokenizer splits them."""
        return self.version is not AnalysisVersion.WORDS

    @property
    def writes_stems(self) -> bool:
        """Whether the lexical index gets the stems of a passage, instead of its text."""
        return self.version is AnalysisVersion.LANGUAGES

    @property
    def tokenizer(self) -> str:
        """Name of the tokenizer in Tantivy's schema."""
        return STEMS_TOKENIZER if self.writes_stems else TOKENIZER


ENGLISH_ANALYSIS = Analysis(AnalysisVersion.SCRIPTS)  # the newest one


@cache
def analyzer(stop_words: bool = True, stems: bool = True, language: str = ENGLISH) -> tantivy.TextAnalyzer:
    """Return the analyzer that splits a prepared text into stems.

    Args:
        stop_words: keep stop words, as documents do.
        stems: reduce words to their stems, as documents do.
        language: whose stop words and stemmer are used.
    """
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(_MAX_TOKEN_BYTES)).filter(tantivy.Filter.lowercase())
    fold = tantivy.Filter.ascii_fold()
    drop = [] if stop_words else stop_word_filters(language)
    # Lists of other languages hold accents. In English, a word that becomes a stop word without its accents is dropped.
    for each in [fold, *drop] if language == ENGLISH else [*drop, fold]:
        builder = builder.filter(each)
    stemmer = stemmer_name(language)
    if stems and stemmer:
        builder = builder.filter(tantivy.Filter.stemmer(stemmer))
    return builder.build()


@cache
def stems_analyzer() -> tantivy.TextAnalyzer:
    """Return the analyzer that splits stems at the spaces between them."""
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()


def register_tokenizers(index: tantivy.Index) -> None:
    """Register the tokenizers that a schema may name."""
    index.register_tokenizer(TOKENIZER, analyzer())
    index.register_tokenizer(STEMS_TOKENIZER, stems_analyzer())


def prepare(text: str, analysis: Analysis = ENGLISH_ANALYSIS) -> str:
    """Return the text that the analyzer gets for a document's text."""
    return prepare_document(unify_letters(text, analysis)) if analysis.prepares else text


def unify_letters(text: str, analysis: Analysis) -> str:
    """Return a text of equal length, in which letters that a language writes in several ways are one."""
    return text.translate(_UNIFIED) if analysis.writes_stems and not text.isascii() else text


def prepare_passage(title: str, passage: str, analysis: Analysis = ENGLISH_ANALYSIS) -> str:
    """Return the text that the lexical index gets for a passage; no pair of characters reaches from its title into it.

    In languages other than English it consists of stems. Title and passage are stemmed in the language of the passage.
    """
    prepared = title_and_text(prepare(title, analysis), prepare(passage, analysis))
    return _stem_passage(prepared, passage, analysis.languages) if analysis.writes_stems else prepared


@lru_cache(_CACHED_TEXTS)  # each reader analyzes the buffered passages
def _stem_passage(prepared: str, passage: str, languages: tuple[str, ...]) -> str:
    return " ".join(analyzer(language=detect_language(passage, languages)).analyze(prepared))


@lru_cache(_CACHED_TEXTS)
def count_stems(prepared: str, analysis: Analysis = ENGLISH_ANALYSIS) -> Mapping[str, int]:
    """Return the term frequency of each stem of a prepared passage; the latest ones are cached."""
    return Counter((stems_analyzer() if analysis.writes_stems else analyzer()).analyze(prepared))


def query_words(text: str, analysis: Analysis = ENGLISH_ANALYSIS) -> list[Word]:
    """Return the words of a query without stop words, or all words if the query has nothing else.

    A word is the tuple of its stems in the languages of the index, each once; in an English index it is one stem.
    """
    return list(_find_query_words(text, analysis))


def query_stems(text: str, analysis: Analysis = ENGLISH_ANALYSIS) -> list[str]:
    """Return the stems of `query_words`."""
    return [stem for word in _find_query_words(text, analysis) for stem in word]


@lru_cache(_CACHED_QUERIES)
def _find_query_words(text: str, analysis: Analysis) -> tuple[Word, ...]:
    prepared = prepare_query(unify_letters(text, analysis)) if analysis.prepares else text
    if not analysis.writes_stems:
        return tuple((stem,) for stem in analyzer(stop_words=False).analyze(prepared) or analyzer().analyze(prepared))
    tokens = _lowercase().analyze(prepared)
    kept = [token for token in tokens if not _is_stop_word(token, analysis.languages)]
    return tuple(word for token in kept or tokens if (word := _stem_word(token, analysis.languages)))


def _stem_word(token: str, languages: tuple[str, ...]) -> Word:
    """Return the stems of a word in each of the languages, each once."""
    return tuple(dict.fromkeys(stem for each in languages for stem in analyzer(language=each).analyze(token)))


def _is_stop_word(token: str, languages: tuple[str, ...]) -> bool:
    """Tell whether a word is a stop word of all languages of its script: German "war" is an English word, too."""
    token_script = script_of(token)
    same = [language for language in languages if script(language) == token_script]
    return bool(same) and not any(analyzer(stop_words=False, language=language).analyze(token) for language in same)


@cache
def _lowercase() -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    return builder.filter(tantivy.Filter.remove_long(_MAX_TOKEN_BYTES)).filter(tantivy.Filter.lowercase()).build()


def split_words(text: str, analysis: Analysis = ENGLISH_ANALYSIS) -> list[str]:
    """Return the words of a text in their order, in lower case without accents; single characters without spaces."""
    prepared = prepare_words(unify_letters(text, analysis)) if analysis.prepares else text
    return analyzer(stems=False).analyze(prepared)


def find_spans(stems: Set[str], passage: str, analysis: Analysis = ENGLISH_ANALYSIS) -> tuple[Span, ...]:
    """Return the (start, end) characters of the tokens in a passage that have one of these stems, ascending.

    Tokens that overlap, as pairs of characters do, give one span. A passage whose language is not certain is stemmed in
    all that are possible, because a detector would take longer to load than most searches take.
    """
    return _find_spans_in_any(possible_languages(passage, analysis.languages), stems, passage, analysis)


def find_query_spans(stems: Set[str], query: str, analysis: Analysis = ENGLISH_ANALYSIS) -> tuple[Span, ...]:
    """Return the spans of `find_spans` in a query, whose words are stemmed in each language of the index."""
    return _find_spans_in_any(analysis.languages, stems, query, analysis)


def _find_spans_in_any(
    languages: tuple[str, ...], stems: Set[str], passage: str, analysis: Analysis
) -> tuple[Span, ...]:
    found = {span for language in languages for span in _find_spans_in(language, stems, passage, analysis)}
    return _join_overlapping(sorted(found))


def _find_spans_in(language: str, stems: Set[str], passage: str, analysis: Analysis) -> tuple[Span, ...]:
    passage = unify_letters(passage, analysis)
    own = analyzer(language=language)
    if analysis.prepares and is_changed(passage):
        terms = ((start, end, own.analyze(term)) for start, end, term in split_into_terms(passage))
        return tuple((start, end) for start, end, found in terms if not stems.isdisjoint(found))
    if not hasattr(own, "pre_tokenize"):  # Tantivy 0.26, the last version for Python 3.10
        return tuple((start, end) for start, end, stem in split_into_stems(passage, language) if stem in stems)
    tokens = own.pre_tokenize(passage).tokens
    return tuple((t.char_offset_from, t.char_offset_to or 0) for t in tokens if t.text in stems)


def _join_overlapping(spans: list[Span]) -> tuple[Span, ...]:
    """Join the spans that overlap; they ascend."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(joined)


def split_into_stems(text: str, language: str = ENGLISH) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, stem) of each token, in characters, as Tantivy's tokenizer splits a text."""
    end = 0
    for is_token, run in groupby(text, key=is_token_character):
        token = "".join(run)
        start = end
        end += len(token)
        if is_token:
            yield from ((start, end, stem) for stem in analyzer(language=language).analyze(token))
