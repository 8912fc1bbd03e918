"""The capacity sheet against hand arithmetic, and what every sheet must obey."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpdsearch.cluster.capacity import (
    MachineLimits,
    choose_sharding,
    code_bytes,
    encode_hours,
    split_documents,
    vector_bytes,
)
from hpdsearch.cluster.estimates import Basis, interpolate
from hpdsearch.cluster.figures import read_figures
from hpdsearch.cluster.latency import cores_for_rate, query_latency, segment_milliseconds
from hpdsearch.cluster.plan import PlanSpec, make_plan
from hpdsearch.dense import Codec, IndexType
from hpdsearch.errors import PlanError

IVF, FLAT, PQ, RABITQ = IndexType.IVF, IndexType.FLAT, Codec.PQ, Codec.RABITQ
GB = 10**9
quickly = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# ---- interpolation


def test_a_measured_point_is_returned_as_it_is() -> None:
    found = interpolate([(10, 3), (100, 7)], 100)
    assert (found.value, found.basis) == (7, Basis.MEASURED)


def test_between_two_points_the_logarithms_lie_on_a_line() -> None:
    found = interpolate([(10, 2), (1000, 200)], 100)  # halfway between 10 and 1000; sqrt(2 * 200) = 20
    assert found.value == pytest.approx(20)
    assert found.basis is Basis.INTERPOLATED


def test_beyond_the_points_their_line_goes_on_but_never_falls() -> None:
    assert interpolate([(10, 2), (100, 20)], 1000).value == pytest.approx(200)
    assert interpolate([(10, 2), (100, 1)], 1000).value == pytest.approx(1)
    assert interpolate([(10, 2), (100, 20)], 1000).basis is Basis.EXTRAPOLATED


def test_a_single_point_grows_in_proportion() -> None:
    found = interpolate([(10, 2)], 30)
    assert (found.value, found.basis) == (pytest.approx(6), Basis.EXTRAPOLATED)


def test_a_sum_and_a_product_have_the_least_certain_basis() -> None:
    certain = interpolate([(1, 1), (2, 2)], 1)
    guess = interpolate([(1, 1), (2, 2)], 3)
    assert (certain + guess).basis is (certain * guess).basis is Basis.EXTRAPOLATED


# ---- bytes, passages, hours


def test_the_bytes_of_vectors_are_two_for_each_dimension_and_a_checksum() -> None:
    assert vector_bytes(1000, 128) == 1000 * (256 + 4)


def test_the_bytes_of_rabitq_codes_are_a_bit_for_each_dimension_and_eight_bytes() -> None:
    n = 10_000_000
    nlist = int(2 * math.sqrt(n))
    computed = n * (256 // 8 + 8) + n * 8 + nlist * (256 * 4 + 32 * 40 + 16) + 256 * 256 * 4 + 8192
    assert code_bytes(IVF, RABITQ, n, 256) == computed


def test_the_bytes_of_flat_pq_codes_are_a_quarter_byte_for_each_dimension() -> None:
    n = 1_000_000
    assert code_bytes(FLAT, PQ, n, 128) == n * 32 + 128 * 128 * 4 + 16 * 128 * 4 + 8192


def test_a_document_within_the_window_is_one_passage(figures) -> None:
    split = split_documents(figures, words=100, window=256)  # 2 tokens a word
    assert (split.tokens.value, split.passages.value) == (pytest.approx(200), 1)


def test_a_long_document_is_split_with_an_overlap_of_a_tenth(figures) -> None:
    split = split_documents(figures, words=500, window=256)
    assert split.passages.value == math.ceil(1000 / 230.4) == 5
    assert split.passage_tokens.value == pytest.approx(1000 / 5 + 25.6)


def test_hours_are_passages_by_rate(figures) -> None:
    found = encode_hours(figures, "base", 360_000, 10, device="cpu", units=1)
    assert (found.value, found.basis) == (pytest.approx(1), Basis.MEASURED)  # 100 a second
    found = encode_hours(figures, "base", 360_000, 10, device="cpu", units=2)
    assert (found.value, found.basis) == (pytest.approx(1 / 1.8), Basis.MEASURED)


def test_hours_on_more_cores_than_measured_are_those_of_the_most_cores_shared(figures) -> None:
    found = encode_hours(figures, "base", 360_000, 100, device="cpu", units=20)
    assert found.value == pytest.approx(10 / 1.8 * 2 / 20)
    assert found.basis is Basis.EXTRAPOLATED


# ---- shards


def test_shards_are_the_fewest_that_the_rows_allow() -> None:
    limits = MachineLimits(memory=100 * GB, cores=64, shard_passages=10_000_000)
    assert choose_sharding(IVF, PQ, 25_000_000, 256, GB, limits).n_shards == 3


def test_shards_are_the_fewest_that_fit_the_memory() -> None:
    limits = MachineLimits(memory=2 * GB, cores=64, shard_passages=10**9)
    found = choose_sharding(IVF, PQ, 100_000_000, 256, GB, limits)
    room = 0.6 * GB  # 0.8 of 2 GB without the process
    assert code_bytes(IVF, PQ, math.ceil(1e8 / found.n_shards), 256) <= room
    assert code_bytes(IVF, PQ, math.ceil(1e8 / (found.n_shards - 1)), 256) > room


def test_a_machine_holds_as_many_shards_as_memory_and_cores_allow() -> None:
    of_memory = choose_sharding(IVF, PQ, 50_000_000, 256, GB, MachineLimits(10 * GB, 64, 10_000_000))
    assert of_memory.per_machine == int(8 * GB // of_memory.process_bytes) == 4
    assert of_memory.n_machines == 2  # 5 shards
    of_cores = choose_sharding(IVF, PQ, 50_000_000, 256, GB, MachineLimits(100 * GB, 2, 10_000_000))
    assert (of_cores.per_machine, of_cores.n_machines) == (2, 3)


def test_a_wanted_number_of_shards_that_does_not_fit_is_an_error_with_the_fewest() -> None:
    limits = MachineLimits(memory=2 * GB, cores=4, shard_passages=10**9)
    fewest = choose_sharding(IVF, PQ, 100_000_000, 256, GB, limits).n_shards
    with pytest.raises(PlanError, match=f"shards: expected at least {fewest} .* got 2"):
        choose_sharding(IVF, PQ, 100_000_000, 256, GB, limits, n_shards=2)


def test_a_machine_without_room_for_a_process_is_an_error() -> None:
    with pytest.raises(PlanError, match=r"memory: expected more than 1,250,000,000 bytes"):
        choose_sharding(IVF, PQ, 1000, 256, GB, MachineLimits(GB, 1, 1000))


# ---- latency


def test_the_latency_of_a_segment_follows_its_size(figures) -> None:
    assert segment_milliseconds(figures, IVF, PQ, 256, 10_000, 0.95).value == 1
    assert segment_milliseconds(figures, IVF, PQ, 256, 100_000, 0.95).value == pytest.approx(math.sqrt(10))
    assert segment_milliseconds(figures, IVF, PQ, 256, 100_000_000, 0.95).value == pytest.approx(100)


def test_a_higher_recall_costs_what_the_operating_points_say(figures) -> None:
    assert segment_milliseconds(figures, IVF, PQ, 256, 10_000, 0.97).value == 2
    assert segment_milliseconds(figures, IVF, PQ, 256, 10_000, 0.80).value == 0.5


def test_a_recall_that_no_operating_point_reaches_is_an_error(figures) -> None:
    with pytest.raises(PlanError, match=r"ann_recall: expected at most 0\.990, .* ivf pq .* got 0\.995"):
        segment_milliseconds(figures, IVF, PQ, 256, 10_000, 0.995)


def test_an_index_that_was_not_measured_is_an_error(figures) -> None:
    with pytest.raises(PlanError, match=r"expected one that was measured \(flat pq, ivf pq\), got ivf rabitq"):
        segment_milliseconds(figures, IVF, RABITQ, 256, 10_000, 0.95)


def test_a_width_that_was_not_measured_is_scaled_by_bytes_and_extrapolated(figures) -> None:
    found = segment_milliseconds(figures, FLAT, PQ, 128, 1_000_000, 0.95)
    assert found.value == pytest.approx(100 * code_bytes(FLAT, PQ, 10**6, 128) / code_bytes(FLAT, PQ, 10**6, 256))
    assert found.basis is Basis.EXTRAPOLATED


def test_a_query_adds_encoding_the_slowest_shard_and_merging(figures) -> None:
    scan = segment_milliseconds(figures, IVF, PQ, 256, 10_000, 0.95)
    one = query_latency(figures, "base", scan, 1, 10_000, hybrid=False)
    assert one.total[0].value == pytest.approx(1 + (1 + 1))  # encoding, scan, documents
    both = query_latency(figures, "base", scan, 1, 10_000, hybrid=True)
    assert both.total[0].value == pytest.approx(1 + (1 + 1 + 2))
    many = query_latency(figures, "base", scan, 8, 10_000, hybrid=False)
    slowest = 2 * figures.shapes["dense"].quantile(0.5 ** (1 / 8)).value
    assert many.total[0].value == pytest.approx(1 + slowest + 0.01)
    assert many.core.value == pytest.approx(1 + 8 * 2 + 0.01)


def test_cores_for_a_rate_are_half_busy() -> None:
    assert cores_for_rate(interpolate([(1, 5)], 1), 200).value == pytest.approx(2)  # 1 core of work


def test_auto_is_flat_while_a_scan_is_within_the_goal(figures) -> None:
    assert make_plan(PlanSpec(10_000, 100), figures).spec["kind"] == "flat"
    assert make_plan(PlanSpec(1_000_000, 100), figures).spec["kind"] == "ivf"


# ---- the sheet


def test_a_plan_by_hand(figures) -> None:
    spec = PlanSpec(40_000_000, 100, kind=IVF, memory=10 * GB, machine_cores=4, cores=2, queries_per_second=100)
    plan = make_plan(replace(spec, hybrid=False), figures)
    assert plan["passages"] == 40_000_000
    assert plan["vectors_bytes"] == 40_000_000 * 516
    assert plan["shards"] == 4
    assert plan["codes_bytes"] == 4 * code_bytes(IVF, PQ, 10_000_000, 256)
    assert plan["catalog_bytes"] == pytest.approx(40_000_000 * 1000)
    assert plan["lexical_bytes"] == pytest.approx(40_000_000 * 100)
    assert plan["encode_hours"] == pytest.approx(40_000_000 / (18 / 2) / 3600)  # 200 tokens: half the rate of 100
    assert plan["machines_per_copy"] == 1
    assert plan["rate_cores"] == pytest.approx(plan["core_ms"] * 100 / 1000 / 0.5)
    assert plan["replicas"] == math.ceil(plan["rate_cores"] / 4)
    assert plan["machines"] == plan["replicas"]


def test_a_plan_is_json_and_each_line_has_a_basis(figures) -> None:
    described = json.loads(json.dumps(make_plan(PlanSpec(1000, 100), figures).as_dict()))
    assert {line["basis"] for line in described["lines"]} <= {basis.label for basis in Basis}
    assert described["machine"] == "a machine"
    assert len({line["key"] for line in described["lines"]}) == len(described["lines"])


COST_KEYS = ("passages", "disk_bytes", "code_memory_bytes", "encode_hours", "shards", "machines_per_copy", "core_ms")


@quickly
@given(n=st.integers(1_000, 10**10), factor=st.floats(1, 50), words=st.floats(1, 3000))
def test_more_documents_never_need_less(figures, n, factor, words) -> None:
    small = make_plan(PlanSpec(n, words, kind=IVF), figures)
    large = make_plan(PlanSpec(math.ceil(n * factor), words, kind=IVF), figures)
    for key in COST_KEYS[:-2]:
        assert large[key] >= small[key] * 0.999, key


@quickly
@given(words=st.floats(1, 3000), factor=st.floats(1, 10))
def test_longer_documents_never_need_less(figures, words, factor) -> None:
    short = make_plan(PlanSpec(10**6, words, kind=IVF), figures)
    long = make_plan(PlanSpec(10**6, words * factor, kind=IVF), figures)
    for key in ("passages", "disk_bytes", "encode_hours"):
        assert long[key] >= short[key] * 0.999, key


@quickly
@given(qps=st.floats(0.1, 1e5), factor=st.floats(1, 100))
def test_more_queries_a_second_never_need_fewer_machines(figures, qps, factor) -> None:
    few, many = (make_plan(PlanSpec(10**8, 100, queries_per_second=rate), figures) for rate in (qps, qps * factor))
    assert many["machines"] >= few["machines"]


@quickly
@given(low=st.floats(0.5, 0.99), high=st.floats(0.5, 0.99))
def test_more_recall_never_takes_less_time(figures, low, high) -> None:
    low, high = sorted((low, high))
    plans = [make_plan(PlanSpec(10**6, 100, kind=IVF, ann_recall=recall), figures) for recall in (low, high)]
    assert plans[1]["query_p99_ms"] >= plans[0]["query_p99_ms"]


@quickly
@given(n_shards=st.integers(1, 500), memory=st.integers(8, 512))
def test_machines_hold_their_shards(figures, n_shards, memory) -> None:
    plan = make_plan(PlanSpec(10**8, 100, n_shards=n_shards + 20, memory=memory * GB), figures)
    assert plan["shards_per_machine"] * plan["process_bytes"] <= 0.8 * memory * GB
    assert plan["shards_per_machine"] * plan["machines_per_copy"] >= plan["shards"]


OUT_OF_RANGE = {
    "n_documents": (0, -5),
    "words": (0, -1, math.nan, math.inf),
    "ann_recall": (0, 1.5),
    "queries_per_second": (0, -1),
    "n_shards": (-1,),
    "memory": (0,),
    "cores": (0,),
    "gpus": (-1,),
    "dim": (0,),
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name in OUT_OF_RANGE for value in OUT_OF_RANGE[name]])
def test_a_value_out_of_range_is_an_error_that_names_it(field, value) -> None:
    with pytest.raises(PlanError, match=f"^{field}: expected"):
        PlanSpec(**{"n_documents": 10, "words": 10, field: value})


def test_an_encoder_or_a_device_without_figures_is_an_error(figures) -> None:
    with pytest.raises(PlanError, match=r"expected one whose rate was measured \(base on cpu\), got base on cuda"):
        make_plan(PlanSpec(1000, 100, gpus=1), figures)
    with pytest.raises(PlanError, match="got mine on cpu"):
        make_plan(PlanSpec(1000, 100, encoder="mine"), figures)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "machine": "m"}'])
def test_a_file_that_holds_no_figures_is_an_error_that_names_it(tmp_path, text) -> None:
    path = tmp_path / "figures.json"
    path.write_text(text)
    with pytest.raises(PlanError, match=r"figures\.json: expected"):
        read_figures(path)
