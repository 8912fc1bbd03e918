"""The built-in encoder `multilingual`: texts in other languages have the vectors of their English translations."""

from pathlib import Path

import numpy as np
import pytest

from hpdsearch import Document, Encoder, Index

TEXTS = {
    "quake": "A seismograph is an instrument that records earthquakes.",
    "bread": "Mix flour, water, salt and yeast, and bake the dough for forty minutes.",
    "printer": "If the printer does not print, check the cable and the paper tray.",
    "moon": "The moon goes around the earth in twenty-seven days.",
    "bees": "Bees collect nectar from flowers and turn it into honey.",
    "password": "Choose a long password and do not use it for several accounts.",
}
QUESTIONS = {
    "de": [("quake", "Womit misst man Erdbeben?"), ("bread", "Wie backe ich Brot?")],
    "fr": [
        ("printer", "Mon imprimante ne marche pas, que faire ?"),
        ("bees", "Comment les abeilles font-elles le miel ?"),
    ],
    "es": [
        ("moon", "¿Cuánto tarda la luna en dar la vuelta a la tierra?"),
        ("password", "¿Cómo elijo una contraseña?"),
    ],
    "ru": [("bread", "Как испечь хлеб?"), ("password", "Как выбрать надёжный пароль?")],
    "pl": [("printer", "Drukarka nie drukuje"), ("bees", "Skąd się bierze miód?")],
    "ja": [("quake", "地震を記録する装置"), ("moon", "月は地球の周りを何日で回りますか")],
    "zh": [("bees", "蜜蜂怎样酿蜜？"), ("password", "如何选择密码？")],
    "tr": [("bread", "Ekmek nasıl pişirilir?"), ("printer", "Yazıcı yazdırmıyor")],
    "ar": [("moon", "كم يوما يستغرق القمر للدوران حول الأرض؟"), ("quake", "جهاز يسجل الزلازل")],
}


@pytest.fixture(scope="module")
def multilingual() -> Encoder:
    return Encoder.load("multilingual")


def test_it_is_of_the_space_of_base(multilingual: Encoder) -> None:
    base = Encoder.load("base")
    assert (multilingual.space, multilingual.dim) == (base.space, base.dim)
    rows = multilingual.encode(list(TEXTS.values())) @ base.encode(list(TEXTS.values())).T
    assert (rows.argmax(axis=1) == np.arange(len(TEXTS))).all()
    assert np.diag(rows).min() > 0.5


@pytest.mark.parametrize("language", QUESTIONS)
def test_a_question_in_another_language_finds_its_english_document(multilingual: Encoder, language: str) -> None:
    documents = multilingual.encode(list(TEXTS.values()))
    for wanted, question in QUESTIONS[language]:
        (cosines,) = multilingual.encode([question]) @ documents.T
        assert list(TEXTS)[int(cosines.argmax())] == wanted, question


def test_a_german_question_finds_an_english_document_in_an_index_of_base(tmp_path: Path) -> None:
    documents = [Document(name, text) for name, text in TEXTS.items()]
    Index.build(tmp_path / "index", documents, encoder="base").close()
    with Index.open(tmp_path / "index", encoder="multilingual") as index:
        (hit, *_) = index.search("Womit misst man Erdbeben?", k=3, mode="dense")
        assert hit.doc_id == "quake"


@pytest.mark.parametrize("text", ["Straße", "東京タワー", "मौसम", "☃ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "e\u0301te\u0301", "", " ", "a" * 3000])
def test_any_text_has_a_unit_vector_and_spans_within_it(multilingual: Encoder, text: str) -> None:
    (vector,) = multilingual.encode([text])
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert all(0 <= begin <= end <= len(text) for begin, end in multilingual.token_spans([text])[0])
