"""The languages of lexical search: their stemmers and stop words, and which of them a text is written in.

py3langid detects languages. Loading it takes half a second and 70 MB, so it is asked only where scripts and stop words
do not tell.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from copy import copy
from functools import cache
from typing import TYPE_CHECKING

import tantivy

from hpdsearch.errors import ShapeError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

ENGLISH = "en"
AUTO = "auto"
_STEMMERS = {  # of Tantivy (Snowball)
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
# Tantivy has stop words of these alone.
_WITH_STOP_WORDS = frozenset(["da", "de", "en", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ru", "sv"])
# Scripts without spaces are searched by pairs of characters in every index; the Latin words between them are English.
_WITHOUT_SPACES = frozenset(["ja", "km", "ko", "lo", "my", "th", "zh"])
_WITHOUT_STEMMER = frozenset(["bg", "cs", "fa", "he", "hi", "id", "pl", "uk", "vi"])
LANGUAGES = tuple(sorted({*_STEMMERS, *_WITHOUT_SPACES, *_WITHOUT_STEMMER}))
_DIALECTS = {"nn": "no", "ary": "ar", "arz": "ar", "yue": "zh", "wuu": "zh"}
_SCRIPTS = {"ar": "Arab", "bg": "Cyrl", "el": "Grek", "fa": "Arab", "he": "Hebr", "hi": "Deva", "ru": "Cyrl"}
_SCRIPTS |= {"ta": "Taml", "uk": "Cyrl"}  # all others: Latin
_LETTERS = {
    "Latn": re.compile("[A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff]"),
    "Grek": re.compile("[\u0370-\u03ff\u1f00-\u1fff]"),
    "Cyrl": re.compile("[\u0400-\u052f]"),
    "Hebr": re.compile("[\u0590-\u05ff]"),
    "Arab": re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff]"),
    "Deva": re.compile("[\u0900-\u097f]"),
    "Taml": re.compile("[\u0b80-\u0bff]"),
}
# A quarter of the words of English texts; some are words of other languages, too, as Dutch "of" and Polish "to".
_FREQUENT_WORDS = """
an and are as at be by did for from has have he his in is it its not of on or that the their this to was with you your
"""
_ENGLISH_WORDS = frozenset(_FREQUENT_WORDS.split())
_ENGLISH_ALONE = frozenset(["and", "from", "that", "the", "this", "with"])

MIN_LETTERS = 20  # shorter texts do not say what language they are in
MIN_CONFIDENCE = 0.8
MIN_SHARE = 0.05  # of the texts, for a language to be one of the index
MAX_SAMPLE = 500  # texts
MIN_ENGLISH_WORDS = 1 / 8  # of the words of a plainly English text
MIN_ENGLISH_ALONE = 1 / 25  # of the words of plainly English texts together
MIN_STOP_WORDS = 3  # that tell a language, if no other one has more than half as many
_MAX_CHARACTERS = 300  # of a text: as many tell the language


def parse_languages(languages: str | Sequence[str]) -> tuple[str, ...]:
    """Return language codes, ascending; none: detect them.

    Args:
        languages: "auto", or codes, as a sequence or separated by commas.

    Raises:
        ShapeError: a code is unknown.
    """
    codes = languages.split(",") if isinstance(languages, str) else languages
    named = sorted({code.strip().lower() for code in codes})
    if named == [AUTO]:
        return ()
    unknown = [code for code in named if code not in LANGUAGES]
    if unknown or not named:
        got = repr(unknown[0]) if unknown else "none"
        raise ShapeError(f"language: expected auto or some of {', '.join(LANGUAGES)}, separated by commas; got {got}")
    return tuple(named)


def stemming_languages(languages: Iterable[str]) -> tuple[str, ...]:
    """Return the languages by whose rules words are stemmed, ascending: English for scripts without spaces."""
    return tuple(sorted({ENGLISH if code in _WITHOUT_SPACES else code for code in languages})) or (ENGLISH,)


def stemmer_name(language: str) -> str | None:
    """Return Tantivy's name of a stemmer; None: it has none for this language."""
    return _STEMMERS.get(language)


def stop_words_name(language: str) -> str | None:
    """Return Tantivy's name of a list of stop words; None: it has none for this language."""
    return _STEMMERS[language] if language in _WITH_STOP_WORDS else None


def script(language: str) -> str:
    """Return the script that a language is written in."""
    return _SCRIPTS.get(language, "Latn")


def script_of(text: str) -> str:
    """Return the script of most letters of a text; "": one that `script` does not return, or the text has no letter."""
    counts = {name: len(letters.findall(text)) for name, letters in _LETTERS.items()}
    n_others = sum(map(str.isalpha, text)) - sum(counts.values())
    name, n = max(counts.items(), key=lambda item: item[1])
    return name if n > n_others else ""


def detect_languages(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of texts, ascending: those that MIN_SHARE of a sample is in; English if none is.

    Texts that are short, or whose language is uncertain, do not count. The detector is not asked if the others are
    plainly English.
    """
    step = -(-len(texts) // MAX_SAMPLE) or 1
    sample = [beginning for text in texts[::step] if _tells_language(beginning := text[:_MAX_CHARACTERS])]
    if _are_plainly_english(sample):
        return (ENGLISH,)
    counts: Counter[str] = Counter()
    for text in sample:
        code, confidence = _load_detector().classify(text)
        code = _DIALECTS.get(code, code)
        if confidence >= MIN_CONFIDENCE or (confidence >= MIN_CONFIDENCE / 2 and code in ("zh", "ar")):
            counts[code] += 1
    least = MIN_SHARE * counts.total()
    found = tuple(sorted(code for code, n in counts.items() if n >= least and code in LANGUAGES)) or (ENGLISH,)
    if len(stemming_languages(found)) == 1:
        _load_detector.cache_clear()  # nothing else of the index asks it
    return found


def _tells_language(text: str) -> bool:
    return not text.isascii() or sum(map(str.isalpha, text)) >= MIN_LETTERS


def _are_plainly_english(texts: Sequence[str]) -> bool:
    """Tell whether texts have so many frequent words of English that no other language can have MIN_SHARE of them."""
    split = [text.lower().split() for text in texts]
    n_others = sum(_count(_ENGLISH_WORDS, words) < MIN_ENGLISH_WORDS * len(words) for words in split)
    n_english_alone = sum(_count(_ENGLISH_ALONE, words) for words in split)
    return n_others < MIN_SHARE * len(texts) and n_english_alone >= MIN_ENGLISH_ALONE * sum(map(len, split))


def _count(listed: Set[str], words: Sequence[str]) -> int:
    return sum(word in listed for word in words)


def detect_language(text: str, languages: tuple[str, ...]) -> str:
    """Return that one of the languages by whose rules the words of a text are stemmed.

    It is the one that `possible_languages` leaves, or of several the one that the detector finds most likely.
    """
    possible = possible_languages(text, languages)
    if len(possible) == 1:
        return possible[0]
    language: str = _limit_detector(possible).classify(text[:_MAX_CHARACTERS])[0]
    return language


def possible_languages(text: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the languages, at least one, that a text may be in as far as scripts and stop words tell.

    If none is in the script of the text, it is English, or the first of the languages.
    """
    if len(languages) == 1:
        return languages
    beginning = text[:_MAX_CHARACTERS]
    text_script = script_of(beginning)
    candidates = tuple(language for language in languages if script(language) == text_script)
    if not candidates:
        return (ENGLISH if ENGLISH in languages else languages[0],)
    found = _find_by_stop_words(beginning, candidates) if len(candidates) > 1 else None
    return (found,) if found else candidates


def _find_by_stop_words(text: str, languages: tuple[str, ...]) -> str | None:
    """Return the language that has most stop words in a text by far; None: there is none, or a list is missing."""
    if not _WITH_STOP_WORDS.issuperset(languages):
        return None
    n_words = _count_words(text, None)
    counts = {language: n_words - _count_words(text, language) for language in languages}
    second, first = sorted(counts.values())[-2:]
    is_clear = first >= max(MIN_STOP_WORDS, 2 * second)
    return max(counts, key=counts.__getitem__) if is_clear else None


def _count_words(text: str, language: str | None) -> int:
    """Count the words that are no stop words of a language; single letters are options and symbols, too."""
    return sum(len(word) > 1 for word in _without_stop_words(language).analyze(text))


@cache
def _without_stop_words(language: str | None) -> tantivy.TextAnalyzer:
    """Return the analyzer that splits a text into words in lower case, without the stop words of a language."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
    name = stop_words_name(language) if language else None
    return (builder.filter(tantivy.Filter.stopword(name)) if name else builder).build()


@cache
def _limit_detector(languages: tuple[str, ...]) -> "LanguageIdentifier":
    """Return a detector of these languages."""
    limited = copy(_load_detector())
    limited.set_languages(languages)
    return limited


@cache
def _load_detector() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
