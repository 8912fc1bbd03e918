"""Stop words: the words of a query that do not say what it asks for. Documents keep theirs.

Tantivy's lists lack many question words. Its list of English is Lucene's, 33 words without *what*, *who* and *how*; its
other lists are Snowball's. Few texts hold the words of questions, so these counted as much as what was asked for
(docs/decisions/0075-stop-words.md). Here English has Snowball's list too, and each language its question words.

Source: Porter 2001, "Snowball: A language for stemming algorithms", https://snowballstem.org/algorithms/english/stop.txt
"""

import tantivy

from hpdsearch.lexical.languages import stop_words_name

# Added to Tantivy's lists. English is Snowball's list without contractions, which the tokenizer splits.
_ADDED = {
    "da": "hvad hvem hvor hvornår hvorfor hvordan hvilken hvilket hvilke",
    "de": """was wer wem wen wessen wo wohin woher wann warum weshalb wieso wie wieviel womit wofür welche welcher
        welches welchen welchem""",
    "en": """i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers
        herself it its itself they them their theirs themselves what which who whom whose this that these those am
        is are was were be been being have has had having do does did doing would should could ought cannot a an the
        and but if or because as until while of at by for with about against between into through during before
        after above below to from up down in out on off over under again further then once here there when where why
        how all any both each few more most other some such no nor not only own same so than too very""",
    "es": "qué quién quiénes cuál cuáles dónde cuándo cómo cuánto cuántos cuánta cuántas",
    "fi": "mikä mitä kuka ketä kenen missä mistä mihin milloin miksi miten kuinka kumpi mitkä ketkä",
    "fr": "que quoi qui quel quelle quels quelles où quand pourquoi comment combien lequel laquelle",
    "hu": "mi mit ki kit hol hova honnan mikor miért hogyan milyen melyik mennyi hány",
    "it": "che cosa chi quale quali dove quando perché come quanto quanti quanta quante cui",
    "nl": "wat wie waar wanneer waarom hoe welke welk wiens hoeveel waarheen",
    "no": "hva hvem hvor når hvorfor hvordan hvilken hvilket hvilke",
    "pt": "que quê quem qual quais onde quando como porque porquê quanto quantos quanta quantas",
    "ru": "что кто где когда почему зачем как какой какая какие какое куда откуда сколько чей который",
    "sv": "vad vem var när varför hur vilken vilket vilka vems vart",
}


def stop_word_filters(language: str) -> list[tantivy.Filter]:
    """Return the filters that remove the stop words of a language, in lower case; none if there is no list for it."""
    name = stop_words_name(language)
    if not name:
        return []
    return [tantivy.Filter.stopword(name), tantivy.Filter.custom_stopword(_ADDED[language].split())]
