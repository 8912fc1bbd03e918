"""Encoders with prompts; the same encoder without prompts, which reads prompt and text as one text, is the oracle."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny_encoder import WORDS, make_tiny_encoder

from hpdsearch import Document, Encoder, Index
from hpdsearch.cli import main
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.folder import read_card
from hpdsearch.errors import EncoderError

TEXTS = ["the cat sleeps", "", "ship", "the old king of the red ship"]
STORED = 1e-3  # float16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an encoder folder with prompts and the weights of the tiny encoder."""
    return make_tiny_encoder(
        tmp_path_factory.mktemp("encoders") / "prompted", query_prompt="song: ", document_prompt="book of: "
    )


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_prompt_is_read_before_each_text(folder: Path, tiny_encoder: Encoder, backend: str) -> None:
    encoder = Encoder.load(folder, backend=backend, device="cpu")
    pairs: list[tuple[Callable[[list[str]], Matrix], str]] = [
        (encoder.encode, "book of: "),
        (encoder.encode_queries, "song: "),
    ]
    for encode, prompt in pairs:
        np.testing.assert_allclose(encode(TEXTS), tiny_encoder.encode([prompt + text for text in TEXTS]), atol=2e-6)
    narrow = encoder.truncate(5)
    expected = encoder.encode_queries(TEXTS)[:, :5]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(narrow.encode_queries(TEXTS), expected, atol=1e-6)


def test_each_window_of_a_long_text_has_the_prompt(folder: Path) -> None:
    encoder = Encoder.load(folder)
    words = WORDS[: encoder.max_tokens + 5]
    windows = [" ".join(words[: encoder.max_tokens]), " ".join(words[encoder.max_tokens :])]
    first, second = encoder.encode_queries(windows)
    mean = encoder.max_tokens * first + 5 * second
    np.testing.assert_allclose(encoder.encode_queries([" ".join(words)])[0], mean / np.linalg.norm(mean), atol=2e-6)


def test_without_prompts_queries_are_encoded_as_documents(tiny_encoder: Encoder) -> None:
    np.testing.assert_array_equal(tiny_encoder.encode_queries(TEXTS), tiny_encoder.encode(TEXTS))


def test_an_index_is_searched_with_the_query_prompt_in_any_process(
    folder: Path, tmp_path: Path, tiny_encoder: Encoder
) -> None:
    documents = [Document(str(number), text) for number, text in enumerate(("the cat sleeps. A dog runs", "ship"))]
    Index.build(tmp_path / "index", documents, encoder=folder).close()
    query = tiny_encoder.encode(["song: old cat"])[0]
    expected = sorted(tiny_encoder.encode([f"book of: {document.text}" for document in documents]) @ query)[::-1]
    command = ["query", "old cat", "-i", str(tmp_path / "index"), "--mode", "dense", "--json"]
    code = f"from hpdsearch.cli import main; main({command!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = [hit["score"] for line in result.stdout.splitlines() for hit in json.loads(line)["hits"]]
    np.testing.assert_allclose(found, expected, atol=STORED)
    with Index.open(tmp_path / "index") as index:
        hits = index.search("old cat", mode="dense", explain=True)
        np.testing.assert_allclose([hit.score for hit in hits], expected, atol=STORED)
        sentences = tiny_encoder.encode(["book of: the cat sleeps.", "book of: A dog runs"]) @ query
        explanation = next(hit.explanation for hit in hits if hit.doc_id == "0")
        assert explanation is not None
        assert explanation.sentence_cosine == pytest.approx(float(sentences.max()), abs=1e-5)
        index.add([Document("2", "a dog runs")])
        score = next(hit.score for hit in index.search("old cat", mode="dense") if hit.doc_id == "2")
        assert score == pytest.approx(float(tiny_encoder.encode(["book of: a dog runs"])[0] @ query), abs=STORED)


def test_the_command_encode_encodes_documents_or_queries(folder: Path, tmp_path: Path, tiny_encoder: Encoder) -> None:
    (tmp_path / "texts.txt").write_text("the cat sleeps\nship\n")
    for options, prompt in (([], "book of: "), (["--queries"], "song: ")):
        arguments = ["encode", str(tmp_path / "texts.txt"), "--encoder", str(folder), *options]
        result = CliRunner().invoke(main, arguments)
        found = [json.loads(line) for line in result.stdout.splitlines()]
        expected = tiny_encoder.encode([f"{prompt}the cat sleeps", f"{prompt}ship"])
        np.testing.assert_allclose(found, expected, atol=3e-6)


def test_prompts_are_in_a_card_of_format_2(folder: Path, tiny_folder: Path) -> None:
    card = read_card(folder)
    assert (card.format, card.query_prompt, card.document_prompt) == (2, "song: ", "book of: ")
    plain = read_card(tiny_folder)
    assert (plain.format, plain.query_prompt, plain.document_prompt) == (1, "", "")
    assert "query_prompt" not in (tiny_folder / "encoder.json").read_text()
    assert card.space == plain.space


def test_a_model_that_is_no_encoder_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match=f"hpdsearch adopt '{tmp_path}/my model'"):
        Encoder.load(tmp_path / "my model")
    with pytest.raises(EncoderError, match=r"hpdsearch adopt BAAI/bge-small-en-v1\.5, then --encoder encoders/bge-s"):
        Encoder.load("BAAI/bge-small-en-v1.5")
    with pytest.raises(EncoderError, match=r"found neither$"):
        Encoder.load("bsae")
