"""Building and searching one segment, against brute force in numpy."""

import hashlib

import faiss
import numpy as np
import pytest

from hpdsearch.errors import DamagedError
from hpdsearch.index import Codec, IndexSpec, Kind, Segment, VectorFile, VectorWriter, build_index
from hpdsearch.vectors import unit_rows

FLAT_F32, FLAT_SQ8 = IndexSpec(Kind.FLAT, Codec.F32), IndexSpec(Kind.FLAT, Codec.SQ8)
IVF_F32, IVF_SQ8 = IndexSpec(Kind.IVF, Codec.F32, nlist=32), IndexSpec(Kind.IVF, Codec.SQ8, nlist=32)
SPECS = pytest.mark.parametrize(
    "spec", [FLAT_F32, FLAT_SQ8, IVF_F32, IVF_SQ8], ids=lambda s: f"{s.kind.value} {s.codec.value}"
)
FIRST_ROW = 1000


def ellipsoid(n, dim, seed=0):
    """Unit vectors whose directions differ in weight, as those of texts do."""
    return unit_rows(np.random.default_rng(seed).normal(size=(n, dim)) / np.sqrt(1 + np.arange(dim)))


def vector_file(path, vectors):
    with VectorWriter(path, vectors.shape[1]) as writer:
        writer.append(vectors)
    return VectorFile(path, writer.n_rows, writer.dim, writer.block_sums)


def segment(folder, vectors, spec, first_row=FIRST_ROW):
    file = vector_file(folder / "v.f16", vectors)
    built = build_index(file, spec, folder / "i.faiss")
    return Segment.open(first_row, file, built.spec, folder / "i.faiss", built.sha256)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def brute_force(vectors, queries):
    """Cosines (m, n) of the vectors as they lie in the file, in float64."""
    stored = vectors.astype(np.float16).astype(np.float64)
    return queries.astype(np.float64) @ (stored / np.linalg.norm(stored, axis=1, keepdims=True)).T


VECTORS, QUERIES = ellipsoid(6_000, 48), ellipsoid(40, 48, seed=1)
COSINES = brute_force(VECTORS, QUERIES)
BEST = np.argsort(-COSINES, axis=1)


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    """One segment of VECTORS for each spec."""
    return {
        spec: segment(tmp_path_factory.mktemp("segment"), VECTORS, spec)
        for spec in (FLAT_F32, FLAT_SQ8, IVF_F32, IVF_SQ8)
    }


def rescored(seg, query, k, n, **options):
    """The k best of n candidates by their exact scores, as rows of VECTORS."""
    (rows,) = seg.candidates(query[None], n, **options)
    return rows[np.argsort(-seg.scores(query, rows))[:k]] - FIRST_ROW


@SPECS
def test_scores_are_the_true_cosines_whatever_the_codec(segments, spec):
    rows = np.random.default_rng(2).permutation(6_000)[:500]
    for query, expected in zip(QUERIES[:5], COSINES, strict=False):
        np.testing.assert_allclose(segments[spec].scores(query, FIRST_ROW + rows), expected[rows], atol=2e-6)


@pytest.mark.parametrize("n", [1, 10, 333])
def test_flat_f32_finds_the_nearest_rows(segments, n):
    for found, best in zip(segments[FLAT_F32].candidates(QUERIES, n), BEST, strict=True):
        assert sorted(found) == sorted(FIRST_ROW + best[:n])


def test_ivf_that_visits_every_list_finds_what_flat_finds(segments):
    assert segments[IVF_F32].spec.nlist == 32
    flat = segments[FLAT_F32].candidates(QUERIES, 100)
    ivf = segments[IVF_F32].candidates(QUERIES, 100, nprobe=32)
    assert [set(rows) for rows in ivf] == [set(rows) for rows in flat]


@pytest.mark.parametrize(("spec", "nprobe"), [(FLAT_SQ8, 0), (IVF_SQ8, 32)])
def test_sq8_loses_nothing_that_rescoring_cannot_bring_back(segments, spec, nprobe):
    found = [rescored(segments[spec], query, 10, 50, nprobe=nprobe) for query in QUERIES]
    recall = np.mean([len(set(rows) & set(best[:10])) / 10 for rows, best in zip(found, BEST, strict=True)])
    assert recall >= 0.99


def test_visiting_more_lists_finds_more(segments):
    def recall(nprobe):
        found = segments[IVF_F32].candidates(QUERIES, 10, nprobe=nprobe)
        return np.mean(
            [len(set(rows - FIRST_ROW) & set(best[:10])) / 10 for rows, best in zip(found, BEST, strict=True)]
        )

    assert recall(1) < recall(4) < recall(32) == 1
    assert segments[IVF_F32].spec.nprobe == 16
    by_spec = segments[IVF_F32].candidates(QUERIES, 10)
    assert [set(rows) for rows in by_spec] == [
        set(rows) for rows in segments[IVF_F32].candidates(QUERIES, 10, nprobe=16)
    ]


@SPECS
@pytest.mark.parametrize("share", [0.3, 0.01, 1.0])
def test_only_allowed_rows_are_found(segments, spec, share):
    allowed = np.random.default_rng(3).random(6_000) < share
    found = segments[spec].candidates(QUERIES, 20, allowed=allowed, nprobe=32)
    for query, (rows, best) in enumerate(zip(found, BEST, strict=True)):
        expected = [row for row in best if allowed[row]]
        assert len(rows) == min(20, len(expected)) == len(set(rows))
        assert allowed[rows - FIRST_ROW].all()
        if spec.codec is Codec.F32:
            assert set(rows - FIRST_ROW) == set(expected[:20])
        else:  # codes are near: within the hundredth of a cosine
            assert COSINES[query, rows - FIRST_ROW].min() > COSINES[query, expected[:20][-1]] - 0.01


@SPECS
def test_few_or_no_allowed_rows_give_few_or_none(segments, spec):
    nothing, one = np.zeros(6_000, bool), np.zeros(6_000, bool)
    one[5_999] = True  # the last bit of the mask
    assert [rows.tolist() for rows in segments[spec].candidates(QUERIES[:3], 5, allowed=nothing)] == [[]] * 3
    found = segments[spec].candidates(QUERIES[:3], 5, allowed=one, nprobe=32)
    assert [rows.tolist() for rows in found] == [[FIRST_ROW + 5_999]] * 3


@SPECS
def test_more_candidates_than_rows_are_all_rows(segments, spec):
    for rows in segments[spec].candidates(QUERIES[:3], 10**6, nprobe=32):
        assert sorted(rows) == list(range(FIRST_ROW, FIRST_ROW + 6_000))
    assert [len(rows) for rows in segments[spec].candidates(QUERIES[:3], 0)] == [0, 0, 0]
    assert segments[spec].candidates(QUERIES[:0], 5) == []


def test_lists_that_hold_fewer_rows_give_fewer_and_never_row_minus_1(segments):
    for rows in segments[IVF_F32].candidates(QUERIES, 6_000, nprobe=1):
        assert 0 < len(rows) < 6_000
        assert rows.min() >= FIRST_ROW
        assert len(set(rows)) == len(rows)


@pytest.mark.parametrize("codec", [Codec.F32, Codec.SQ8])
@pytest.mark.parametrize("dim", [1, 2, 5, 127, 128])
@pytest.mark.parametrize("n", [1, 2, 9, 70])
def test_small_segments_of_any_width(tmp_path, codec, dim, n):
    vectors, queries = ellipsoid(n, dim, seed=n), ellipsoid(4, dim, seed=99)
    seg = segment(tmp_path, vectors, IndexSpec(codec=codec), first_row=0)
    assert seg.spec.kind is Kind.FLAT
    for query, expected in zip(queries, brute_force(vectors, queries), strict=True):
        (rows,) = seg.candidates(query[None], n)
        assert sorted(rows) == list(range(n))
        np.testing.assert_allclose(seg.scores(query, rows), expected[rows], atol=2e-6)
    allowed = np.arange(n) % 2 == 0
    assert sorted(seg.candidates(queries[:1], n, allowed=allowed)[0]) == list(range(0, n, 2))


@pytest.mark.parametrize("codec", [Codec.F32, Codec.SQ8])
def test_zero_vectors_have_cosine_0_and_zero_queries_find_rows(tmp_path, codec):
    vectors = ellipsoid(20, 6)
    vectors[[3, 8]] = 0
    seg = segment(tmp_path, vectors, IndexSpec(codec=codec), first_row=0)
    np.testing.assert_array_equal(seg.scores(vectors[0], np.array([3, 8])), [0, 0])
    (rows,) = seg.candidates(np.zeros((1, 6), np.float32), 20)
    assert sorted(rows) == list(range(20))
    np.testing.assert_array_equal(seg.scores(np.zeros(6, np.float32), rows), np.zeros(20))


def test_only_zero_vectors_can_be_indexed_with_lists_too(tmp_path):
    seg = segment(tmp_path, np.zeros((5_000, 4), np.float32), IVF_SQ8)
    (rows,) = seg.candidates(ellipsoid(1, 4), 10, nprobe=32)
    assert len(rows) == 10


def test_equal_vectors_get_equal_scores(tmp_path):
    vectors = np.concatenate([ellipsoid(100, 48), np.tile(ellipsoid(1, 48, seed=5), (900, 1))])
    seg = segment(tmp_path, vectors, FLAT_SQ8, first_row=0)
    order = np.random.default_rng(0).permutation(np.arange(100, 1000))
    assert len(set(seg.scores(QUERIES[0], order).tolist())) == 1


# ---- files


@SPECS
def test_an_opened_segment_finds_what_the_built_one_finds(segments, tmp_path, spec):
    built = segments[spec]
    path = built.vectors.path.parent / "i.faiss"
    again = Segment.open(0, built.vectors, built.spec, path, sha256(path))
    for one, other in zip(built.candidates(QUERIES, 30), again.candidates(QUERIES, 30), strict=True):
        np.testing.assert_array_equal(one - FIRST_ROW, other)


@SPECS
def test_building_twice_gives_equal_bytes_on_any_count_of_threads(segments, tmp_path, spec):
    built = segments[spec]
    threads = faiss.omp_get_max_threads()
    try:
        for n in (1, 2):
            faiss.omp_set_num_threads(n)
            file = build_index(built.vectors, spec, tmp_path / f"{n}.faiss")
            data = (tmp_path / f"{n}.faiss").read_bytes()
            assert data == (built.vectors.path.parent / "i.faiss").read_bytes()
            assert (file.size_bytes, file.sha256) == (len(data), sha256(tmp_path / f"{n}.faiss"))
            assert file.spec == built.spec
    finally:
        faiss.omp_set_num_threads(threads)


@SPECS
def test_a_damaged_index_file_is_an_error_that_names_it(segments, tmp_path, spec):
    built = segments[spec]
    data = (built.vectors.path.parent / "i.faiss").read_bytes()
    path, expected = tmp_path / "i.faiss", sha256(built.vectors.path.parent / "i.faiss")
    copies = [data[:-1], data[: len(data) // 2], b"", data + b"\0"]
    for position in (0, 5, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[position] ^= 4
        copies.append(bytes(damaged))
    for copy in copies:
        path.write_bytes(copy)
        with pytest.raises(DamagedError, match=rf"{path}: is not what was written \(its sum differs\); restore it, or"):
            Segment.open(0, built.vectors, built.spec, path, expected)
    path.unlink()
    with pytest.raises(DamagedError, match=f"{path}: the index file is missing; restore it, or index again"):
        Segment.open(0, built.vectors, built.spec, path, expected)


def test_an_index_of_other_vectors_is_an_error(segments, tmp_path):
    path = segments[FLAT_F32].vectors.path.parent / "i.faiss"
    others = vector_file(tmp_path / "v", ellipsoid(7, 48))
    with pytest.raises(DamagedError, match=f"{path}: expected 7 x 48 vectors, got 6000 x 48; index again"):
        Segment.open(0, others, FLAT_F32, path, sha256(path))


def test_altered_vectors_are_found_when_they_are_built_on_or_scored(segments, tmp_path):
    vectors = ellipsoid(200, 8)
    file = vector_file(tmp_path / "v", vectors)
    built = build_index(file, FLAT_SQ8, tmp_path / "i")
    data = bytearray((tmp_path / "v").read_bytes())
    data[150 * 16] ^= 1
    (tmp_path / "v").write_bytes(data)
    fresh = VectorFile(tmp_path / "v", 200, 8, file._sums.tobytes())
    seg = Segment.open(0, fresh, built.spec, tmp_path / "i", built.sha256)
    assert len(seg.scores(vectors[0], np.arange(128))) == 128
    with pytest.raises(DamagedError, match=f"{tmp_path / 'v'}: rows 128"):
        seg.scores(vectors[0], np.array([150]))
    with pytest.raises(DamagedError, match=f"{tmp_path / 'v'}: rows 128"):
        build_index(fresh, FLAT_SQ8, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@SPECS
def test_memory_bytes_is_what_faiss_holds(segments, spec):
    built = segments[spec]
    size = (built.vectors.path.parent / "i.faiss").stat().st_size  # codes, ids and centroids, and a small header
    assert built.memory_bytes <= size <= built.memory_bytes + 4_000
    codes = 6_000 * 48 * (4 if spec.codec is Codec.F32 else 1)
    assert built.memory_bytes == codes + (6_000 * 8 + 32 * 48 * 4 if spec.kind is Kind.IVF else 0)


def test_many_vectors_are_trained_on_a_sample_and_all_added(tmp_path, monkeypatch):
    monkeypatch.setattr("hpdsearch.index.build.MINIMUM_SAMPLE", 2_000)
    monkeypatch.setattr("hpdsearch.index.build.ADD_ROWS", 1_000)
    vectors = ellipsoid(5_500, 16)
    seg = segment(tmp_path, vectors, IndexSpec(Kind.IVF, Codec.SQ8, nlist=16), first_row=0)
    (rows,) = seg.candidates(vectors[:1], 5_500, nprobe=16)
    assert sorted(rows) == list(range(5_500))
    found = [seg.candidates(vectors[row : row + 1], 5, nprobe=16)[0] for row in range(0, 5_500, 500)]
    assert all(row in rows for row, rows in zip(range(0, 5_500, 500), found, strict=True))
