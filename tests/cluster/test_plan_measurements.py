"""The formulas of docs/scaling.md against benchmarks/results/, within the bounds that the page states."""

import configparser
import json
from pathlib import Path
from typing import Any

import pytest

from hpdsearch.cluster.capacity import code_bytes, split_documents, vector_bytes
from hpdsearch.cluster.estimates import Basis
from hpdsearch.cluster.figures import Figures, read_figures
from hpdsearch.cluster.latency import query_latency, segment_milliseconds
from hpdsearch.dense import Codec, IndexType

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SIZES = (1_000_000, 10_000_000)


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


SCALE = read("scale")
MEASURED = {(one["system"], one["n"], one["what"]): one["median"] for one in SCALE["measurements"] if "what" in one}
INDEXES = [(system, n) for system, n, what in MEASURED if what == "index on disk" and n in SIZES and system != "auto"]


@pytest.fixture(scope="module")
def shipped() -> Figures:
    return read_figures()


@pytest.mark.parametrize(("system", "n"), INDEXES)
def test_the_bytes_of_vectors_are_exact(system, n) -> None:
    assert vector_bytes(n, 128) == MEASURED[system, n, "vectors on disk"] * 1e6


@pytest.mark.parametrize(("system", "n"), INDEXES)
def test_the_bytes_of_codes_are_within_three_percent_of_the_file(system, n) -> None:
    kind, codec = system.split()
    computed = code_bytes(IndexType(kind), Codec(codec), n, 128)
    assert computed == pytest.approx(MEASURED[system, n, "index on disk"] * 1e6, rel=0.03)


@pytest.mark.parametrize(("system", "n"), INDEXES)
def test_the_resident_memory_of_codes_is_at_most_a_fifth_above_the_formula(system, n) -> None:
    kind, codec = system.split()
    ratio = MEASURED[system, n, "resident, its own"] * 1e6 / code_bytes(IndexType(kind), Codec(codec), n, 128)
    assert 0.95 < ratio < 1.2


def test_the_latency_of_ten_million_passages_is_within_a_half_of_what_smaller_sizes_predict(shipped) -> None:
    smaller = Figures(**vars(shipped) | {"search": tuple(one for one in shipped.search if one.n_passages < SIZES[1])})
    predicted = segment_milliseconds(smaller, IndexType.IVF, Codec.PQ, 128, SIZES[1], 0.95).value
    assert predicted == pytest.approx(MEASURED["ivf pq", SIZES[1], "query p50"], rel=0.5)


def test_a_measured_size_has_the_measured_latency(shipped) -> None:
    found = segment_milliseconds(shipped, IndexType.IVF, Codec.RABITQ, 128, SIZES[0], 0.95)
    assert found.value == pytest.approx(MEASURED["ivf rabitq", SIZES[0], "query p50"])
    assert found.basis is Basis.MEASURED


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_a_service_of_a_million_passages_answers_at_least_half_of_the_computed_rate(shipped, mode) -> None:
    served = read("serve")
    segment = segment_milliseconds(shipped, IndexType.IVF, Codec.PQ, served["settings"]["dim"], SIZES[0], 0.95)
    latency = query_latency(shipped, "base", segment, 1, SIZES[0], hybrid=mode == "hybrid")
    computed = served["machine"]["cores"] * 1000 / latency.core.value
    rates = [one["median"] for one in served["measurements"] if one["name"].startswith(mode) and one["unit"] == "1/s"]
    assert 0.5 * computed < max(rates) < 1.5 * computed  # a plan keeps the cores half busy


def test_the_passages_of_a_document_are_within_a_sixth_of_the_formula(shipped) -> None:
    for one in shipped.texts:
        assert split_documents(shipped, one.words, 256).passages.value == pytest.approx(one.passages, rel=1 / 6)


def test_the_slowest_of_the_measured_shards_is_within_a_fifth_of_the_formula() -> None:
    made = read("plan")
    found = {
        (one["what"], one["mode"], one["percent"]): one["median"]
        for one in made["measurements"]
        if one.get("n_shards") == made["settings"]["shards"] and "mode" in one
    }
    measured = {key[1:]: value for key, value in found.items() if key[0] == "slowest"}
    assert measured
    for key, value in measured.items():
        assert found[("formula", *key)] == pytest.approx(value, rel=0.2), key


def test_the_figures_that_ship_are_made_from_the_result_files() -> None:
    pytest.importorskip("psutil")
    from benchmarks.scale.plan import NEEDED
    from benchmarks.scale.plan_figures import make_figures

    made = make_figures({name: read(name) for name in ("plan", *NEEDED)})
    stored = json.loads((ROOT / "hpdsearch" / "cluster" / "figures.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(made)) == stored, "run python -m benchmarks.scale.plan --from-result"


def test_the_figures_are_package_data() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert "cluster/figures.json" in setup["options.package_data"]["hpdsearch"].split()
