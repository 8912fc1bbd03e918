"""Which languages texts are in, and when the detector is asked."""

from functools import cache

import pytest

from hpdsearch.lexical import Analysis, find_spans, languages, query_stems
from hpdsearch.lexical.languages import LANGUAGES, detect_language, detect_languages

ENGLISH = ["She repaired the old bicycle in her garden.", "The committee will publish its report next week."]
GERMAN = ["Die Preise für Brot sind seit dem letzten Winter gestiegen."]
CHINESE = ["自去年冬天以来，面包价格上涨了。"]


def test_languages_are_detected():
    assert detect_languages(ENGLISH) == ("en",)
    assert detect_languages(GERMAN) == ("de",)
    assert detect_languages(CHINESE) == ("zh",)
    assert detect_languages([*ENGLISH, *GERMAN, *CHINESE]) == ("de", "en", "zh")
    assert detect_languages([]) == detect_languages(["kon rix", "12345", "?"]) == ("en",)


@pytest.fixture
def loaded(monkeypatch):
    """The times at which the detector was loaded."""
    times = []
    load = languages._load_detector.__wrapped__
    monkeypatch.setattr(languages, "_load_detector", cache(lambda: times.append(1) or load()))
    monkeypatch.setattr(languages, "_limit_detector", cache(languages._limit_detector.__wrapped__))
    return times


def test_the_detector_is_not_loaded_for_english_texts(loaded):
    assert detect_languages(ENGLISH * 100) == ("en",)
    assert detect_languages([*ENGLISH * 10, *GERMAN]) == ("en",)  # 1 of 21, under 5 %
    assert not loaded
    assert detect_languages([*ENGLISH * 9, *GERMAN]) == ("de", "en")  # 1 of 19
    assert loaded == [1]


@pytest.mark.parametrize(
    "text",
    [
        "Ez egy rövid szöveg a régi házról, és a kert is szép.",  # Hungarian: its article is "a"
        "To jest dom, a to jest ogród i stara droga do miasta.",
        "Het is warm of koud in de oude stad aan de rivier.",
        "Non si trova in nessuna delle vecchie case sul lago.",
        "Não se encontra a casa antiga, mas as outras são novas.",
        "Starý dům u jezera byl prodán loni v zimě, a to draho.",
        "Der Hund war in dem Garten, so hat man es an den Mann gebracht.",
    ],
)
def test_texts_of_other_languages_are_not_taken_for_english(text):
    assert "en" not in detect_languages([text])


def test_scripts_and_stop_words_tell_the_language_of_most_passages(loaded):
    several = ("ar", "de", "el", "en", "fr", "he", "hi", "ru", "ta")
    assert detect_language("Die alten Häuser am See wurden im Winter verkauft.", several) == "de"
    assert detect_language("The old houses at the lake were sold in winter.", several) == "en"
    assert detect_language("Les généraux ont quitté la ville après la tempête.", several) == "fr"
    assert detect_language("Она читает интересные книги.", several) == "ru"
    assert detect_language("Οι άνθρωποι γελούν.", several) == "el"
    assert detect_language("قرأت الطالبة الكتاب أمس.", several) == "ar"
    assert detect_language("הילדים קראו ספרים", several) == "he"
    assert detect_language("बच्चे किताबें पढ़ते हैं", several) == "hi"
    assert detect_language("குழந்தைகள் படிக்கிறார்கள்", several) == "ta"
    assert detect_language("他昨天晚上在商店里买了两个iPhones。", several) == "en"
    assert detect_language("他昨天晚上在商店里买了两个iPhones。", ("de", "ru")) == "de"
    assert detect_language("12345 ?", several) == "en"
    assert not loaded


def test_the_detector_tells_the_language_where_stop_words_do_not(loaded):
    assert detect_language("Vogelbeobachtung und Naturschutz", ("de", "en")) == "de"
    assert detect_language("Czytam książki o starych domach.", ("en", "pl")) == "pl"
    assert detect_language("Reading books about birdwatching", ("en", "pl")) == "en"
    assert loaded == [1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_detector_knows_every_language(language):
    assert languages._limit_detector((language,)).classify("a")[0] == language


def test_highlights_need_no_detector(loaded):
    analysis = Analysis.of_languages(("de", "en"))
    text = "Vögel, houses, Häuser"
    spans = find_spans(frozenset(query_stems("Haus house", analysis)), text, analysis)
    assert [text[start:end] for start, end in spans] == ["houses", "Häuser"]
    assert not loaded
