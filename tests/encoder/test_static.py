"""Static encoders: a text's vector is the mean of its tokens' vectors."""

from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import make_tiny_static, tiny_table, tiny_tokenizer

from hpdsearch.distillation.export.static import export_static
from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder import Encoder, EncoderType
from hpdsearch.errors import EncoderError, ShapeError
from hpdsearch.index import Index
from hpdsearch.records import Document

TEXTS = ["the cat sings", "Gold, and a star!", "zebra 42", "cat", "the king " * 2000]


@pytest.fixture(scope="module")
def static_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_static(tmp_path_factory.mktemp("static") / "static")


def compute_mean(text: str, table: np.ndarray) -> np.ndarray:
    """Return the mean of the tokens' rows in float64, in plain Python."""
    total = [0.0] * table.shape[1]
    for token in tiny_tokenizer().encode(text, add_special_tokens=False).ids:
        total = [a + float(b) for a, b in zip(total, table[token], strict=True)]
    return np.array(total) / sum(number**2 for number in total) ** 0.5


def test_a_text_of_any_length_is_the_mean_of_its_tokens(static_folder: Path) -> None:
    encoder = Encoder.load(static_folder)
    assert (encoder.kind, encoder.dim, encoder.max_tokens) == (EncoderType.STATIC, 16, 20)
    expected = [compute_mean(text, tiny_table()) for text in TEXTS]
    vectors = encoder.encode(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_array_equal(encoder.encode(TEXTS[2:3]), vectors[2:3])  # independent of the other texts


def test_a_text_without_known_tokens_gets_the_mean_of_the_table(static_folder: Path) -> None:
    mean = tiny_table().astype(np.float64).mean(axis=0)
    vectors = Encoder.load(static_folder).encode(["", "  \n", "猫", "cat"])
    np.testing.assert_allclose(vectors[:3], [mean / np.linalg.norm(mean)] * 3, atol=1e-6)


def test_int8_rows_stay_close_and_take_a_quarter(static_folder: Path, tmp_path: Path) -> None:
    small = make_tiny_static(tmp_path / "int8", precision=Precision.INT8)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (small, static_folder)]
    assert sizes[0] < sizes[1] / 2  # 16 dimensions: 16 + 4 bytes per row instead of 64, and a header
    texts = TEXTS[:4]
    found, exact = (Encoder.load(folder).encode(texts) for folder in (small, static_folder))
    assert (found * exact).sum(axis=1).min() > 0.9995
    assert not np.array_equal(found, exact)


def test_a_transformer_of_the_space_queries_an_index_of_static_vectors(
    static_folder: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    words = "iron queen child war peace big small runs river"
    documents = [Document("long", f"{words} " * 6), Document("short", "the cat sings")]
    with Index.build(tmp_path / "index", documents, encoder=static_folder, dim=8) as index:
        assert index.report is not None
        assert index.report.n_passages > 2  # passages of max_tokens, although a static encoder has no limit
        assert [hit.doc_id for hit in index.search("cat", mode="dense")] == ["short", "long"]
    with Index.open(tmp_path / "index", encoder=tiny_folder) as index:
        assert len(index.search("cat", mode="dense")) == 2


@pytest.mark.parametrize("backend", ["onnx", "torch", "openvino"])
def test_backends_are_for_transformers(static_folder: Path, backend: str) -> None:
    vectors = Encoder.load(static_folder, backend=backend).encode(TEXTS)
    np.testing.assert_array_equal(vectors, Encoder.load(static_folder).encode(TEXTS))


def test_an_unknown_encoder_type_is_an_error(static_folder: Path, tmp_path: Path) -> None:
    folder = make_tiny_static(tmp_path / "static")
    (folder / "config.json").write_text('{"model_type": "rnn"}')
    with pytest.raises(EncoderError, match="expected model_type among bert, static, onnx, got 'rnn'; upgrade"):
        Encoder.load(folder)


def test_inconsistent_arguments_are_refused_and_equal_tables_give_equal_bytes(
    tmp_path: Path, static_folder: Path
) -> None:
    arguments = {"name": "x", "space": "sha256:0", "tokenizer": tiny_tokenizer()}
    for table, message in (
        (tiny_table()[:-1], r"table: expected at least \d+ rows for the tokenizer"),
        (tiny_table()[0], r"table: expected shape \(n, 16\), got \(16,\)"),
        (np.zeros_like(tiny_table()), "mean row that is not zero"),
    ):
        with pytest.raises(ShapeError, match=message):
            export_static(tmp_path / "x", table=table, **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()
    again = make_tiny_static(tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in static_folder.iterdir()
    }
