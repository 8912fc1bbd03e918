"""Query adapters: their arithmetic, what they are fitted to, and the folder that holds one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hpdsearch import Encoder, Index
from hpdsearch.common.files import file_sha256
from hpdsearch.common.vectors import unit_rows
from hpdsearch.encoder.query_adapter import (
    LEAST_VARIANCE,
    QueryAdapter,
    fit_query_adapter,
    read_query_adapter,
    write_query_adapter,
)
from hpdsearch.errors import EncoderError, ShapeError
from hpdsearch.records import Document

TEXTS = ["the cat sleeps", "", "ship", "the old king of the red ship"]
DIM = 16


def make_adapter(dim: int = DIM) -> QueryAdapter:
    rng = np.random.default_rng(3)
    return QueryAdapter(rng.normal(size=dim).astype(np.float32) / 8, rng.uniform(0.5, 2, size=dim).astype(np.float32))


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny encoder, with an adapter."""
    shutil.copytree(tiny_folder, tmp_path / "adapted")
    write_query_adapter(tmp_path / "adapted", make_adapter())
    return tmp_path / "adapted"


def test_queries_are_moved_and_scaled_and_documents_are_not(folder: Path, tiny_encoder: Encoder) -> None:
    encoder, adapter = Encoder.load(folder), make_adapter()
    plain = tiny_encoder.encode(TEXTS)
    np.testing.assert_array_equal(encoder.encode(TEXTS), plain)
    expected = [(vector - adapter.offset) * adapter.scale for vector in plain]
    expected = [vector / np.linalg.norm(vector) for vector in expected]
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), expected, atol=1e-6)


def test_truncated_queries_are_adapted_at_full_width_first(folder: Path) -> None:
    encoder = Encoder.load(folder)
    expected = unit_rows(encoder.encode_queries(TEXTS)[:, :5])
    np.testing.assert_allclose(encoder.truncate(5).encode_queries(TEXTS), expected, atol=1e-6)
    assert encoder.truncate(5).truncate(3).encode_queries(TEXTS).shape == (4, 3)


def test_a_search_compares_adapted_queries_with_the_documents(folder: Path, tmp_path: Path) -> None:
    documents = [Document(str(number), text) for number, text in enumerate(filter(None, TEXTS))]
    encoder = Encoder.load(folder)
    with Index.build(tmp_path / "index", documents, encoder=folder) as index:
        hits = index.search("king of the sea", 3, mode="dense")
    (query,) = encoder.encode_queries(["king of the sea"])
    cosines = encoder.encode([document.text for document in documents]) @ query
    assert [hit.doc_id for hit in hits] == [str(row) for row in np.argsort(-cosines)]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(cosines)[::-1], atol=1e-3)  # float16


def test_the_mean_of_queries_is_moved_onto_that_of_texts() -> None:
    rng = np.random.default_rng(0)
    queries, texts = (unit_rows(rng.normal(loc, 1, size=(40, 4))) for loc in ([2, 0, 0, 0], [0, 1, 0, 0]))
    adapter = fit_query_adapter(queries, texts, scaling=0)
    np.testing.assert_array_equal(adapter.scale, np.ones(4))
    np.testing.assert_allclose((queries - adapter.offset).mean(axis=0), texts.mean(axis=0), atol=1e-6)


def test_dimensions_of_little_variance_get_more_weight() -> None:
    texts = np.array([[0.8, 0.6, 0], [-0.8, 0.6, 0], [0.8, -0.6, 0]], dtype=np.float32)
    adapter = fit_query_adapter(texts[:1], texts, scaling=0.5)
    first, second, unused = adapter.scale
    assert second / first == pytest.approx(0.8 / 0.6)  # variance ** -0.5
    mean_variance = (0.64 + 0.36) / 3
    assert unused / first == pytest.approx(0.8 / np.sqrt(LEAST_VARIANCE * mean_variance), rel=1e-4)
    assert adapter.scale.mean() == pytest.approx(1)


def test_an_adapter_changes_the_checksum_and_format_of_the_encoder_alone(folder: Path, tiny_folder: Path) -> None:
    card, before = (json.loads((each / "encoder.json").read_text()) for each in (folder, tiny_folder))
    assert (card["format"], before["format"]) == (3, 1)
    assert card["sha256"].pop("query_adapter.safetensors") == file_sha256(folder / "query_adapter.safetensors")
    assert {key: card[key] for key in before if key != "format"} == {k: before[k] for k in before if k != "format"}
    assert Encoder.load(folder).sha256 != Encoder.load(tiny_folder).sha256
    write_query_adapter(folder, make_adapter())
    assert json.loads((folder / "encoder.json").read_text())["sha256"]["query_adapter.safetensors"]


def test_an_encoder_without_an_adapter_reads_as_none(tiny_folder: Path) -> None:
    assert read_query_adapter(tiny_folder) is None
    assert Encoder.load(tiny_folder).query_adapter is None


def test_an_altered_adapter_is_an_error(folder: Path) -> None:
    path = folder / "query_adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(EncoderError, match=r"query_adapter.safetensors: the file was altered or truncated"):
        Encoder.load(folder)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"offset": np.zeros(DIM, np.float32)}, "expected tensors offset and scale, got 'scale'"),
        ({"offset": np.zeros(3, np.float32), "scale": np.ones(3, np.float32)}, "expected 16 values .*, got 3"),
        ({"offset": np.zeros(DIM, np.float32), "scale": np.zeros(DIM, np.float32)}, "values above 0, got 0"),
        ({"offset": np.full(DIM, np.nan, np.float32), "scale": np.ones(DIM, np.float32)}, "expected finite values"),
    ],
)
def test_a_wrong_adapter_with_the_right_checksum_is_an_error(
    folder: Path, tensors: dict[str, np.ndarray], message: str
) -> None:
    path = folder / "query_adapter.safetensors"
    save_file(tensors, path)
    card = json.loads((folder / "encoder.json").read_text())
    card["sha256"][path.name] = file_sha256(path)
    (folder / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(EncoderError, match=message):
        Encoder.load(folder)


def test_an_adapter_must_have_the_width_of_the_encoder(folder: Path) -> None:
    with pytest.raises(ShapeError, match=r"expected 16 values \(the encoder's dim\), got 5"):
        write_query_adapter(folder, make_adapter(5))
    Encoder.load(folder)


@pytest.mark.parametrize(
    ("queries", "texts", "message"),
    [
        (np.ones((0, 4)), np.ones((2, 4)), "queries: expected at least 1, got 0"),
        (np.ones((2, 4)), np.ones((0, 4)), "texts: expected at least 1, got 0"),
        (np.ones((2, 4)), np.ones((2, 3)), r"texts: expected shape \(n, 4\), got \(2, 3\)"),
        (np.ones((2, 4)), np.full((2, 4), np.inf), "texts: expected finite values"),
    ],
)
def test_vectors_that_do_not_fit_are_an_error(queries: np.ndarray, texts: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        fit_query_adapter(queries.astype(np.float32), texts.astype(np.float32))
