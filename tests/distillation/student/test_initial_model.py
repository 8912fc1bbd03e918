import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoder import HIDDEN, MAX_TOKENS, make_tiny_encoder, make_tiny_static, tiny_bert, tiny_space
from tiny_teacher import make_plain_teacher, make_tiny_teacher
from transformers import AutoModel

from hpdsearch.distillation.spec import Precision
from hpdsearch.distillation.student.initial_model import InitialModel, load_initial_model, select_layers
from hpdsearch.errors import DistillError, EncoderError

POSITIONS = "embeddings.position_embeddings.weight"
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a BERT folder as transformers saves it."""
    return make_plain_teacher(tmp_path_factory.mktemp("bert") / "tiny-bert")


def test_a_bert_folder_gives_its_weights_without_pooler_and_head(bert):
    init_model = load_initial_model(bert, max_tokens=20)
    model = AutoModel.from_pretrained(bert).state_dict()
    for name, tensor in init_model.tensors.items():
        assert tensor.dtype == np.float32
        if name != POSITIONS:
            np.testing.assert_array_equal(tensor, model[name].numpy())
    types = model["embeddings.token_type_embeddings.weight"][0]
    np.testing.assert_array_equal(init_model.tensors[POSITIONS], (model[POSITIONS][:22] + types).numpy())
    left_out = {name for name in model if name not in init_model.tensors}
    assert {name.split(".")[0] for name in left_out} <= {"pooler", "embeddings"}
    assert (init_model.name, init_model.hidden, init_model.n_heads, init_model.max_tokens, init_model.space) == (
        "tiny-bert",
        32,
        4,
        20,
        None,
    )
    assert init_model.epsilon == 1e-12
    assert init_model.tokenizer.encode("the cat").tokens == ["[CLS]", "the", "cat", "[SEP]"]


def test_a_sentence_transformers_folder_is_an_initial_model_too(tmp_path, bert):
    init_model = load_initial_model(make_tiny_teacher(tmp_path / "st"), max_tokens=20)
    assert init_model.tensors.keys() == load_initial_model(bert, max_tokens=20).tensors.keys()


def test_half_precision_padding_and_truncation_settings_of_a_folder_are_ignored(tmp_path):
    folder = make_plain_teacher(tmp_path / "half")
    before = load_initial_model(folder, max_tokens=20)
    weights = {name: tensor.bfloat16() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = before.tokenizer
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(folder / "tokenizer.json"))
    init_model = load_initial_model(folder, max_tokens=20)
    np.testing.assert_allclose(init_model.tensors[WORDS], before.tensors[WORDS], rtol=0.01)
    assert init_model.tokenizer.encode("the cat and dog").tokens == ["[CLS]", "the", "cat", "and", "dog", "[SEP]"]


@pytest.mark.parametrize("precision", Precision)
def test_weights_and_head_of_an_encoder_folder_are_loaded(tmp_path, precision):
    folder = make_tiny_encoder(tmp_path / "tiny", dim=6, precision=precision)
    init_model = load_initial_model(folder, max_tokens=5)
    given = tiny_bert()
    given |= {
        POSITIONS: given[POSITIONS][: MAX_TOKENS + 2] + given["embeddings.token_type_embeddings.weight"][0],
        "head.weight": np.random.default_rng(0).normal(size=(6, HIDDEN)).astype(np.float32),
    }
    assert given.keys() - init_model.tensors.keys() == {"embeddings.token_type_embeddings.weight"}
    for name, tensor in init_model.tensors.items():
        step = np.abs(given[name]).max() / 127 if precision is Precision.INT8 else 0
        np.testing.assert_allclose(tensor, given[name], atol=0.51 * step, rtol=0)
    assert (init_model.name, init_model.space, init_model.max_tokens) == (
        "tiny",
        tiny_space(),
        MAX_TOKENS,
    )  # the encoder's own window
    assert (init_model.hidden, init_model.n_heads) == (HIDDEN, 4)


def six_layers() -> InitialModel:
    """Return an initial model of six layers, each of which holds its number."""
    tensors = {WORDS: np.ones((3, 2)), POSITIONS: np.ones((4, 2)), "head.weight": np.ones((2, 2))}
    for number in range(6):
        tensors |= {f"encoder.layer.{number}.{part}": np.full((2, 2), number) for part in LAYER}
    return InitialModel("six", tensors, n_heads=1, epsilon=0, tokenizer=None, max_tokens=2, space=None)  # type: ignore[arg-type]


LAYER = ("attention.self.query.weight", "output.dense.weight")


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (1, [0]),
        (2, [0, 5]),
        (3, [0, 2, 5]),
        (4, [0, 2, 3, 5]),
        (6, [0, 1, 2, 3, 4, 5]),
        ((5, 1), [5, 1]),
        ((3,), [3]),
    ],
)
def test_layers_are_chosen_evenly_or_by_their_numbers(layers, expected):
    kept = select_layers(six_layers(), layers)
    for part in LAYER:
        assert [kept[f"encoder.layer.{new}.{part}"][0, 0] for new in range(len(expected))] == expected
    assert len(kept) == 3 + len(LAYER) * len(expected)
    np.testing.assert_array_equal(kept[WORDS], np.ones((3, 2)))


@pytest.mark.parametrize("layers", [0, 7, -1, (), (6,), (0, -1)])
def test_missing_layers_are_refused(layers):
    with pytest.raises(DistillError, match=r"layers: expected .*0?\.\.[56] \(layers of six\), got"):
        select_layers(six_layers(), layers)


def test_models_that_are_not_bert_like_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("no-such-model", "org/no-such-model", str(tmp_path / "nowhere")):
        with pytest.raises(DistillError, match=f"student {name}: expected a built-in encoder .*got: "):
            load_initial_model(name)
    with pytest.raises(DistillError, match=r"expected a BERT-like model .* got mpnet with gelu"):
        load_initial_model(make_plain_teacher(tmp_path / "mpnet", mpnet=True), max_tokens=20)
    with pytest.raises(DistillError, match="expected a Transformer as the student, got a static encoder"):
        load_initial_model(make_tiny_static(tmp_path / "static"))


def test_a_window_is_no_longer_than_the_position_table(tmp_path):
    assert load_initial_model(make_plain_teacher(tmp_path / "short"), max_tokens=39).max_tokens == 38


def test_damaged_folders_are_refused(tmp_path):
    relu = make_plain_teacher(tmp_path / "relu")
    config = json.loads((relu / "config.json").read_text())
    (relu / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with pytest.raises(DistillError, match="got bert with relu"):
        load_initial_model(relu, max_tokens=20)
    partial = make_plain_teacher(tmp_path / "partial")
    weights = load_file(partial / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DistillError, match=r"weights of 1 tensors are missing.*layer.1.output.dense"):
        load_initial_model(partial, max_tokens=20)
    (partial / "model.safetensors").unlink()
    with pytest.raises(DistillError, match=f"student {partial}"):
        load_initial_model(partial, max_tokens=20)
    altered = make_tiny_encoder(tmp_path / "altered")
    content = bytearray((altered / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (altered / "model.safetensors").write_bytes(content)
    with pytest.raises(EncoderError, match="altered or truncated"):
        load_initial_model(altered)


def test_a_tokenizer_without_two_special_tokens_is_refused(tmp_path):
    folder = make_plain_teacher(tmp_path / "bare")
    fields = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(fields | {"post_processor": None}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    with pytest.raises(DistillError, match="one special token before a text and one after, got 0"):
        load_initial_model(folder, max_tokens=20)


def test_the_names_of_tensors_are_those_of_the_encoder_format(bert, tmp_path):
    encoder = load_initial_model(make_tiny_encoder(tmp_path / "tiny"))
    assert load_initial_model(bert, max_tokens=20).tensors.keys() == encoder.tensors.keys() - {"head.weight"}
    assert not any(torch.is_tensor(tensor) for tensor in encoder.tensors.values())
