"""The languages of lexical search: their stemmers and stop words, and which of them a text is written in."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

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
# Tantivy has stop words of these.
_WITH_STOP_WORDS = frozenset(
    ["da", "de", "en", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ru", "sv"]
)  # Tantivy has no others
# Scripts without spaces are searched by pairs of characters in every index; the Latin words between them are English.
_WITHOUT_SPACES = frozenset(["ja", "km", "ko", "lo", "my", "th", "zh"])
_WITHOUT_STEMMER = frozenset(["bg", "cs", "fa", "he", "hi", "id", "pl", "uk", "vi"])
_SCRIPTS = {"ar": "Arab", "bg": "Cyrl", "el": "Grek", "fa": "Arab", "he": "Hebr", "hi": "Deva", "ru": "Cyrl"}
_SCRIPTS |= {"ta": "Taml", "uk": "Cyrl"}  # all others: Latin
LANGUAGES = tuple(sorted({*_STEMMERS, *_WITHOUT_SPACES, *_WITHOUT_STEMMER}))
_DIALECTS = {"nn": "no", "ary": "ar", "arz": "ar", "yue": "zh", "wuu": "zh"}

MIN_LETTERS = 20  # shorter texts do not say what language they are in
MIN_CONFIDENCE = 0.8
MIN_SHARE = 0.05  # of the texts, for a language to be one of the index
MAX_SAMPLE = 500  # texts
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


def detect_languages(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of texts, ascending: those that MIN_SHARE of a sample is in; English if none is.

    Texts that are short, or whose language is uncertain, do not count.
    """
    counts: Counter[str] = Counter()
    for text in texts[:: -(-len(texts) // MAX_SAMPLE) or 1]:
        beginning = text[:_MAX_CHARACTERS]
        if sum(map(str.isalpha, beginning)) < MIN_LETTERS and beginning.isascii():
            continue
        code, confidence = _identifier().classify(beginning)
        code = _DIALECTS.get(code, code)
        if confidence >= MIN_CONFIDENCE or (confidence >= MIN_CONFIDENCE / 2 and code in ("zh", "ar")):
            counts[code] += 1
    least = MIN_SHARE * counts.total()
    return tuple(sorted(code for code, n in counts.items() if n >= least and code in LANGUAGES)) or (ENGLISH,)


def detect_language(text: str, languages: tuple[str, ...]) -> str:
    """Return that one of the languages that a text is most likely written in."""
    if len(languages) == 1:
        return languages[0]
    language: str = _identifier(languages).classify(text[:_MAX_CHARACTERS])[0]
    return language


@cache
def _identifier(languages: tuple[str, ...] | None = None) -> "LanguageIdentifier":
    """Return a detector of these languages; None: all that it knows. Loading it takes half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(languages)
    return identifier
