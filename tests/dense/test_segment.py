"""Building and searching one segment, against brute force in numpy."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from vectors import build_segment, compute_cosines, make_ellipsoid, write_vector_file

from hpdsearch.common.vectors import cosines
from hpdsearch.dense import Codec, IndexSpec, Kind, RowMap, Segment, VectorFile, build_index
from hpdsearch.dense import segment as segment_module
from hpdsearch.dense.faiss_factory import CORES
from hpdsearch.errors import CorruptIndexError

N, DIM, FIRST_ROW = 6_000, 32, 1000
# nprobe and rescore are fixed, so that the results do not depend on a measurement.
ALL = [
    IndexSpec(kind, codec, nlist=32 if kind is Kind.IVF else 0, nprobe=32 if kind is Kind.IVF else 0, rescore=20)
    for kind in (Kind.FLAT, Kind.IVF)
    for codec in (Codec.F32, Codec.SQ8, Codec.PQ, Codec.RABITQ)
]
SPECS = pytest.mark.parametrize("spec", ALL, ids=lambda s: f"{s.kind.value} {s.codec.value}")
RECALL = {Codec.F32: 1.0, Codec.SQ8: 0.999, Codec.PQ: 0.99, Codec.RABITQ: 0.7}

VECTORS, QUERIES = make_ellipsoid(N, DIM), make_ellipsoid(40, DIM, seed=1)
COSINES = compute_cosines(VECTORS, QUERIES)
BEST = np.argsort(-COSINES, axis=1)


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    """Return one segment of VECTORS for each spec."""
    return {spec: build_segment(tmp_path_factory.mktemp("segment"), VECTORS, spec, FIRST_ROW) for spec in ALL}


def hash_index_file(seg):
    """Return path and sha256 of a segment's index file."""
    path = seg.vectors.path.parent / "i.faiss"
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def compute_recall(rows, expected):
    return np.mean([len(set(row.tolist()) & set(best)) / len(best) for row, best in zip(rows, expected, strict=True)])


def require_answer(rows, scores, queries, vectors, first_row=FIRST_ROW):
    """Check rows and scores: each row once, exact cosines, best first, equal ones by row; short lists end in -1."""
    assert rows.dtype == np.int64
    assert scores.dtype == np.float32
    for row, score, exact in zip(rows, scores, compute_cosines(vectors, queries), strict=True):
        found = row[row >= 0]
        assert (row[len(found) :] == -1).all()
        assert (score[len(found) :] == -np.inf).all()
        assert len(set(found.tolist())) == len(found)
        np.testing.assert_allclose(score[: len(found)], exact[found - first_row], atol=2e-7)
        order = np.lexsort((found, -score[: len(found)]))
        np.testing.assert_array_equal(order, np.arange(len(found)))


@SPECS
@pytest.mark.parametrize("n", [1, 10, 333])
def test_search_returns_the_nearest_rows_with_exact_cosines(segments, spec, n):
    rows, scores = segments[spec].nearest(QUERIES, n)
    require_answer(rows, scores, QUERIES, VECTORS)
    assert rows.shape == (40, max(n, min(n, 10) * 20))
    # k = 1 gets 20 candidates, k = 10 gets 200, k = 333 gets 333.
    assert compute_recall(rows[:, :n] - FIRST_ROW, BEST[:, :n]) >= RECALL[spec.codec] - (0 if n == 10 else 0.45)


@SPECS
def test_a_query_gets_equal_bits_alone_and_in_a_batch(segments, spec):
    rows, scores = segments[spec].nearest(QUERIES, 10)
    for query, row, score in zip(QUERIES, rows, scores, strict=True):
        (alone,), (alone_score,) = segments[spec].nearest(query[None], 10)
        same = np.isin(alone, row)
        assert same.mean() > 0.9  # the last candidates may differ if codes tie
        by_row = dict(zip(row.tolist(), score.tolist(), strict=True))
        assert [by_row[r] for r in alone[same].tolist()] == alone_score[same].tolist()
        np.testing.assert_array_equal(segments[spec].score(query, row), score)
        stored = segments[spec].vectors.stored_rows(row - FIRST_ROW)
        np.testing.assert_array_equal(cosines(query, stored), score)


@SPECS
@pytest.mark.parametrize("share", [1.0, 0.9, 0.3, 0.2, 0.01, 1 / N])
def test_a_filtered_search_returns_only_allowed_rows_and_all_of_them(segments, spec, share):
    allowed = np.random.default_rng(3).random(N) < share
    allowed[-1] = True  # the last bit of the mask
    n_allowed = int(allowed.sum())
    for n in (10, 50, n_allowed, n_allowed + 5):
        rows, scores = segments[spec].nearest(QUERIES[:8], n, allowed=allowed)
        require_answer(rows, scores, QUERIES[:8], VECTORS)
        assert allowed[rows[rows >= 0] - FIRST_ROW].all()
        assert ((rows >= 0).sum(axis=1) >= min(n, n_allowed)).all()
    rows, _ = segments[spec].nearest(QUERIES[:8], 10, allowed=allowed)
    expected = [[row for row in best if allowed[row]][:10] for best in BEST[:8]]
    assert compute_recall(rows[:, :10] - FIRST_ROW, expected) >= RECALL[spec.codec]


@SPECS
def test_an_empty_filter_k_0_and_no_queries_give_empty_results(segments, spec):
    rows, scores = segments[spec].nearest(QUERIES[:3], 5, allowed=np.zeros(N, bool))
    assert rows.shape == scores.shape == (3, 0)
    assert segments[spec].nearest(QUERIES[:3], 0)[0].shape == (3, 0)
    rows, scores = segments[spec].nearest(QUERIES[:0], 5)
    assert (len(rows), len(scores)) == (0, 0)
    assert len(segments[spec].score(QUERIES[0], np.empty(0, np.int64))) == 0


@SPECS
def test_widening_reaches_every_allowed_row(segments, spec):
    allowed = np.random.default_rng(5).random(N) < 0.5
    rows, scores = segments[spec].nearest(QUERIES[:2], 10, allowed=allowed, expansion=4**6)
    require_answer(rows, scores, QUERIES[:2], VECTORS)
    for row, exact in zip(rows, COSINES, strict=False):
        assert sorted(row) == list(FIRST_ROW + np.flatnonzero(allowed))
        assert set(row[:20] - FIRST_ROW) == {r for r in np.argsort(-exact) if allowed[r]} & set(row[:20] - FIRST_ROW)
    rows, _ = segments[spec].nearest(QUERIES[:2], 10**6)
    assert [sorted(row) for row in rows] == [list(range(FIRST_ROW, FIRST_ROW + N))] * 2


@pytest.mark.parametrize("codec", [Codec.F32, Codec.SQ8, Codec.PQ, Codec.RABITQ])
def test_more_lists_are_probed_when_the_first_hold_too_few_rows(segments, codec):
    seg = segments[IndexSpec(Kind.IVF, codec, nlist=32, nprobe=32, rescore=20)]
    one_list = type(seg.spec)(**{**vars(seg.spec), "nprobe": 1})
    path, sha256 = hash_index_file(seg)
    narrow = Segment.open(seg.rows, seg.vectors, one_list, path, sha256)
    rows, scores = narrow.nearest(QUERIES, 10)
    require_answer(rows, scores, QUERIES, VECTORS)
    assert compute_recall(rows[:, :10] - FIRST_ROW, BEST[:, :10]) < 0.9
    rows, scores = narrow.nearest(QUERIES, 2_000)  # a list holds about 190
    require_answer(rows, scores, QUERIES, VECTORS)
    assert (rows >= 0).all()


def test_a_selective_filter_finds_its_rows_as_well_as_no_filter(tmp_path):
    vectors = make_ellipsoid(40_000, 16)
    seg = build_segment(tmp_path, vectors, IndexSpec(Kind.IVF, Codec.F32, nlist=200, nprobe=6, rescore=1), first_row=0)
    queries, without = make_ellipsoid(100, 16, seed=1), None
    exact = compute_cosines(vectors, queries)
    for share in (1.0, 0.3, 0.1, 0.05):
        allowed = np.random.default_rng(0).random(40_000) < share
        rows, _ = seg.nearest(queries, 10, allowed=allowed)
        found = compute_recall(rows, np.argsort(np.where(allowed, -exact, 2), axis=1)[:, :10])
        without = without or found
        assert 0.6 < without - 0.03 <= found


# ---- shapes


@pytest.mark.slow
@pytest.mark.parametrize("codec", [Codec.F32, Codec.SQ8, Codec.PQ, Codec.RABITQ])
@pytest.mark.parametrize("dim", [1, 4, 5, 33, 127, 128])
@pytest.mark.parametrize("n", [1, 9, 70])
def test_small_segments_of_any_dim_are_searched(tmp_path, codec, dim, n):
    vectors, queries = make_ellipsoid(n, dim, seed=n), make_ellipsoid(4, dim, seed=99)
    seg = build_segment(tmp_path, vectors, IndexSpec(codec=codec), first_row=0)
    assert (seg.spec.kind, seg.spec.codec, seg.operating_points) == (Kind.FLAT, codec, None)
    for wanted in (1, n, n + 3):
        rows, scores = seg.nearest(queries, wanted)
        require_answer(rows, scores, queries, vectors, first_row=0)
        assert (rows[:, : min(wanted, n)] >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("codec", [Codec.PQ, Codec.RABITQ])
@pytest.mark.parametrize(("dim", "parts"), [(4, 3), (7, 3), (33, 16), (32, 32), (128, 43)])
def test_every_ivf_codec_accepts_any_dim_and_number_of_subquantizers(tmp_path, codec, dim, parts):
    spec = IndexSpec(
        Kind.IVF, codec, nlist=16, nprobe=16, rescore=50, n_subquantizers=parts if codec is Codec.PQ else 0
    )
    vectors, queries = make_ellipsoid(5_000, dim), make_ellipsoid(20, dim, seed=1)
    seg = build_segment(tmp_path, vectors, spec)
    rows, scores = seg.nearest(queries, 10)
    require_answer(rows, scores, queries, vectors)
    assert (rows >= 0).all()
    if codec is Codec.PQ:
        assert compute_recall(rows[:, :10] - 1000, np.argsort(-compute_cosines(vectors, queries), axis=1)[:, :10]) > 0.6


@pytest.mark.parametrize("codec", [Codec.F32, Codec.SQ8, Codec.PQ])
def test_codes_of_truncated_vectors_are_rescored_with_all_dimensions(tmp_path, codec):
    vectors = make_ellipsoid(3_000, 48)
    seg = build_segment(tmp_path, vectors, IndexSpec(codec=codec, dim=24))
    assert seg.spec.dim == 24
    rows, scores = seg.nearest(QUERIES_48, 10)
    require_answer(rows, scores, QUERIES_48, vectors)
    assert seg.memory_bytes < 3_000 * 48 * (4 if codec is Codec.F32 else 1)
    assert seg.operating_points.points[-1].ann_recall > 0.99


QUERIES_48 = make_ellipsoid(10, 48, seed=1)


@pytest.mark.parametrize("codec", [Codec.F32, Codec.SQ8, Codec.PQ, Codec.RABITQ])
def test_zero_vectors_equal_vectors_and_zero_queries_are_searched(tmp_path, codec):
    vectors = np.concatenate([make_ellipsoid(100, 6), np.tile(make_ellipsoid(1, 6, seed=5), (400, 1))])
    vectors[[3, 8]] = 0
    seg = build_segment(tmp_path, vectors, IndexSpec(codec=codec), first_row=0)
    np.testing.assert_array_equal(seg.score(vectors[0], np.array([3, 8])), [0, 0])
    queries = np.stack([np.zeros(6, np.float32), vectors[100]])
    rows, scores = seg.nearest(queries, 450)
    require_answer(rows, scores, queries, vectors, first_row=0)
    assert (rows >= 0).all()
    assert len(set(scores[1, :400].tolist())) == 1


def test_rows_with_gaps_keep_their_numbers(tmp_path):
    file = write_vector_file(tmp_path / "v", VECTORS[:500])
    built = build_index(file, IndexSpec(), tmp_path / "i")
    numbers = np.sort(np.random.default_rng(0).choice(5_000, 500, replace=False)) + 70
    seg = Segment.open(RowMap.from_rows(70, 5_070, numbers), file, built.spec, tmp_path / "i", built.sha256)
    rows, scores = seg.nearest(VECTORS[:5], 600)
    np.testing.assert_array_equal(rows[:, 0], numbers[:5])
    assert set(rows[0]) == set(numbers)
    np.testing.assert_array_equal(seg.score(VECTORS[0], rows[0]), scores[0])


# ---- blocks and threads


def test_queries_in_several_blocks_get_the_results_of_one_block(segments, monkeypatch):
    for spec in ALL:
        rows, scores = segments[spec].nearest(QUERIES, 10)
        with monkeypatch.context() as patch:
            patch.setattr(segment_module, "MAX_PAIRS", 1_500)
            again, again_scores = segments[spec].nearest(QUERIES, 10)
        np.testing.assert_array_equal(rows[:, :10], again[:, :10])
        np.testing.assert_array_equal(scores[:, :10], again_scores[:, :10])


@SPECS
def test_many_threads_get_the_results_of_one(segments, spec):
    allowed = np.random.default_rng(0).random(N) < 0.4
    masks = [None, allowed]
    expected = [segments[spec].nearest(QUERIES[:20], 10, allowed=mask)[0][:, :10] for mask in masks]

    def search(job):
        query, mask = job
        rows = segments[spec].nearest(QUERIES[query : query + 1], 10, allowed=masks[mask])[0][0, :10]
        return np.array_equal(rows, expected[mask][query])

    with ThreadPoolExecutor(4) as pool:
        assert np.mean(list(pool.map(search, [(q, m) for q in range(20) for m in (0, 1)] * 3))) > 0.95


# ---- files


@SPECS
def test_an_opened_or_mapped_segment_gives_the_results_of_the_built_one(segments, spec):
    built = segments[spec]
    path, sha256 = hash_index_file(built)
    for above in (0, 1 << 40):
        again = Segment.open(built.rows, built.vectors, built.spec, path, sha256, mapped_above=above)
        for one, other in zip(built.nearest(QUERIES, 30), again.nearest(QUERIES, 30), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@SPECS
def test_building_twice_gives_equal_bytes(segments, tmp_path, spec, monkeypatch):
    built = segments[spec]
    path, sha256 = hash_index_file(built)
    # The means and factors of rabitq are summed in as many parts as there are threads.
    for n_threads in (CORES, CORES) if spec.codec is Codec.RABITQ else (1, 2):
        monkeypatch.setattr("hpdsearch.dense.faiss_factory.CORES", n_threads)
        file = build_index(built.vectors, spec, tmp_path / "i")
        assert (file.sha256, file.size_bytes) == (sha256, path.stat().st_size)
        assert file.spec == built.spec


@SPECS
def test_the_error_for_a_damaged_index_file_names_it(segments, tmp_path, spec):
    built = segments[spec]
    data, (_, expected) = hash_index_file(built)[0].read_bytes(), hash_index_file(built)
    path = tmp_path / "i.faiss"
    copies = [data[:-1], data[: len(data) // 2], b"", data + b"\0"]
    for position in np.random.default_rng(0).integers(0, len(data), 10).tolist():
        damaged = bytearray(data)
        damaged[position] ^= 4
        copies.append(bytes(damaged))
    for copy in copies:
        path.write_bytes(copy)
        with pytest.raises(CorruptIndexError, match=f"{path}: does not match its checksum; restore it, or"):
            Segment.open(built.rows, built.vectors, built.spec, path, expected)
    path.unlink()
    with pytest.raises(CorruptIndexError, match=f"{path}: the index file is missing; restore it, or index again"):
        Segment.open(built.rows, built.vectors, built.spec, path, expected)


def test_an_index_over_other_vectors_or_rows_is_an_error(segments, tmp_path):
    built = segments[ALL[0]]
    path, sha256 = hash_index_file(built)
    others = write_vector_file(tmp_path / "v", make_ellipsoid(7, DIM))
    with pytest.raises(
        CorruptIndexError,
        match=f"{path}: expected 7 x 32 vectors, got 6000 x 32 for 7 rows; restore it, or index again",
    ):
        Segment.open(RowMap(0, 7), others, ALL[0], path, sha256)
    with pytest.raises(CorruptIndexError, match=f"{path}: expected 6000 x 32 vectors, got 6000 x 32 for 5 rows"):
        Segment.open(RowMap(0, 5), built.vectors, ALL[0], path, sha256)


def test_altered_vectors_are_detected_by_build_and_by_rescoring(tmp_path):
    vectors = make_ellipsoid(200, 8)
    file = write_vector_file(tmp_path / "v", vectors)
    built = build_index(file, IndexSpec(), tmp_path / "i")
    data = bytearray((tmp_path / "v").read_bytes())
    data[150 * 16] ^= 1
    (tmp_path / "v").write_bytes(data)
    fresh = VectorFile(tmp_path / "v", 200, 8)
    seg = Segment.open(RowMap(0, 200), fresh, built.spec, tmp_path / "i", built.sha256)
    assert len(seg.score(vectors[0], np.arange(128))) == 128
    for read in (
        lambda: seg.score(vectors[0], np.array([150])),
        lambda: seg.nearest(vectors[150:151], 1),
        lambda: seg.nearest(vectors[140:160], 3),
        lambda: build_index(fresh, IndexSpec(), tmp_path / "again"),
    ):
        with pytest.raises(CorruptIndexError, match=f"{tmp_path / 'v'}: row 150 does not match its checksum"):
            read()
    assert not (tmp_path / "again").exists()


def test_a_large_index_is_trained_on_a_sample_and_holds_all_vectors(tmp_path, monkeypatch):
    monkeypatch.setattr("hpdsearch.dense.build.MINIMUM_SAMPLE", 2_000)
    monkeypatch.setattr("hpdsearch.dense.build.ADD_ROWS", 1_000)
    vectors = make_ellipsoid(5_500, 16)
    seg = build_segment(tmp_path, vectors, IndexSpec(Kind.IVF, Codec.PQ, nlist=16, nprobe=16, rescore=50), first_row=0)
    assert faiss.read_index(str(tmp_path / "i.faiss")).ntotal == 5_500
    rows, _ = seg.nearest(vectors[::100], 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(0, 5_500, 100))
