import hashlib
import zlib

import numpy as np
import pytest

from hpdsearch.errors import DamagedError, ShapeError
from hpdsearch.index import VectorFile, VectorWriter
from hpdsearch.vectors import unit_rows

BLOCK_ROWS = 64  # the format


def random_rows(n, dim, seed=0):
    return unit_rows(np.random.default_rng(seed).normal(size=(n, dim)))


def written(path, vectors, *, blocks=1):
    with VectorWriter(path, vectors.shape[1]) as writer:
        for block in np.array_split(vectors, blocks):
            writer.append(block)
    return writer


def opened(path, writer):
    return VectorFile(path, writer.n_rows, writer.dim, writer.block_sums)


@pytest.mark.parametrize("dim", [1, 5, 128])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 128, 300])
def test_what_is_written_is_read_to_the_precision_of_float16(tmp_path, n, dim):
    vectors = random_rows(n, dim)
    file = opened(tmp_path / "v", written(tmp_path / "v", vectors))
    expected = vectors.astype(np.float16).astype(np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(file.block(0, n), expected, atol=1e-6)
    np.testing.assert_allclose(file.block(0, n), vectors, atol=2**-10)
    rows = np.random.default_rng(1).integers(0, n, 2 * n)  # in any order, some twice
    np.testing.assert_array_equal(file.rows(rows), file.block(0, n)[rows])
    np.testing.assert_array_equal(file.block(n // 3, n // 2), file.block(0, n)[n // 3 : n // 2])
    assert file.rows(np.empty(0, np.int64)).shape == (0, dim)
    assert file.rows(rows).dtype == np.float32


@pytest.mark.parametrize("blocks", [1, 2, 7, 200])
def test_the_file_and_its_sums_do_not_depend_on_how_it_was_written(tmp_path, blocks):
    vectors = random_rows(200, 5)
    writer = written(tmp_path / "v", vectors, blocks=blocks)
    data = (tmp_path / "v").read_bytes()
    assert data == vectors.astype("<f2").tobytes()
    assert (writer.n_rows, writer.size_bytes) == (200, len(data)) == (200, 200 * 5 * 2)
    assert writer.sha256 == hashlib.sha256(data).hexdigest()
    size = BLOCK_ROWS * 5 * 2
    crcs = [zlib.crc32(data[at : at + size]) for at in range(0, len(data), size)]
    assert writer.block_sums == b"".join(crc.to_bytes(4, "little") for crc in crcs)
    assert len(crcs) == 4


def test_a_zero_row_stays_zero(tmp_path):
    vectors = random_rows(3, 4)
    vectors[1] = 0
    file = opened(tmp_path / "v", written(tmp_path / "v", vectors))
    np.testing.assert_array_equal(file.block(0, 3)[1], np.zeros(4))


def test_no_rows_are_a_file_too(tmp_path):
    file = opened(tmp_path / "v", written(tmp_path / "v", np.empty((0, 4), np.float32)))
    assert file.block(0, 0).shape == (0, 4)


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


def test_a_missing_shortened_or_longer_file_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "v"
    writer = written(path, random_rows(100, 5))
    data = path.read_bytes()
    for damaged in (data[:-1], data[: len(data) // 2], b"", data + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(
            DamagedError, match=f"{path}: expected 1000 bytes, got {len(damaged)}; restore the file, or"
        ):
            opened(path, writer)
    path.unlink()
    with pytest.raises(DamagedError, match=f"{path}: the vectors file is missing; restore it, or index again"):
        opened(path, writer)


@pytest.mark.parametrize("change", [lambda sums: sums[:-4], lambda sums: sums + b"\0\0\0\0", lambda sums: sums[:-1]])
def test_sums_that_do_not_fit_are_an_error(tmp_path, change):
    writer = written(tmp_path / "v", random_rows(100, 5))
    with pytest.raises(DamagedError, match="bytes of sums for 100 rows, expected 8; index again"):
        VectorFile(tmp_path / "v", 100, 5, change(writer.block_sums))


@pytest.mark.parametrize(("row", "block"), [(0, 0), (63, 0), (64, 1), (130, 2), (199, 3)])
def test_a_flipped_bit_is_found_when_its_block_is_read_and_not_before(tmp_path, row, block):
    path = tmp_path / "v"
    vectors = random_rows(200, 5)
    writer = written(path, vectors)
    data = bytearray(path.read_bytes())
    data[row * 10 + 3] ^= 1
    path.write_bytes(data)
    file = opened(path, writer)
    start, end = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, 200)
    others = [other for other in range(200) if not start <= other < end]
    np.testing.assert_allclose(file.rows(np.array(others)), vectors[others], atol=2**-10)
    message = f"{path}: rows {start}.. are not what was written; restore it, or index again with --overwrite"
    for read in (
        lambda: file.rows(np.array([start])),
        lambda: file.rows(np.array([*others, end - 1])),
        lambda: file.block(end - 1, end),
        lambda: file.block(0, 200),
    ):
        with pytest.raises(DamagedError) as caught:
            read()
        assert str(caught.value) == message
