from hpdsearch.distillation.data.parallel import Pair
from hpdsearch.distillation.data.split import Split
from hpdsearch.distillation.targets import mix_translations


def test_a_translation_has_the_target_of_its_text_and_all_texts_are_mixed():
    texts = [f"text {number}" for number in range(200)]
    pairs = [Pair(text, f"{language}: {text}", language) for text in texts[20:] for language in ("de", "fr")]
    split = Split(["held out"], texts[:100], texts[100:110], texts[110:], pairs, [Pair("held out", "x", "de")])
    mixed, rows = mix_translations(split, seed=0)
    assert sorted(mixed) == sorted([*texts, *(pair.translation for pair in pairs)])
    assert [text.split(": ")[-1] for text in mixed] == [split.embedded[row] for row in rows]
    n_translations = sum(": " in text for text in mixed[:100])
    assert 45 < n_translations < 85, "the head is fitted to the first texts: about 64 of these are translations"
    assert mix_translations(split, seed=0)[0] == mixed != mix_translations(split, seed=1)[0]
