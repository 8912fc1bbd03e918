"""Test the encoding benchmark: the answers of each model's process, and the figures of a result by hand."""

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_encoder import HIDDEN, INNER, MAX_TOKENS, WORDS, make_tiny_encoder, make_tiny_static
from tiny_teacher import MAX_TOKENS as TEACHER_TOKENS
from tiny_teacher import make_tiny_teacher
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from hpdsearch.encoder import Encoder

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
encoding = importlib.import_module("benchmarks.encoding.run")
encode_worker = importlib.import_module("encode_worker")
figures = importlib.import_module("benchmarks.encoding.figures")
matmul_peak = importlib.import_module("benchmarks.encoding.matmul_peak")
models = importlib.import_module("benchmarks.encoding.models")
operations = importlib.import_module("benchmarks.encoding.flops")
rounds = importlib.import_module("benchmarks.encoding.rounds")

LINES = ["the dog sleeps", "a fish in the sea", "snow and wind", "old iron ship", "song of the moon", "green tree"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Make tiny models of each kind."""
    root = tmp_path_factory.mktemp("models")
    return SimpleNamespace(
        teacher=make_tiny_teacher(root / "big"),
        tiny=make_tiny_encoder(root / "tiny"),
        static=make_tiny_static(root / "static"),
    )


def test_the_worker_encodes_like_each_kind_of_model(made):
    teacher = str(made.teacher)
    ways = [encode_worker.OPENERS[kind](teacher, "float32", 1) for kind in ("teacher", "own-teacher")]
    np.testing.assert_allclose(np.asarray(ways[0](LINES)), ways[1](LINES), atol=1e-5)
    encode = encode_worker.OPENERS["encoder"](str(made.tiny), "onnx", 1)
    np.testing.assert_array_equal(encode(LINES), Encoder.load(made.tiny).encode(LINES))


# ---- the rounds


def model_of(folder, **about):
    return models.Model(models.worker("encoder", folder, "onnx"), folder, **about)


def work_of(**about):
    texts = {rounds.SHORT: LINES, rounds.PASSAGES: LINES[:3]}
    return rounds.Workload(texts, **{"queries": LINES, "pass_seconds": 0.01, "n_singles": 3} | about)


@pytest.mark.slow
def test_models_are_interleaved_in_processes_of_their_own(made):
    measured = {"static": model_of(made.static), "tiny": model_of(made.tiny)}
    found = rounds.measure(measured, {"slow": model_of(made.tiny)}, ["numpy"], work_of(), [1], 2)
    kinds = (rounds.SHORT, rounds.PASSAGES, rounds.SINGLE)
    assert list(found.seconds) == [(name, kind, 1) for name in ("teacher", "static", "tiny") for kind in kinds]
    for case, values in found.seconds.items():
        assert [len(of_round) for of_round in values] == [3 if case.what == rounds.SINGLE else 1] * 2
        assert min(map(min, values)) > 0
    assert set(found.n_texts) == {case for case in found.seconds if case.what != rounds.SINGLE}
    assert all(1 <= n <= len(LINES) for n in found.n_texts.values())
    (peak,) = found.gflops.values()
    assert len(peak) == 2
    assert min(peak) > 0
    assert found.chosen == {1: "slow"}
    assert [item["name"] for item in found.probes] == ["probe: slow, 1 core"]
    assert not found.failed


def test_a_model_that_cannot_be_opened_stops_the_run(tmp_path):
    with (
        pytest.raises(SystemExit, match=r"ended before it answered\n(.|\n)*expected an encoder folder"),
        models.model_process(models.worker("encoder", tmp_path / "none", "onnx"), 1),
    ):
        pass
    with pytest.raises(SystemExit, match="expected an encoder folder"):
        rounds.measure({"none": model_of(tmp_path / "none")}, {}, [], work_of(), [1], 1)


DIES_AT_A_REQUEST = "import sys; print('ready', flush=True); input(); sys.exit('no such instruction')"


def test_a_baseline_that_fails_is_skipped_and_reported(made, tmp_path):
    baselines = {
        "tiny": model_of(made.tiny, is_baseline=True),
        "not there": models.Model([tmp_path / "no-python"], is_baseline=True),
        "not opened": model_of(tmp_path / "none", is_baseline=True),
        "dies": models.Model([sys.executable, "-c", DIES_AT_A_REQUEST], is_baseline=True),
    }
    found = rounds.measure(baselines, {}, [], work_of(), [1], 1)
    assert {case.system for case in found.seconds} == {"tiny"}
    assert list(found.failed) == ["not there", "not opened", "dies"]
    assert "No such file" in found.failed["not there"]
    assert "expected an encoder folder" in found.failed["not opened"]
    assert found.failed["dies"] == "no such instruction"
    own = models.Model([sys.executable, "-c", DIES_AT_A_REQUEST])
    with pytest.raises(SystemExit, match="no such instruction"):
        rounds.measure({"dies": own}, {}, [], work_of(), [1], 1)


def test_a_baseline_that_cannot_be_prepared_is_skipped_and_reported():
    def installs():
        raise subprocess.CalledProcessError(1, ["pip", "install", "that"])

    def exports():
        raise SystemExit(f"Traceback\n  File ...\nValueError: {Path.home()}/model is of no known kind\n")

    failed: dict[str, str] = {}
    good = models.Model(["python"], is_baseline=True)
    assert models.prepare_baselines({"a": installs, "b": exports, "c": lambda: good}, failed) == {"c": good}
    assert failed == {
        "a": "its packages could not be installed: pip ended with exit code 1",
        "b": "ValueError: ~/model is of no known kind",
    }


def test_baselines_run_the_model_of_the_same_size_and_the_teacher_in_every_configuration(tmp_path):
    names = list(models.baseline_makers(models.BASELINES, tmp_path / "big", tmp_path / "mini"))
    ways = ("torch float32", "torch bfloat16", "ONNX")
    assert names == ["model2vec", "mini, fastembed", *(f"{name}, {way}" for name in ("mini", "big") for way in ways)]
    assert not models.baseline_makers([], tmp_path / "big", tmp_path / "mini")


def test_a_pass_has_as_many_texts_as_fill_its_time():
    calls = []

    def time_encoding(texts, one_by_one):  # a model of 1,000 texts a second
        calls.append(len(texts))
        return [len(texts) / 1000]

    run = rounds.Pass(time_encoding, ["text"] * 5000, 16, 2.0)
    run(-1)
    assert calls[-1] == run.n == 2000
    assert run(0) == [0.001]
    assert rounds.Pass(time_encoding, ["text"] * 100, 16, 2.0)(-1) == [0.001]
    assert calls[-1] == 100, "not more than there are"
    calls.clear()
    slow = rounds.Pass(time_encoding, ["text"] * 100, 4, 0.003)
    slow(-1)
    assert calls == [4, 4], "the fewest already fill the time"


def test_single_texts_differ_from_round_to_round():
    calls = []

    def time_encoding(texts, one_by_one):  # 10 ms a text
        calls.append((texts, one_by_one))
        return [0.01] * len(texts)

    run = rounds.Singles(time_encoding, list("abcdef"), 3, 1.0)
    for number in (-1, 0, 1):
        run(number)
    assert calls == [(rounds.WARM_UP, True), (["a", "b", "c"], True), (["d", "e", "f"], True)]
    bounded = rounds.Singles(time_encoding, list("abcdef"), 3, 0.0201)
    bounded(-1)
    assert len(bounded(1)) == 2, "as many as fill the time"
    assert calls[-1] == (["c", "d"], True)


# ---- operations and the peak


def test_operations_by_hand():
    # 3 tokens and 2 special ones. A layer: 5 tokens * 2 * (4 * 16 + 2 * 4 * 8) + 4 * 25 * 4 = 1280 + 400.
    shape = operations.Shape(n_layers=2, hidden=4, intermediate=8, max_tokens=10, splits_long_texts=True)
    assert operations.count_operations(shape, 3) == 2 * 1680
    # Windows of 2 and of 1 token: 4 tokens (1024 + 256) and 3 (768 + 144).
    assert operations.count_operations(replace(shape, max_tokens=2), 3) == 2 * (1280 + 912)
    assert operations.count_operations(replace(shape, max_tokens=2, splits_long_texts=False), 3) == 2 * 1280
    assert operations.count_operations(shape, 0) == 2 * (512 + 64), "only the two special tokens"


def test_operations_agree_with_those_that_torch_counts(made):
    network = AutoModel.from_pretrained(made.teacher, attn_implementation="eager").eval()
    text = "the dog sleeps in the house"
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.tensor([[2, *range(10, 16), 3]]))
    pooler = 2 * network.config.hidden_size**2  # a part of BERT that no encoder of ours has
    assert operations.count_text_operations(made.teacher, [text]) == [counter.get_total_flops() - pooler]


def test_shapes_are_read_from_every_kind_of_folder(made):
    assert operations.read_shape(made.teacher) == operations.Shape(2, HIDDEN, INNER, TEACHER_TOKENS - 2, False)
    assert operations.read_shape(made.tiny) == operations.Shape(2, HIDDEN, INNER, MAX_TOKENS, True)
    assert operations.read_shape(made.static) is None
    assert operations.count_text_operations(made.static, LINES) is None


def test_the_peak_is_the_rate_of_the_fastest_product(monkeypatch):
    durations = iter([0.03, 0.01, 0.02])
    now = [0.0]

    def multiply() -> None:
        now[0] += next(durations)

    monkeypatch.setattr(matmul_peak.time, "perf_counter", lambda: now[0])
    assert matmul_peak.gflops(multiply, 100) == pytest.approx(2e6 / 0.01 / 1e9)


def test_the_libraries_multiply_alike():
    multiplied = [np.asarray(matmul_peak.product(name, 8, 1)()) for name in matmul_peak.LIBRARIES]
    np.testing.assert_allclose(multiplied[0], multiplied[1], rtol=1e-5)
    assert matmul_peak.installed_libraries() == ["numpy", "torch"]


# ---- texts, figures, a complete run


def tiny_entries():
    return [" ".join((WORDS * 2)[i % 40 : i % 40 + i // 40]) for i in range(40, 1200)] * 2  # a token a word


def test_short_texts_and_passages_have_the_required_tokens(made):
    encoder, entries = Encoder.load(made.tiny), tiny_entries()
    texts = encoding.make_texts(entries, encoder, seed=0)
    wanted = {entry for entry in entries if 17 <= len(entry.split()) <= 23}
    assert set(texts[rounds.SHORT]) == wanted
    assert len(texts[rounds.SHORT]) == len(wanted), "each once"
    assert texts[rounds.SHORT] != encoding.make_texts(entries, encoder, seed=1)[rounds.SHORT]
    assert len(texts[rounds.PASSAGES]) > 5
    assert all(200 <= len(text.split()) < 223 for text in texts[rounds.PASSAGES])


def test_figures_by_hand():
    rates = {"teacher": [10, 20], "static": [2000, 1000], "model2vec": [1000, 1000], "base": [40, 120]}
    rates |= {"rival, torch": [20, 30], "rival, ONNX": [16, 24]}
    found = rounds.RoundResults()
    for threads in (1, 2):
        for name, listed in rates.items():
            for kind in (rounds.SHORT, rounds.PASSAGES):
                case = rounds.Case(name, kind, threads)
                found.seconds[case] = [[1 / rate / threads] for rate in listed]
                found.n_texts[case] = 2
            found.seconds[rounds.Case(name, rounds.SINGLE, threads)] = [[0.001, 0.002], [0.003, 0.009]]
        found.gflops[rounds.Case("matrix product, a", rounds.PEAK, threads)] = [8 * threads, 16 * threads]
        found.gflops[rounds.Case("matrix product, b", rounds.PEAK, threads)] = [9 * threads, 12 * threads]
    tokens = {rounds.SHORT: [20, 22, 99], rounds.PASSAGES: [200, 210, 999]}
    counts = {rounds.SHORT: [50_000_000, 40_000_000, 0], rounds.PASSAGES: [500_000_000, 400_000_000, 0]}
    measurements, targets = figures.figures(found, tokens, {"base": counts}, [1, 2], same_size="rival")
    medians = {item["name"]: item["median"] for item in measurements}
    assert medians["base, short texts, 1 core"] == 80
    assert medians["base, short texts, 2 cores"] == 160
    assert medians["base, short texts, tokens, 2 cores"] == 160 * 21, "of the two texts of a pass"
    assert medians["base, single text, 1 core"] == 2.5
    assert medians["matrix product, peak, 1 core"] == 12.5, "of 9 and 16"
    by_keys = {(item.get("system"), item.get("what"), item["threads"]): item for item in measurements}
    # 0.045 GFLOP a text: 40 a second are 1.8 of 9 GFLOP/s, 120 are 5.4 of 16.
    assert by_keys["base", "share of peak, short texts", 1]["values"] == pytest.approx([20, 33.75])
    assert by_keys["base", "share of peak, passages", 2]["values"] == pytest.approx([200, 337.5])
    assert not {key for key in by_keys if "share" in (key[1] or "") and key[0] != "base"}
    seen = {item["name"]: (item["measured"], item["met"]) for item in targets}
    assert seen == {
        "static / teacher, short texts, 2 cores": (125, True),  # of 200 and 50
        "base / teacher, short texts, 2 cores": (5, True),  # of 4 and 6
        "static / model2vec, short texts, 2 cores": (1.5, True),
        "base / rival, torch, short texts, 2 cores": (3, True),  # of 2 and 4
        "base / rival, torch, passages, 2 cores": (3, True),
        "base, single text, 1 core": (2.5, False),
    }


def run_main(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["encoding.py", *map(str, words)])
    encoding.main()


@pytest.mark.slow
def test_a_quick_run_needs_only_encoders(made, tmp_path, monkeypatch):
    sample = tmp_path / "sample.jsonl"
    sample.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(tiny_entries())))
    monkeypatch.setattr(encoding, "SAMPLE", sample)
    monkeypatch.setattr(encoding, "DEFAULT_TEACHER", made.teacher)
    words = ["--quick", "--encoders", made.tiny, made.static, "--threads", 1, "--seconds", 0.01]
    run_main(monkeypatch, *words, "--output", tmp_path / "made.json")
    result = json.loads((tmp_path / "made.json").read_text())
    assert {one["system"] for one in result["measurements"]} == {
        "tiny", "tiny-static", "matrix product", "matrix product, numpy"
    }  # fmt: skip
    for kind in ("short texts", "passages"):
        (share,) = [one for one in result["measurements"] if one["what"] == f"share of peak, {kind}"]
        assert share["system"] == "tiny"
        assert 0 < share["median"] < 100
    assert result["settings"]["repeats"] == 2
    assert "failed" not in result
    assert result["settings"]["tokens_a_text"][0].startswith("short texts 2")


def test_options_that_exclude_each_other_and_missing_folders_are_named(tmp_path, monkeypatch, capsys):
    for words in (["--quick", "--peers", "model2vec"], ["--quick", "--teacher", tmp_path]):
        with pytest.raises(SystemExit):
            run_main(monkeypatch, *words)
        assert "expected neither --teacher nor --peers" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"expected a folder with a model, but there is no config\.json"):
        run_main(monkeypatch, "--teacher", tmp_path)
    monkeypatch.setattr(encoding, "DEFAULT_TEACHER", tmp_path / "none")
    with pytest.raises(SystemExit):
        run_main(monkeypatch, "--peers", "model2vec")
    assert "give --teacher FOLDER" in capsys.readouterr().err
