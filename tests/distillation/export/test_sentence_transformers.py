"""Folders for sentence-transformers: opened module by module with transformers, and by itself where it is installed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file
from tiny_encoder import make_tiny_encoder, make_tiny_static
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

from hpdsearch.cli import main
from hpdsearch.distillation.export.sentence_transformers import write_sentence_transformers
from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder import DEFAULT_ENCODER, Encoder
from hpdsearch.encoder.query_adapter import QueryAdapter, write_query_adapter
from hpdsearch.errors import EncoderError

TEXTS = ["the cat sings on the old tree", "a star", "Fire, wind & rain: the king!", "zebra 42"]


@pytest.fixture(params=["bert", "static"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make = make_tiny_static if request.param == "static" else make_tiny_encoder
    return make(tmp_path / "encoder", precision=Precision.INT8)


def vectors_by_modules(folder: Path, texts: list[str]) -> np.ndarray:
    """Encode as sentence-transformers does: every module of modules.json in turn, on one padded batch."""
    values = np.empty(0)
    for entry in json.loads((folder / "modules.json").read_text()):
        place = folder / entry["path"]
        config = json.loads((place / "config.json").read_text()) if (place / "config.json").exists() else {}
        match entry["type"].rpartition(".")[2]:
            case "Transformer":
                limit = json.loads((place / "sentence_bert_config.json").read_text())["max_seq_length"]
                tokenizer, model = AutoTokenizer.from_pretrained(place), AutoModel.from_pretrained(place).eval()
                batch = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
                with torch.inference_mode():
                    values = model(**batch).last_hidden_state.numpy()
                mask = batch["attention_mask"].numpy()
            case "Pooling":
                assert config == {"word_embedding_dimension": values.shape[2], "pooling_mode_mean_tokens": True}
                values = (values * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            case "Dense":
                assert (config["bias"], config["activation_function"]) == (False, "torch.nn.modules.linear.Identity")
                values = values @ load_file(place / "model.safetensors")["linear.weight"].T
            case "StaticEmbedding":
                tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
                table = load_file(place / "model.safetensors")["embedding.weight"]
                encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
                values = np.stack([table[encoding.ids].mean(axis=0) for encoding in encodings])
            case "Normalize":
                values = values / np.linalg.norm(values, axis=1, keepdims=True)
    return values


@pytest.mark.parametrize("dim", [None, 5])
def test_the_modules_give_the_vectors_of_the_encoder(folder: Path, tmp_path: Path, dim: int | None) -> None:
    write_sentence_transformers(folder, tmp_path / "out", dim=dim)
    expected = Encoder.load(folder, dim=dim).encode(TEXTS)
    shutil.rmtree(folder)  # the written folder does not need the encoder folder
    np.testing.assert_allclose(vectors_by_modules(tmp_path / "out", TEXTS), expected, atol=2e-5)


def test_an_encoder_folder_can_be_opened_both_ways(folder: Path) -> None:
    before = Encoder.load(folder)
    assert write_sentence_transformers(folder) == folder
    after = Encoder.load(folder)
    assert (after.sha256, after.name) == (before.sha256, before.name)
    np.testing.assert_array_equal(after.encode(TEXTS), before.encode(TEXTS))
    np.testing.assert_allclose(vectors_by_modules(folder, TEXTS), after.encode(TEXTS), atol=2e-5)
    write_sentence_transformers(folder)  # again, over the first


def test_sentence_transformers_itself_opens_both_kinds(folder: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    for output, dim in ((tmp_path / "out", 7), (None, None)):
        place = write_sentence_transformers(folder, output, dim=dim)
        vectors = library.SentenceTransformer(str(place), device="cpu").encode(TEXTS)
        np.testing.assert_allclose(vectors, Encoder.load(folder, dim=dim).encode(TEXTS), atol=1e-4)


def test_the_command_exports_into_a_new_folder_only(tmp_path: Path, folder: Path) -> None:
    output = tmp_path / "out"
    result = CliRunner().invoke(main, ["export", str(folder), str(output), "--dim", "4"])
    assert (result.exit_code, f'SentenceTransformer("{output}")' in result.stdout) == (0, True)
    assert vectors_by_modules(output, TEXTS).shape == (4, 4)
    assert result.stderr == ""
    result = CliRunner().invoke(main, ["export", str(folder), str(output)])
    assert (result.exit_code, "expected a new or empty folder" in result.stderr) == (1, True)
    with pytest.raises(EncoderError, match=r"dim: expected 1\.\.16"):
        write_sentence_transformers(folder, tmp_path / "other", dim=17)
    assert not (tmp_path / "other").exists()


def test_the_command_says_that_a_query_adapter_is_left_out(tmp_path: Path, folder: Path) -> None:
    shutil.copytree(folder, tmp_path / "adapted")
    write_query_adapter(tmp_path / "adapted", QueryAdapter(np.ones(16, np.float32), np.ones(16, np.float32)))
    result = CliRunner().invoke(main, ["export", str(tmp_path / "adapted"), str(tmp_path / "out")])
    assert result.exit_code == 0
    assert result.stderr.startswith("note: it encodes queries as documents; hpdsearch encode --queries")
    expected = Encoder.load(tmp_path / "adapted").encode(TEXTS)
    np.testing.assert_allclose(vectors_by_modules(tmp_path / "out", TEXTS), expected, atol=1e-4)


def test_the_default_encoder_exports_without_warnings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        vectors = vectors_by_modules(write_sentence_transformers(DEFAULT_ENCODER, tmp_path / "out"), TEXTS)
    assert not caplog.text
    np.testing.assert_allclose(vectors, Encoder.load(DEFAULT_ENCODER).encode(TEXTS), atol=2e-5)
