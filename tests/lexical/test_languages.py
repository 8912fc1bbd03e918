"""Lexical search in several languages: stems, accents, mixed corpora, and English as it was."""

import re
from pathlib import Path

import pytest
from lexical_folders import write_folder

from hpdsearch.errors import ShapeError
from hpdsearch.lexical import (
    ENGLISH_ANALYSIS,
    Analysis,
    AnalysisVersion,
    LexicalReader,
    LexicalWriter,
    find_spans,
    parse_languages,
    query_stems,
    query_words,
)
from hpdsearch.lexical.languages import LANGUAGES, detect_language, stemmer_name, stop_words_name

# Languages of the index, a sentence, a query that finds it, the part that is marked.
FOUND = [
    ("de", "Die Häuser am See sind alt.", "Haus", "Häuser"),
    ("de", "Die Häuser am See sind alt.", "hauser", "Häuser"),
    ("de", "Er kaufte neue Bücher.", "Buch", "Bücher"),
    ("de", "Die Haustüren sind alt.", "Haustür", "Haustüren"),
    ("de", "Der Hund schläft auf der Straße.", "STRASSE", "Straße"),
    ("fr", "Les étudiants lisent des journaux.", "étudiante", "étudiants"),
    ("fr", "Les écoles sont fermées.", "ecole", "écoles"),
    ("es", "Cantaron dos canciones.", "canción", "canciones"),
    ("it", "Le attività sono finite.", "attivita", "attività"),
    ("ru", "Он читает интересные книги.", "книга", "книги"),
    ("ru", "На площади стоят ёлки.", "елка", "ёлки"),
    ("el", "Οι άνθρωποι γελούν.", "άνθρωπος", "άνθρωποι"),
    ("ar", "قرأت الطالبة الكتاب أمس.", "كتاب", "الكتاب"),
    ("ar", "تاريخ الإسلام", "الاسلام", "الإسلام"),
    ("zh", "昨天夜里发生了强烈震动，居民跑到街上。", "震动", "震动"),
    ("zh", "他买了两个iPhones。", "iphone", "iPhones"),
    ("ja", "私は東京に住んでいます。", "東京", "東京"),
    ("th", "ฉันกินข้าวผัดทุกวัน", "ข้าว", "ข้าว"),
    ("pl", "Czytam książki i gazety.", "ksiazki", None),
    ("pl", "Czytam żółte gazety.", "zołte", None),
    ("de,zh", "昨天夜里发生了强烈震动。", "震动", "震动"),
    ("de,en,fr", "Die Häuser am See sind alt.", "Haus", "Häuser"),
    ("de,en,fr", "The cities along the northern coast are old.", "city", "cities"),
    ("de,en,fr", "Les généraux ont quitté la ville ce matin.", "général", "généraux"),
]


@pytest.mark.parametrize(("languages", "text", "query", "marked"), FOUND)
@pytest.mark.parametrize("is_buffered", [False, True])
def test_a_form_of_a_word_is_found_and_marked(tmp_path, languages, text, query, marked, is_buffered):
    analysis = Analysis.of_languages(parse_languages(languages))
    reader = open_reader(tmp_path, [text, "xyz"], analysis, is_buffered=is_buffered)
    assert reader.search(query, 10)[0].tolist() == [0]
    assert reader.coverage(query, [0, 1]).tolist() == [1, 0]
    if languages != "th":  # its words are several pairs of characters
        assert reader.weigh_words(query, "", text).keys() == {query}
    spans = find_spans(frozenset(query_stems(query, analysis)), text, analysis)
    if marked is not None:
        assert [text[start:end] for start, end in spans] == [marked]


def open_reader(path, texts, analysis, *, is_buffered=False):
    rows = [(row, "", text) for row, text in enumerate(texts)]
    writer = LexicalWriter(path / "l", analysis)
    writer.add_all([] if is_buffered else rows)
    writer.commit()
    writer.close()
    return LexicalReader(path / "l", rows if is_buffered else [], analysis=analysis)


def test_buffered_rows_score_as_rows_on_disk(tmp_path):
    analysis = Analysis.of_languages(("de", "en"))
    texts = [
        "Die Häuser der Stadt sind alt, und das Haus am See auch.",
        "The houses of the city are old.",
        "Ein Hund lief durch die Straßen.",
    ]
    on_disk = open_reader(tmp_path, texts, analysis)
    rows, scores = on_disk.search("Haus house", 10)
    extra = LexicalReader(tmp_path / "l", [(3, "", texts[0])], analysis=analysis)
    by_row = dict(zip(*(part.tolist() for part in extra.search("Haus house", 10)), strict=True))
    assert by_row[3] == pytest.approx(by_row[0], abs=1e-3)
    assert set(rows.tolist()) == {0, 1}
    assert scores[0] >= scores[1]


def test_the_same_form_is_found_whatever_language_was_detected():
    languages = ("de", "en", "fr")
    for word in ("Häuser", "running", "journaux", "Berlin", "made"):
        (stems,) = query_words(word, Analysis.of_languages(languages))
        for language in languages:
            assert set(query_stems(word, Analysis.of_languages((language,)))) <= set(stems)


def test_a_word_counts_once_in_coverage_however_many_stems_it_has(tmp_path):
    analysis = Analysis.of_languages(("de", "en"))
    texts = ["She was running along the northern coast.", "Das Running ist in der ganzen Stadt beliebt."]
    assert [detect_language(text, ("de", "en")) for text in texts] == ["en", "de"]
    reader = open_reader(tmp_path, texts, analysis)
    assert query_words("running", analysis) == [("running", "run")]
    assert reader.coverage("running", [0, 1]).tolist() == [1, 1]
    assert reader.count_rows("running", "run") == 2
    assert reader.rows_with(("running", "run")).tolist() == [0, 1]
    assert reader.rows_with(("running", "run"), "coast").tolist() == [0]


def test_stop_words_are_those_of_all_languages_of_a_script():
    german = Analysis.of_languages(("de",))
    assert query_stems("das Haus für die Hunde", german) == ["haus", "hund"]
    assert query_stems("für die", german) == ["fur", "die"]
    both = Analysis.of_languages(("de", "en"))
    assert "war" in query_stems("war in Europe", both)  # German "was", English too
    assert "in" not in query_stems("war in Europe", both)
    with_russian = Analysis.of_languages(("en", "ru"))
    assert query_words("the books и книги", with_russian) == [("book", "books"), ("книги", "книг")]


QUESTIONS = {
    "da": "Hvem har skrevet bogen, og hvornår?",
    "de": "Wer hat das Buch geschrieben, und wann?",
    "en": "Who has written the book, and how?",
    "es": "¿Quién y cuándo el libro?",
    "fi": "Kuka ja milloin kirja?",
    "fr": "Qui, et quand, dans le livre ?",
    "hu": "Ki és hol a könyv?",
    "it": "Chi e quando il libro?",
    "nl": "Wie heeft het boek, en wanneer?",
    "no": "Hvem har boken, og hvilket?",
    "pt": "Quem e onde o livro?",
    "ru": "Кто и почему в книге?",
    "sv": "Vem har boken, och vems?",
}


@pytest.mark.parametrize("language", [code for code in LANGUAGES if stop_words_name(code)])
def test_question_words_are_stop_words(language):
    n_others = {"da": 2, "de": 2, "en": 2}.get(language, 1)  # the book, and in some the verb
    assert len(query_words(QUESTIONS[language], Analysis.of_languages((language,)))) == n_others


def test_english_is_analyzed_as_before(tmp_path):
    for languages in ((), ("en",), ("zh",), ("ja", "th"), ("en", "ko")):
        assert Analysis.of_languages(languages) == ENGLISH_ANALYSIS == Analysis(AnalysisVersion.SCRIPTS)
    pairs = [("Lakes", "the lakes of the north"), ("", "cafés and 震动")]
    english = LexicalReader(write_folder(tmp_path / "a", pairs))
    schema = (tmp_path / "a" / "meta.json").read_text()
    assert "hpdsearch_english" in schema
    assert "hpdsearch_stems" not in schema
    assert query_stems("the lakes of the north", ENGLISH_ANALYSIS) == ["lake", "north"]
    assert english.search("lake", 9)[0].tolist() == [0]


def test_every_known_language_can_be_analyzed():
    for language in LANGUAGES:
        analysis = Analysis.of_languages((language,))
        assert query_stems("word", analysis)
        assert stop_words_name(language) in (None, stemmer_name(language))
        assert analysis.version in (AnalysisVersion.SCRIPTS, AnalysisVersion.LANGUAGES)


def test_the_page_names_every_language():
    page = (Path(__file__).parents[2] / "docs" / "languages.md").read_text(encoding="utf-8")
    listed = [line for line in page.splitlines() if line.startswith("| `") and line.count("`") > 6]
    assert sorted(code for line in listed for code in re.findall(r"`(\w\w)`", line)) == list(LANGUAGES)


def test_languages_are_parsed():
    assert parse_languages("auto") == ()
    assert parse_languages("fr, DE") == parse_languages(["de", "fr", "fr"]) == ("de", "fr")
    for wrong in ("xx", "german", "", "de,auto"):
        with pytest.raises(ShapeError, match=r"expected auto or some of ar, bg, .*, zh, separated by commas; got"):
            parse_languages(wrong)
