"""The benchmark of speed: what each model's process answers, and the figures of a result by hand."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_encoder import WORDS, make_tiny_encoder, make_tiny_static
from tiny_teacher import make_tiny_teacher

from hpdsearch.encoder import Encoder

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "peers")]
encoding = importlib.import_module("encoding")
encode_worker = importlib.import_module("encode_worker")

LINES = ["the dog sleeps", "a fish in the sea", "snow and wind", "old iron ship", "song of the moon", "green tree"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Tiny models of each kind."""
    root = tmp_path_factory.mktemp("models")
    return SimpleNamespace(
        teacher=make_tiny_teacher(root / "big"),
        tiny=make_tiny_encoder(root / "tiny"),
        static=make_tiny_static(root / "static"),
    )


def test_the_models_of_all_kinds_encode_alike_in_their_worker(made):
    teacher = str(made.teacher)
    ways = [encode_worker.OPENERS[kind](teacher, "float32", 1) for kind in ("teacher", "own-teacher")]
    np.testing.assert_allclose(np.asarray(ways[0](LINES)), ways[1](LINES), atol=1e-5)
    encode = encode_worker.OPENERS["encoder"](str(made.tiny), "onnx", 1)
    np.testing.assert_array_equal(encode(LINES), Encoder.load(made.tiny).encode(LINES))


def test_models_take_turns_in_processes_of_their_own(made, capfd):
    commands = {"static": encoding.worker("encoder", made.static, "onnx")}
    commands["tiny"] = encoding.worker("encoder", made.tiny, "onnx")
    teachers = {"slow": encoding.worker("encoder", made.tiny, "onnx")}
    texts = {encoding.SHORT: LINES, encoding.PASSAGES: LINES[:3]}
    seconds, probes, chosen = encoding.measure(commands, teachers, texts, [1], pass_seconds=0.01, n=3, repeats=2)
    kinds = (encoding.SHORT, encoding.PASSAGES, encoding.SINGLE)
    assert list(seconds) == [f"{name}, {kind}, 1 core" for name in ("teacher", "static", "tiny") for kind in kinds]
    assert all(len(rounds) == 2 for rounds in seconds.values())
    for name, rounds in seconds.items():
        assert all(len(values) == (3 if encoding.SINGLE in name else 1) and min(values) > 0 for values in rounds)
    assert chosen == {1: "slow"}
    assert [item["name"] for item in probes] == ["probe: slow, 1 core"]


def test_a_model_that_cannot_be_opened_stops_the_run(tmp_path, capfd):
    with (
        pytest.raises(SystemExit, match="ended before it answered"),
        encoding.asked(encoding.worker("encoder", tmp_path / "none", "onnx"), 1),
    ):
        pass
    assert "expected an encoder folder" in capfd.readouterr().err


def test_a_pass_takes_as_many_texts_as_fill_its_time():
    asked = []

    def ask(texts, one_by_one):  # a model of 1,000 texts a second
        asked.append(len(texts))
        return [len(texts) / 1000]

    run = encoding.Pass(ask, ["text"] * 5000, 16, 2.0)
    run(-1)
    assert asked[-1] == 2000
    assert run(0) == [0.001]
    assert encoding.Pass(ask, ["text"] * 100, 16, 2.0)(-1) == [0.001]
    assert asked[-1] == 100, "no more than there are"


def test_single_texts_differ_from_round_to_round():
    asked = []
    for number in (-1, 0, 1):
        encoding.singles(lambda texts, one_by_one: asked.append((texts, one_by_one)), list("abcdef"), 3, number)
    assert asked == [(encoding.WARM_UP, True), (["a", "b", "c"], True), (["d", "e", "f"], True)]


def test_short_texts_and_passages_have_the_tokens_they_should(made):
    encoder = Encoder.load(made.tiny)
    entries = [" ".join((WORDS * 2)[i % 40 : i % 40 + i // 40]) for i in range(40, 1200)] * 2  # a token a word
    texts = encoding.made_texts(entries, encoder, seed=0)
    wanted = {entry for entry in entries if 17 <= len(entry.split()) <= 23}
    assert set(texts[encoding.SHORT]) == wanted
    assert len(texts[encoding.SHORT]) == len(wanted), "each once"
    assert texts[encoding.SHORT] != encoding.made_texts(entries, encoder, seed=1)[encoding.SHORT]
    assert len(texts[encoding.PASSAGES]) > 5
    assert all(200 <= len(text.split()) < 223 for text in texts[encoding.PASSAGES])


def test_speed_figures_by_hand():
    rates = {"teacher": [10, 20], "static": [2000, 1000], "model2vec": [1000, 1000], "base": [40, 120]}
    seconds = {}
    for threads, times in ((1, 1), (2, 2)):
        for name, listed in rates.items():
            for kind in (encoding.SHORT, encoding.PASSAGES):
                seconds[encoding.case(f"{name}, {kind}", threads)] = [[1 / rate / times] for rate in listed]
            seconds[encoding.case(f"{name}, {encoding.SINGLE}", threads)] = [[0.001, 0.002], [0.003, 0.009]]
    measurements, targets = encoding.figures(seconds, [1, 2])
    medians = {item["name"]: item["median"] for item in measurements}
    assert medians["base, short texts, 1 core"] == 80
    assert medians["base, short texts, 2 cores"] == 160
    assert medians["base, single text, 1 core"] == 2.5
    seen = {item["name"]: (item["measured"], item["met"]) for item in targets}
    assert seen == {
        "static / teacher, short texts, 2 cores": (125, True),  # of 200 and 50
        "base / teacher, short texts, 2 cores": (5, True),  # of 4 and 6
        "static / model2vec, short texts, 2 cores": (1.5, True),
        "base, single text, 1 core": (2.5, False),
    }
