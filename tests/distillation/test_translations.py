import numpy as np
import pytest

from hpdsearch.distillation.data.parallel import Pair
from hpdsearch.distillation.translations import measure_translations


def test_a_translation_counts_if_no_other_text_is_nearer():
    rng = np.random.default_rng(3)
    texts = [f"text {number}" for number in range(12)]
    vectors = rng.normal(size=(12, 6)).astype(np.float32)
    pairs = [Pair(texts[row], f"{language} {row}", language) for row in range(12) for language in ("de", "", "fr")]
    noise = {"de": 0.01, "": 3.0, "fr": 0.7}
    own = np.repeat(vectors, 3, axis=0)
    translated = own + rng.normal(size=own.shape) * np.array([noise[pair.language] for pair in pairs])[:, None]
    found = measure_translations(pairs, texts, vectors, translated.astype(np.float32))
    expected = {}
    for pair, vector in zip(pairs, translated, strict=True):
        cosines = [vector @ other / np.linalg.norm(vector) / np.linalg.norm(other) for other in vectors]
        expected.setdefault(pair.language, []).append(texts[int(np.argmax(cosines))] == pair.text)
    assert found.found == pytest.approx({name: np.mean(hits) for name, hits in expected.items()})
    assert found.counts == {"": 12, "de": 12, "fr": 12}
    assert found.found["de"] == 1 > found.found["fr"] > found.found[""]
    assert found.mean == pytest.approx(np.mean([hit for hits in expected.values() for hit in hits]))
    assert (found.n_texts, found.n_pairs) == (12, 36)
