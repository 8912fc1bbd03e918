"""The encoders of an index: of the documents, of the queries, of another space, missing or with too few dimensions."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from brute_force import assert_best, compute_dense_scores, read_passages
from index_folders import DOCUMENTS
from tiny_encoder import make_tiny_encoder

from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder import Encoder
from hpdsearch.errors import EncoderError
from hpdsearch.index import Index
from hpdsearch.records import Document


def test_the_error_for_an_encoder_of_another_space_names_the_command_to_run(
    folder: Path, tmp_path: Path, tiny_encoder: Encoder, tiny_folder: Path
) -> None:
    other = Encoder.load(make_tiny_encoder(tmp_path / "other", space_seed=5))
    message = (
        f"{folder}: holds vectors of space {tiny_encoder.space} (encoder {tiny_folder}), but encoder tiny is of space "
        f"{other.space}; query with --query-encoder {tiny_folder}, or index again with --overwrite --encoder "
        f"{tmp_path / 'other'}"
    )
    with pytest.raises(EncoderError) as caught:
        Index.open(folder, encoder=other)
    assert str(caught.value) == message
    with Index.open(folder, encoder=tmp_path / "other") as index:
        assert index.search("cat", mode="lexical")
        for mode in ("dense", "hybrid"):
            with pytest.raises(EncoderError) as caught:
                index.search("cat", mode=mode)
            assert str(caught.value) == message


def test_an_encoder_of_too_few_dimensions_is_refused(folder: Path, tmp_path: Path) -> None:
    narrow = make_tiny_encoder(tmp_path / "narrow", dim=8)
    with pytest.raises(EncoderError, match=r"holds vectors of 16 dimensions .* but encoder tiny has only 8"):
        Index.open(folder, encoder=Encoder.load(narrow))


def test_queries_may_be_encoded_by_another_encoder_of_the_space(
    folder: Path, tmp_path: Path, tiny_encoder: Encoder
) -> None:
    student = Encoder.load(make_tiny_encoder(tmp_path / "int8", precision=Precision.INT8))
    assert student.sha256 != tiny_encoder.sha256
    with Index.open(folder, encoder=student) as index:
        passages = read_passages(folder, tiny_encoder)
        assert_best(
            index.search("cat dog", 7, mode="dense"), compute_dense_scores(passages, student.encode(["cat dog"])[0]), 7
        )
        index.add([Document("new", "the iron queen sings")])
        assert ("new", "the iron queen sings") in read_passages(folder, tiny_encoder)  # by the documents' encoder
        assert index.info().encoder_sha256 == tiny_encoder.sha256


def test_the_error_for_a_replaced_encoder_says_to_index_again(tmp_path: Path) -> None:
    """A release may replace the built-in encoders and their space."""
    encoder_folder = make_tiny_encoder(tmp_path / "encoder")
    Index.build(tmp_path / "index", DOCUMENTS, encoder=encoder_folder).close()
    shutil.rmtree(encoder_folder)
    make_tiny_encoder(encoder_folder, space_seed=5)
    with Index.open(tmp_path / "index") as index:
        assert index.search("cat", mode="lexical")
        advice = f"the encoder was replaced; index again with --overwrite --encoder {encoder_folder}"
        with pytest.raises(EncoderError, match=f"is of space .*; {advice}$"):
            index.search("cat")


def test_without_its_encoder_an_index_still_answers_lexical_queries(tmp_path: Path) -> None:
    encoder_folder = make_tiny_encoder(tmp_path / "encoder")
    Index.build(tmp_path / "index", DOCUMENTS, encoder=encoder_folder).close()
    encoder_folder.rename(tmp_path / "moved")
    with Index.open(tmp_path / "index") as index:
        assert index.search("cat", mode="lexical")
        assert index.delete("d00000") == 1
        with pytest.raises(EncoderError, match=str(encoder_folder)):
            index.search("cat")
        with pytest.raises(EncoderError, match=str(encoder_folder)):
            index.add([Document("x", "cat")])
    with Index.open(tmp_path / "index", encoder=tmp_path / "moved") as index:
        assert len(index.search("cat", 100)) == 29


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """Return the new place of the encoder of the index tmp_path/index."""
    Index.build(tmp_path / "index", DOCUMENTS, encoder=make_tiny_encoder(tmp_path / "encoder")).close()
    return (tmp_path / "encoder").rename(tmp_path / "moved")


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_moved_encoder_is_found_and_its_new_place_is_stored(tmp_path: Path, moved: Path, is_loaded: bool) -> None:
    encoder = Encoder.load(moved)
    with Index.open(tmp_path / "index", document_encoder=encoder if is_loaded else moved) as index:
        assert index.search("cat", mode="dense")
        before = index.info()
        index.add([Document("new", "the iron queen sings")])
    with Index.open(tmp_path / "index") as index:
        assert index.search("the iron queen sings", 1, mode="dense")[0].doc_id == "new"
        index.add([Document("newer", "the iron king sings")])
        assert ("newer", "the iron king sings") in read_passages(tmp_path / "index", encoder)
        after = index.info()
    assert (before.encoder, after.encoder) == (str(tmp_path / "encoder"), str(moved))
    assert (before.encoder_sha256, before.space) == (after.encoder_sha256, after.space)


def test_an_update_that_changes_nothing_stores_the_new_place_too(tmp_path: Path, moved: Path) -> None:
    with Index.open(tmp_path / "index", document_encoder=moved) as index:
        index.update([], under=tmp_path / "nothing")
        assert index.info().encoder == str(moved)
        generation = index.info().generation
        index.update([], under=tmp_path / "nothing")
        assert index.info().generation == generation


@pytest.mark.parametrize(
    ("other", "space"), [({"precision": Precision.INT8}, "the same"), ({"space_seed": 5}, "another")]
)
@pytest.mark.parametrize("is_loaded", [False, True])
def test_another_encoder_cannot_take_the_place_of_the_documents_encoder(
    tmp_path: Path, moved: Path, other: dict[str, Any], space: str, is_loaded: bool
) -> None:
    folder = make_tiny_encoder(tmp_path / "other", **other)
    foreign = Encoder.load(folder)
    stored = Encoder.load(moved)
    with Index.open(tmp_path / "index") as index:
        before = index.info()

    def add() -> None:
        with Index.open(tmp_path / "index", document_encoder=foreign if is_loaded else folder) as index:
            index.add([Document("new", "the iron queen sings")])

    with pytest.raises(EncoderError) as caught:
        add()
    assert str(caught.value) == (
        f"{tmp_path / 'index'}: its documents were encoded by {tmp_path / 'encoder'} ({stored.sha256}), but {folder} "
        f"is another encoder ({foreign.sha256}) of {space} space; name a folder that holds the encoder of the "
        f"documents, or index again with --overwrite --encoder {folder}"
    )
    with Index.open(tmp_path / "index") as index:
        assert index.info() == before


def test_the_errors_for_a_missing_encoder_name_the_option_to_use(tmp_path: Path, moved: Path) -> None:
    with Index.open(tmp_path / "index") as index:
        with pytest.raises(EncoderError, match=r"/encoder: expected .* found neither; if it has moved, .* --encoder "):
            index.add([Document("x", "cat")])
        with pytest.raises(EncoderError, match=r"/encoder: expected .* found neither; .* --query-encoder; --mode lex"):
            index.search("cat")


@pytest.mark.parametrize("has_own_encoder", [False, True])
def test_after_an_overwrite_in_another_space_queries_are_encoded_in_that_space(
    folder: Path, tmp_path: Path, tiny_encoder: Encoder, has_own_encoder: bool
) -> None:
    other = Encoder.load(make_tiny_encoder(tmp_path / "other", space_seed=5))
    with Index.open(folder, encoder=tiny_encoder if has_own_encoder else None) as index:
        before = index.search("cat dog", 5, mode="dense")
        Index.build(folder, DOCUMENTS, encoder=other, overwrite=True).close()
        assert index.search("cat dog", 5, mode="dense") == before
        index.delete("d00000")
        if has_own_encoder:
            with pytest.raises(EncoderError, match="holds vectors of space"):
                index.search("cat dog", mode="dense")
        else:
            scores = compute_dense_scores(read_passages(folder, other), other.encode(["cat dog"])[0])
            assert_best(index.search("cat dog", 5, mode="dense"), scores, 5)
            index.add([Document("new", "the iron queen sings")])
            assert ("new", "the iron queen sings") in read_passages(folder, other)


def test_a_change_with_another_backend_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny", precision=Precision.INT8)
    float32, int8 = (Encoder.load(folder, backend=backend) for backend in ("onnx", "onnx-int8"))
    Index.build(tmp_path / "index", [Document("1", "the cat sings")], encoder=float32).close()
    for encoder, is_warned in ((float32, False), (int8, True)):
        with Index.open(tmp_path / "index", encoder=encoder) as index:
            index.add([Document("2", f"fire and rain {encoder.backend}")])
            assert index.info().backend == "onnx"
        assert ("the backend onnx encoded the index, and onnx-int8 encodes" in caplog.text) == is_warned
