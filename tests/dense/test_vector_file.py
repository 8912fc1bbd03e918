import gc
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from vectors import write_vector_file

from hpdsearch.common.vectors import unit_rows
from hpdsearch.dense import VectorFile, VectorWriter
from hpdsearch.dense import vector_file as module
from hpdsearch.errors import CorruptIndexError, ShapeError


def random_rows(n, dim, seed=0):
    return unit_rows(np.random.default_rng(seed).normal(size=(n, dim)))


def write_vectors(path, vectors, *, blocks=1):
    with VectorWriter(path, vectors.shape[1]) as writer:
        for block in np.array_split(vectors, blocks):
            writer.append(block)
    return writer


def fmix32(x):
    """Return murmur3's finalizer, in Python integers."""
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) % 2**32
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) % 2**32
    return x ^ (x >> 16)


def compute_checksum(row, position):
    """Return the checksum of one row by the formula of docs/index-format.md."""
    halfwords = [int.from_bytes(row[at : at + 2], "little") for at in range(0, len(row), 2)]
    total = sum(halfword * (fmix32(i) | 1) for i, halfword in enumerate(halfwords, start=1))
    return (total + position * 0x9E3779B1 + 0x5BD1E995) % 2**32


@pytest.mark.parametrize("dim", [1, 5, 128])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 300])
def test_vectors_are_read_back_with_float16_precision(tmp_path, n, dim):
    vectors = random_rows(n, dim)
    file = write_vector_file(tmp_path / "v", vectors)
    expected = vectors.astype(np.float16).astype(np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(file.block(0, n), expected, atol=1e-6)
    rows = np.random.default_rng(1).integers(0, n, 2 * n)  # in any order, some twice
    np.testing.assert_array_equal(file.rows(rows), file.block(0, n)[rows])
    np.testing.assert_array_equal(file.stored_rows(rows), vectors.astype(np.float16)[rows])
    np.testing.assert_array_equal(file.stored(n // 3, n // 2), vectors.astype(np.float16)[n // 3 : n // 2])
    assert file.rows(np.empty(0, np.int64)).shape == (0, dim)
    assert file.rows(rows).dtype == np.float32


@pytest.mark.parametrize("dim", [5, 6])
@pytest.mark.parametrize("blocks", [1, 7, 200])
def test_the_file_holds_rows_and_checksums_for_any_block_size(tmp_path, blocks, dim):
    vectors = random_rows(200, dim)
    writer = write_vectors(tmp_path / "v", vectors, blocks=blocks)
    data = (tmp_path / "v").read_bytes()
    size = 2 * dim
    assert data[: 200 * size] == vectors.astype("<f2").tobytes()
    checksums = [compute_checksum(data[row * size : (row + 1) * size], row) for row in range(200)]
    assert data[200 * size :] == b"".join(one.to_bytes(4, "little") for one in checksums)
    assert (writer.n_rows, writer.size_bytes) == (200, len(data)) == (200, 200 * (size + 4))
    assert writer.sha256 == hashlib.sha256(data).hexdigest()


def test_copied_rows_keep_their_bits(tmp_path):
    stored = random_rows(50, 8).astype(np.float16) * np.float16(0.37)
    with VectorWriter(tmp_path / "v", 8) as writer:
        writer.append_stored(stored[:20])
        writer.append_stored(stored[20:])
    np.testing.assert_array_equal(VectorFile(tmp_path / "v", 50, 8).stored(0, 50), stored)
    for wrong in (stored[:, :4], stored.astype(np.float32)):
        with (
            pytest.raises(ShapeError, match=r"stored: expected float16 \(m, 8\)"),
            VectorWriter(tmp_path / "w", 8) as w,
        ):
            w.append_stored(wrong)
    assert not (tmp_path / "w").exists()


def test_zero_rows_and_no_rows_can_be_written(tmp_path):
    vectors = random_rows(3, 4)
    vectors[1] = 0
    np.testing.assert_array_equal(write_vector_file(tmp_path / "v", vectors).block(0, 3)[1], np.zeros(4))
    assert write_vector_file(tmp_path / "w", np.empty((0, 4), np.float32)).block(0, 0).shape == (0, 4)


def test_vectors_of_another_shape_or_not_finite_leave_no_file(tmp_path):
    bad = random_rows(3, 5)
    bad[2, 0] = np.nan
    for vectors, message in [
        (random_rows(3, 4), r"expected shape \(n, 5\), got \(3, 4\)"),
        (bad, "NaN or infinity in row 2"),
    ]:
        with pytest.raises(ShapeError, match=message), VectorWriter(tmp_path / "v", 5) as writer:  # noqa: PT012
            writer.append(random_rows(3, 5))
            writer.append(vectors)
    assert list(tmp_path.iterdir()) == []


# ---- damage


def test_the_error_for_a_missing_shorter_or_longer_file_names_it(tmp_path):
    path = tmp_path / "v"
    write_vectors(path, random_rows(100, 5))
    data = path.read_bytes()
    for damaged in (data[:-1], data[: len(data) // 2], b"", data + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(CorruptIndexError, match=f"{path}: expected 1400 bytes, got {len(damaged)}; restore it"):
            VectorFile(path, 100, 5)
    path.unlink()
    with pytest.raises(CorruptIndexError, match=f"{path}: the vectors file is missing; restore it, or index again"):
        VectorFile(path, 100, 5)


@pytest.mark.parametrize("resident", [0, 1 << 24])  # read by pread and through the memory map
@pytest.mark.parametrize("dim", [5, 16])
def test_every_flipped_bit_is_detected_in_its_row_and_in_no_other(tmp_path, monkeypatch, dim, resident):
    monkeypatch.setattr(module, "MAX_RESIDENT", resident)
    path, n = tmp_path / "v", 40
    vectors = random_rows(n, dim)
    write_vectors(path, vectors)
    data = path.read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(data), 150, replace=False).tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        byte = bit // 8
        row = byte // (2 * dim) if byte < 2 * dim * n else (byte - 2 * dim * n) // 4
        file = VectorFile(path, n, dim)
        others = np.delete(np.arange(n), row)
        np.testing.assert_array_equal(file.stored_rows(others), vectors.astype(np.float16)[others])
        for read in (
            lambda: file.rows(np.array([row])),  # noqa: B023
            lambda: file.stored_rows(np.array([0, n - 1, row, row])),  # noqa: B023
            lambda: file.block(0, n),  # noqa: B023
            lambda: file.stored(row, row + 1),  # noqa: B023
        ):
            with pytest.raises(
                CorruptIndexError, match=f"{path}: row {row} does not match its checksum; restore it, or index"
            ):
                read()
        file.rows(others)


def test_a_row_at_the_position_of_another_is_detected_with_or_without_its_checksum(tmp_path):
    path, n, size = tmp_path / "v", 30, 12
    vectors = random_rows(n, 6)
    vectors[4] = vectors[5]  # equal rows are no damage
    write_vectors(path, vectors)
    data = path.read_bytes()
    for one, other in [(0, 1), (3, 29), (10, 26)]:
        for with_checksum in (False, True):
            swapped = bytearray(data)
            for at, width in [(0, size), *([(n * size, 4)] if with_checksum else [])]:
                a, b = at + one * width, at + other * width
                swapped[a : a + width], swapped[b : b + width] = data[b : b + width], data[a : a + width]
            path.write_bytes(swapped)
            for row in (one, other):
                with pytest.raises(CorruptIndexError, match=f"row {row} does not match"):
                    VectorFile(path, n, 6).rows(np.array([row]))
            assert len(VectorFile(path, n, 6).rows(np.delete(np.arange(n), [one, other]))) == n - 2


def test_zeroed_pages_are_detected(tmp_path):
    path = tmp_path / "v"
    write_vectors(path, random_rows(400, 64))
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(bytes(4096))
    file = VectorFile(path, 400, 64)
    for row in range(64, 96):
        with pytest.raises(CorruptIndexError, match=f"row {row} does not match"):
            file.rows(np.array([row]))
    assert len(file.rows(np.array([63, 96]))) == 2


# ---- memory and threads


def measure_mapped_bytes(path):
    """Return the resident bytes of a file in this process, from /proc/self/smaps."""
    resident = mapping = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        fields = line.split()
        if "-" in fields[0] and ":" not in fields[0]:
            mapping = fields[-1] == str(path)
        elif mapping and fields[0] == "Rss:":
            resident += int(fields[1]) * 1024
    return resident


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc/self/smaps")
def test_reading_all_rows_keeps_few_pages_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_RESIDENT", 1 << 20)
    monkeypatch.setattr(module, "PIECE_ROWS", 16)
    vectors = random_rows(200_000, 32)  # 12.8 MB
    file = write_vector_file(tmp_path / "v", vectors)
    rng = np.random.default_rng(0)
    most = 0
    for _ in range(20):
        file.block(0, 50_000)
        file.rows(np.sort(rng.integers(0, 200_000, 2_000)))
        file.rows(rng.integers(0, 200_000, 100))
        most = max(most, measure_mapped_bytes(tmp_path / "v"))
    assert 0 < most < 5 << 20
    file.release()
    assert measure_mapped_bytes(tmp_path / "v") == 0
    np.testing.assert_array_equal(file.stored_rows(np.array([7])), vectors[7:8].astype(np.float16))


def test_many_threads_read_the_rows_that_one_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_RESIDENT", 1 << 14)
    vectors = random_rows(5_000, 16)
    file, stored = write_vector_file(tmp_path / "v", vectors), vectors.astype(np.float16)

    def read(seed):
        rows = np.random.default_rng(seed).integers(0, 5_000, 50 if seed % 2 else 3_000)
        return np.array_equal(file.stored_rows(rows), stored[rows])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(200)))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc/self/smaps")
def test_a_file_is_closed_with_its_last_reader(tmp_path):
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    file = write_vector_file(tmp_path / "v", random_rows(10, 4))
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 2  # our descriptor and that of the memory map
    del file
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
