"""Vectors of fewer dimensions (Matryoshka-style, of unit length): in the encoder, the index and the command line."""

from pathlib import Path

import numpy as np
import pytest
from brute_force import assert_best, compute_dense_scores, make_documents, read_passages
from click.testing import CliRunner
from tiny_encoder import make_tiny_encoder

from hpdsearch.cli import main
from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder import Encoder
from hpdsearch.errors import EncoderError
from hpdsearch.index import Index
from hpdsearch.records import Document

TEXTS = [
    "the cat sings",
    "gold",
    "",
    "the king of stone and the old tree in the rain " * 9,
]  # the last text has many windows
DOCUMENTS = make_documents(30)


def truncate(vectors: np.ndarray, dim: int) -> np.ndarray:
    kept = vectors[:, :dim].astype(np.float64)
    return kept / np.sqrt((kept**2).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("dim", [1, 5, 16])
def test_truncated_vectors_are_the_leading_dimensions_of_the_full_ones(
    tiny_folder: Path, tiny_encoder: Encoder, dim: int
) -> None:
    encoder = Encoder.load(tiny_folder, dim=dim)
    assert (encoder.dim, encoder.model_dim) == (dim, 16)
    np.testing.assert_allclose(encoder.encode(TEXTS), truncate(tiny_encoder.encode(TEXTS), dim), atol=1e-6)
    np.testing.assert_array_equal(encoder.truncate(16).encode(TEXTS), tiny_encoder.encode(TEXTS))


@pytest.mark.parametrize("dim", [-1, 0, 17])
def test_a_dim_that_the_encoder_does_not_have_is_refused(tiny_folder: Path, dim: int) -> None:
    with pytest.raises(EncoderError, match=rf"dim: expected 1\.\.16 \(width of encoder tiny\), got {dim}"):
        Encoder.load(tiny_folder, dim=dim)


def test_an_index_keeps_its_dim_for_queries_and_added_documents(tmp_path: Path, tiny_folder: Path) -> None:
    folder, encoder = tmp_path / "index", Encoder.load(tiny_folder, dim=6)
    Index.build(folder, DOCUMENTS, encoder=tiny_folder, dim=6).close()
    with Index.open(folder) as index:
        index.add([Document("new", "the iron queen sings")])
        assert index.info().dim == 6
        passages = read_passages(folder, encoder)
        assert passages[("new", "the iron queen sings")].shape == (6,)
        assert_best(
            index.search("cat dog", 7, mode="dense"), compute_dense_scores(passages, encoder.encode(["cat dog"])[0]), 7
        )


def test_another_encoder_of_the_space_queries_if_it_has_enough_dimensions(tmp_path: Path, tiny_folder: Path) -> None:
    folder, whole = tmp_path / "index", Encoder.load(tiny_folder)
    Index.build(folder, DOCUMENTS, encoder=whole.truncate(6)).close()
    members = {dim: make_tiny_encoder(tmp_path / str(dim), dim=dim, precision=Precision.INT8) for dim in (5, 6, 8, 16)}
    passages = read_passages(folder, whole.truncate(6))
    for dim in (6, 8, 16):
        query = truncate(Encoder.load(members[dim]).encode(["cat dog"]), 6)[0].astype(np.float32)
        with Index.open(folder, encoder=members[dim]) as index:
            assert_best(index.search("cat dog", 7, mode="dense"), compute_dense_scores(passages, query), 7)
    with (
        Index.open(folder, encoder=members[5]) as index,
        pytest.raises(EncoderError, match=r"holds vectors of 6 dimensions .* has only 5; query with --query-encoder"),
    ):
        index.search("cat dog")


def test_the_command_line_truncates_vectors_and_names_the_command_for_another_space(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("the cat sings\nthe old tree\n")
    run = CliRunner().invoke
    member = make_tiny_encoder(tmp_path / "member", precision=Precision.INT8)
    other = make_tiny_encoder(tmp_path / "other", space_seed=5)
    assert run(main, ["index", "words.txt", "--encoder", str(tiny_folder), "--dim", "4"]).exit_code == 0
    assert "4 dimensions, space" in run(main, ["info"]).stdout
    assert "the old tree" in run(main, ["query", "tree", "-k", "1", "--query-encoder", str(member)]).stdout
    refused = run(main, ["query", "tree", "--query-encoder", str(other)])
    assert refused.exit_code == 1
    for part in (Encoder.load(member).space, Encoder.load(other).space, f"query with --query-encoder {tiny_folder}"):
        assert part in refused.stderr
    refused = run(main, ["index", "words.txt", "-o", "wide", "--encoder", str(tiny_folder), "--dim", "99"])
    assert "dim: expected 1..16 (width of encoder tiny), got 99" in refused.stderr
    assert not Path("wide").exists()
    run(main, ["encode", "words.txt", "-o", "v.npy", "--encoder", str(tiny_folder), "--dim", "4"])
    np.testing.assert_array_equal(np.load("v.npy"), Encoder.load(tiny_folder, dim=4).encode([TEXTS[0], "the old tree"]))
