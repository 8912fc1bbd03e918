"""Models of each family become encoders whose vectors are those of transformers."""

import gzip
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_distillation import make_texts
from tiny_encoder import WORDS
from tiny_models import LONGEST, encode_by_hand, make_tiny_model
from tiny_teacher import HIDDEN, make_plain_teacher, make_tiny_teacher, write_json

from hpdsearch.distillation.adoption import SAMPLE, Adopted, adopt
from hpdsearch.distillation.export.sentence_transformers import write_sentence_transformers
from hpdsearch.distillation.pipeline import distill
from hpdsearch.distillation.spec import AdoptSpec, DistillSpec, Precision, TrainingSpec
from hpdsearch.distillation.student.initial_model import load_initial_model
from hpdsearch.distillation.teacher.prompts import find_family
from hpdsearch.distillation.teacher.teacher import Teacher
from hpdsearch.encoder import Encoder, EncoderType, read_space
from hpdsearch.errors import DistillError, EncoderError, ShapeError

FLOAT32 = AdoptSpec(precision=Precision.FLOAT32, n_checked=40)
TEXTS = ["the cat sleeps", "ship", "the old king of the red ship in the rain", "a dog and a bird", "iron"]
PROMPTS = {"query": "song: ", "document": "book: "}
ROUNDING = 2e-6  # float32, two layers


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid downloads; the hub's client reads the environment variable HF_HUB_OFFLINE when it is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def run(model: Path, folder: Path, spec: AdoptSpec = FLOAT32, **options: Any) -> Adopted:
    options = {"texts": make_texts(), "cache": folder.parent / "cache", "device": "cpu"} | options
    return adopt(model, folder, spec=spec, **options)


# The families that are stored under BERT's names; the others are recorded by torch, which takes ten seconds each.
@pytest.mark.parametrize("family", ["bert", "mpnet", "distilbert", "xlm-roberta"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_relative_of_bert_has_the_vectors_of_transformers(tmp_path, family, pooling):
    model = make_tiny_model(tmp_path / "model", family, pooling=pooling)
    adopted = run(model, tmp_path / "encoder")
    expected = encode_by_hand(model, TEXTS, pooling=pooling).numpy()
    assert adopted.encoder.kind is EncoderType.BERT
    np.testing.assert_allclose(adopted.encoder.encode(TEXTS), expected, atol=ROUNDING)
    in_torch = Encoder.load(tmp_path / "encoder", backend="torch", device="cpu")
    np.testing.assert_allclose(in_torch.encode(TEXTS), expected, atol=ROUNDING)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "pooling"),
    [("modernbert", "cls"), ("qwen2", "lasttoken"), ("qwen3", "lasttoken"), ("bert", "lasttoken")],
)
def test_another_architecture_is_exported_as_a_graph(tmp_path, family, pooling):
    model = make_tiny_model(tmp_path / "model", family, pooling=pooling, prompts=PROMPTS)
    adopted = run(model, tmp_path / "encoder")
    encoder = adopted.encoder
    assert encoder.kind is EncoderType.ONNX
    for encode, prompt in ((encoder.encode, "book: "), (encoder.encode_queries, "song: ")):
        expected = encode_by_hand(model, TEXTS, pooling=pooling, prompt=prompt).numpy()
        np.testing.assert_allclose(encode(TEXTS), expected, atol=ROUNDING)
    together = encoder.encode(make_texts(60))
    apart = np.concatenate([encoder.encode([text]) for text in make_texts(60)])
    np.testing.assert_allclose(together, apart, atol=ROUNDING)  # a vector does not depend on its batch
    with pytest.raises(EncoderError, match="is an exported graph, which torch cannot run; use the backend onnx"):
        Encoder.load(tmp_path / "encoder", backend="torch")
    int8 = run(model, tmp_path / "int8", replace(FLOAT32, precision=Precision.INT8))
    assert int8.comparison.cosine > 0.999
    assert int8.size_bytes < 0.8 * adopted.size_bytes
    together = int8.encoder.encode(make_texts(60))
    apart = np.concatenate([int8.encoder.encode([text]) for text in make_texts(60)])
    np.testing.assert_allclose(together, apart, atol=ROUNDING)


@pytest.mark.slow
def test_equal_models_give_equal_bytes(tmp_path):
    for family in ("mpnet", "modernbert"):
        model = make_tiny_model(tmp_path / family, family)
        folders = [run(model, tmp_path / f"{family}{number}" / "encoder").folder for number in range(2)]
        cards = [(folder / "encoder.json").read_bytes() for folder in folders]
        assert cards[0] == cards[1]


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_queries_and_documents_have_their_prompts_in_every_window(tmp_path, family):
    model = make_tiny_model(tmp_path / "model", family, prompts=PROMPTS)
    encoder = run(model, tmp_path / "encoder").encoder
    assert (encoder.query_prompt, encoder.document_prompt) == ("song: ", "book: ")
    assert encoder.max_tokens == LONGEST - 2 - 2  # special tokens, and the prompt's word and colon
    for encode, prompt in ((encoder.encode, "book: "), (encoder.encode_queries, "song: ")):
        expected = encode_by_hand(model, TEXTS, prompt=prompt).numpy()
        np.testing.assert_allclose(encode(TEXTS), expected, atol=ROUNDING)
    words = (WORDS * 3)[: encoder.max_tokens + 10]  # one token each
    windows = [" ".join(words[: encoder.max_tokens]), " ".join(words[encoder.max_tokens :])]
    first, second = encode_by_hand(model, windows, prompt="book: ").numpy()
    mean = encoder.max_tokens * first + 10 * second
    np.testing.assert_allclose(encoder.encode([" ".join(words)])[0], mean / np.linalg.norm(mean), atol=ROUNDING)
    if family == "bert":  # a unigram tokenizer makes a token of the space behind a prompt that has no text
        blank = encode_by_hand(model, [""], prompt="book: ").numpy()
        np.testing.assert_allclose(encoder.encode([""]), blank, atol=ROUNDING)


def test_old_readers_refuse_what_they_would_compute_differently(tmp_path):
    formats = {}
    for name, options in (("plain", {}), ("cls", {"pooling": "cls"}), ("prompts", {"prompts": PROMPTS})):
        run(make_tiny_model(tmp_path / name, "bert", **options), tmp_path / f"{name}-encoder")
        formats[name] = json.loads((tmp_path / f"{name}-encoder" / "encoder.json").read_text())["format"]
    assert formats == {"plain": 1, "cls": 2, "prompts": 2}


@pytest.mark.parametrize(
    ("dense", "activations", "kind"),
    [
        ([(24, "linear.Identity")], [lambda x: x], EncoderType.BERT),
        ([(24, "linear.Identity"), (20, "linear.Identity")], [lambda x: x] * 2, EncoderType.BERT),
        pytest.param([(24, "activation.Tanh")], [torch.tanh], EncoderType.ONNX, marks=pytest.mark.slow),
    ],
)
def test_dense_modules_are_part_of_the_encoder(tmp_path, dense, activations, kind):
    model = make_tiny_model(tmp_path / "model", "bert", dense=dense)
    adopted = run(model, tmp_path / "encoder")
    expected = encode_by_hand(model, TEXTS, activations=activations).numpy()
    assert adopted.encoder.kind is kind
    np.testing.assert_allclose(adopted.encoder.encode(TEXTS), expected, atol=ROUNDING)


def test_int8_is_near_and_float32_is_the_model(tmp_path):
    model = make_tiny_model(tmp_path / "model", "mpnet")
    spec = replace(FLOAT32, n_checked=200)
    int8 = run(model, tmp_path / "int8", replace(spec, precision=Precision.INT8))
    float32 = run(model, tmp_path / "float32", spec)
    assert 0.999 < int8.comparison.cosine < float32.comparison.cosine
    assert int8.comparison.int8_cosine is not None
    assert float32.comparison.neighbors == 1.0
    originals = encode_by_hand(model, TEXTS).numpy()
    assert ((int8.encoder.encode(TEXTS) * originals).sum(axis=1) > 0.998).all()
    stored = json.loads((tmp_path / "int8" / "quality.json").read_text())
    assert stored == int8.comparison.as_dict()
    assert stored["cosine"] == pytest.approx(int8.comparison.cosine, abs=1e-6)
    assert f"{int8.comparison.cosine:.4f}" in (tmp_path / "int8" / "README.md").read_text()


def test_an_encoder_that_differs_from_the_model_is_not_written(tmp_path):
    model = make_tiny_model(tmp_path / "model", "bert")
    strict = replace(FLOAT32, precision=Precision.INT8, min_cosine=0.9999999)
    with pytest.raises(DistillError, match=r"mean cosine of at least 0.9999999 .* got 0\.99\d+ .*--precision float32"):
        run(model, tmp_path / "encoder", strict)
    assert not (tmp_path / "encoder").exists()
    made = run(model, tmp_path / "encoder").encoder
    with pytest.raises(DistillError, match="precision float32"):
        run(model, tmp_path / "encoder", strict, overwrite=True)
    assert Encoder.load(tmp_path / "encoder").sha256 == made.sha256
    assert not (tmp_path / "encoder" / "training").exists()


def test_fewer_dimensions_are_the_leading_directions_of_the_texts(tmp_path):
    model = make_tiny_model(tmp_path / "model", "bert")
    texts = make_texts(300)
    adopted = run(model, tmp_path / "encoder", replace(FLOAT32, dim=12), texts=texts)
    assert adopted.encoder.dim == 12
    assert adopted.explained_energy is not None
    components = read_space(tmp_path / "encoder" / "space").components
    order = np.random.default_rng(0).permutation(300)
    fitted = encode_by_hand(model, [texts[row] for row in order[40:]]).numpy().astype(np.float64)
    values, vectors = np.linalg.eigh(fitted.T @ fitted)
    leading = vectors.T[::-1][:12]
    np.testing.assert_allclose(np.abs((components * leading).sum(axis=1)), 1, atol=1e-3)  # float16 in the cache
    assert adopted.explained_energy == pytest.approx(values[::-1][:12].sum() / values.sum(), abs=1e-3)
    projected = encode_by_hand(model, TEXTS).numpy() @ components.T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(adopted.encoder.encode(TEXTS), projected, atol=ROUNDING)


def test_a_projected_model_is_a_space_to_distill_into(tmp_path):
    model = make_tiny_model(tmp_path / "model", "bert", prompts=PROMPTS)
    adopted = run(model, tmp_path / "encoder", replace(FLOAT32, dim=12), texts=make_texts(300))
    made = distill(
        make_texts(300),
        teacher=model,
        student=make_plain_teacher(tmp_path / "student"),
        output=tmp_path / "trained",
        spec=DistillSpec(training=TrainingSpec(epochs=0.5, batch_size=24, bfloat16=False)),
        space=tmp_path / "encoder",
        cache=tmp_path / "cache",
        force=True,
        device="cpu",
    )
    assert made.space.id == adopted.space.id == Encoder.load(tmp_path / "trained").space


def test_a_model_maps_into_an_existing_space_of_it_alone(tmp_path):
    model = make_tiny_model(tmp_path / "model", "bert")
    first = run(model, tmp_path / "first", replace(FLOAT32, dim=12), texts=make_texts(300))
    for name in ("first", "first/space"):
        second = run(model, tmp_path / f"second-{Path(name).name}", space=tmp_path / name, texts=None)
        assert second.encoder.space == first.encoder.space
        np.testing.assert_array_equal(second.encoder.encode(TEXTS), first.encoder.encode(TEXTS))
    other = make_tiny_model(tmp_path / "other", "mpnet")
    with pytest.raises(DistillError, match=r"space: expected one of other .* got one of model"):
        run(other, tmp_path / "third", space=tmp_path / "first")
    with pytest.raises(DistillError, match=r"space: expected one of model .* got one of all-mpnet-base-v2"):
        run(model, tmp_path / "third", space="base")
    with pytest.raises(DistillError, match="either a space or the width"):
        run(model, tmp_path / "third", replace(FLOAT32, dim=8), space=tmp_path / "first")


def test_a_matryoshka_model_is_truncated(tmp_path):
    model = make_tiny_model(tmp_path / "model", "bert")
    with pytest.raises(DistillError, match="name them with --texts CORPUS, or give --matryoshka"):
        run(model, tmp_path / "encoder", replace(FLOAT32, dim=8), texts=None)
    spec = replace(FLOAT32, dim=8, matryoshka=True)
    found = run(model, tmp_path / "encoder", spec).encoder.encode(TEXTS)
    expected = encode_by_hand(model, TEXTS).numpy()[:, :8]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=ROUNDING)
    named = make_tiny_model(tmp_path / "Qwen3-Embedding-0.6B", "bert", prompts={"query": "song: "})
    known = run(named, tmp_path / "known", replace(FLOAT32, dim=8), texts=None)
    assert known.is_matryoshka
    projected = run(named, tmp_path / "projected", replace(FLOAT32, dim=8))
    assert not projected.is_matryoshka


def test_prompts_come_from_options_then_the_folder_then_the_family(tmp_path):
    bge = make_tiny_model(tmp_path / "bge-small-en-v1.5", "bert", longest=62)
    by_family = run(bge, tmp_path / "family").encoder
    assert by_family.query_prompt == "Represent this sentence for searching relevant passages: "
    assert by_family.document_prompt == ""
    stated = make_tiny_model(tmp_path / "s" / "bge-small-en-v1.5", "bert", prompts=PROMPTS)
    assert run(stated, tmp_path / "stated").encoder.query_prompt == "song: "
    empty = make_tiny_model(tmp_path / "e" / "e5-small-v2", "bert", prompts={"query": "", "document": ""})
    assert run(empty, tmp_path / "empty").encoder.document_prompt == "passage: "
    spec = replace(FLOAT32, query_prompt="", document_prompt="war: ")
    given = run(stated, tmp_path / "given", spec).encoder
    assert (given.query_prompt, given.document_prompt) == ("", "war: ")
    expected = encode_by_hand(stated, TEXTS, prompt="war: ").numpy()
    np.testing.assert_allclose(given.encode(TEXTS), expected, atol=ROUNDING)


def test_a_teacher_embeds_documents_with_their_prompt_and_queries_with_theirs(tmp_path):
    model = make_tiny_model(tmp_path / "model", "bert", prompts={"query": "song: ", "passage": "book: "})
    teacher = Teacher.load(model, device="cpu", dtype=torch.float32)
    np.testing.assert_allclose(
        teacher.encode(TEXTS), encode_by_hand(model, TEXTS, prompt="book: ").numpy(), atol=ROUNDING
    )
    queries = teacher.for_queries()
    np.testing.assert_allclose(
        queries.encode(TEXTS), encode_by_hand(model, TEXTS, prompt="song: ").numpy(), atol=ROUNDING
    )
    assert queries.sha256 != teacher.sha256  # their caches are two
    without = Teacher.load(make_tiny_model(tmp_path / "plain", "bert"), device="cpu", dtype=torch.float32)
    assert without.for_queries() is without


def test_a_model_of_lower_case_keeps_it(tmp_path):
    model = make_tiny_teacher(tmp_path / "model", lower_case=True)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["normalizer"] = None  # it does not convert to lower case itself
    write_json(model / "tokenizer.json", tokenizer)
    encoder = run(model, tmp_path / "encoder").encoder
    np.testing.assert_array_equal(encoder.encode(["The CAT sleeps"]), encoder.encode(["the cat sleeps"]))


def test_a_plain_transformers_folder_is_pooled_by_the_mean(tmp_path):
    model = make_plain_teacher(tmp_path / "model")
    adopted = run(model, tmp_path / "encoder", texts=None)
    assert adopted.comparison.n_texts == 40
    expected = encode_by_hand(model, TEXTS).numpy()
    np.testing.assert_allclose(adopted.encoder.encode(TEXTS), expected, atol=ROUNDING)


def test_what_cannot_be_adopted_is_an_error_that_says_why(tmp_path, tiny_folder):
    model = make_tiny_model(tmp_path / "model", "bert")
    with pytest.raises(DistillError, match="is an encoder already; use it with --encoder"):
        run(tiny_folder, tmp_path / "encoder")
    with pytest.raises(DistillError, match=f"dim: expected at most {HIDDEN} .the width of model., got 64"):
        run(model, tmp_path / "encoder", replace(FLOAT32, dim=64))
    with pytest.raises(DistillError, match="matryoshka: expected a width to truncate to"):
        run(model, tmp_path / "encoder", replace(FLOAT32, matryoshka=True))
    with pytest.raises(DistillError, match=r"texts: expected at least 20 different passages .* got 3"):
        run(model, tmp_path / "encoder", texts=["a", "b", "c"])
    with pytest.raises(ShapeError, match="n_checked: expected at least 20, got 5"):
        AdoptSpec(n_checked=5)
    with pytest.raises(DistillError, match="at least 14 tokens of text in a window, got 6: model reads 48"):
        run(model, tmp_path / "encoder", replace(FLOAT32, query_prompt="cat " * 40))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(DistillError, match="found other files; choose another folder"):
        run(model, tmp_path / "full")
    (tmp_path / "begun" / "training").mkdir(parents=True)
    (tmp_path / "begun" / "training" / "settings.json").write_text("{}")
    with pytest.raises(DistillError, match="hpdsearch distill has begun in this folder"):
        run(model, tmp_path / "begun")
    assert (tmp_path / "begun" / "training" / "settings.json").exists()
    write_json(
        model / "1_Pooling" / "config.json",
        {"word_embedding_dimension": HIDDEN, "pooling_mode": "mean", "include_prompt": False},
    )
    with pytest.raises(DistillError, match="leaves the prompt out of its pooling"):
        run(model, tmp_path / "encoder", replace(FLOAT32, query_prompt="song: "))
    assert not (tmp_path / "encoder").exists()


def test_an_adopted_bert_is_exported_for_sentence_transformers_and_others_are_not(tmp_path):
    model = make_tiny_model(tmp_path / "model", "bert", pooling="cls", dense=[(24, "linear.Identity")], prompts=PROMPTS)
    encoder = run(model, tmp_path / "encoder").encoder
    exported = write_sentence_transformers(tmp_path / "encoder", tmp_path / "exported")
    opened = Teacher.load(exported, device="cpu", dtype=torch.float32)
    np.testing.assert_allclose(opened.encode(TEXTS), encoder.encode(TEXTS), atol=ROUNDING)
    np.testing.assert_allclose(opened.for_queries().encode(TEXTS), encoder.encode_queries(TEXTS), atol=ROUNDING)
    run(make_tiny_model(tmp_path / "mpnet", "mpnet"), tmp_path / "other")
    with pytest.raises(EncoderError, match="adopted from a model that is no BERT, so it cannot be exported"):
        write_sentence_transformers(tmp_path / "other", tmp_path / "refused")


def test_a_student_cannot_start_from_what_training_does_not_represent(tmp_path):
    run(make_tiny_model(tmp_path / "bert", "bert"), tmp_path / "plain")
    assert load_initial_model(tmp_path / "plain").max_tokens == LONGEST - 2
    for name, family, options in (
        ("mpnet", "mpnet", {}),
        ("cls", "bert", {"pooling": "cls"}),
        ("prompts", "bert", {"prompts": PROMPTS}),
        ("bias", "bert", {"dense": [(24, "linear.Identity")]}),
    ):
        run(make_tiny_model(tmp_path / name, family, **options), tmp_path / f"{name}-encoder")
        with pytest.raises(DistillError, match="expected a student with mean pooling, without prompts"):
            load_initial_model(tmp_path / f"{name}-encoder")


def test_the_sample_is_that_of_the_script():
    path = Path(__file__).parents[2] / "scripts" / "make_adopt_sample.py"
    spec = importlib.util.spec_from_file_location("make_adopt_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert gzip.decompress(SAMPLE.read_bytes()) == gzip.decompress(module.draw_sample())


@pytest.mark.parametrize(
    ("name", "model_type", "prompts"),
    [
        ("intfloat/multilingual-e5-base", "xlm-roberta", ("query: ", "passage: ")),
        ("BAAI/bge-large-en-v1.5", "bert", ("Represent this sentence for searching relevant passages: ", "")),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "xlm-roberta", ("query: ", "")),
        ("my-nomic", "nomic_bert", ("search_query: ", "search_document: ")),
        ("BAAI/bge-m3", "xlm-roberta", None),
        ("my-e5-base-tuned", "bert", None),
    ],
)
def test_families_are_known_by_their_full_names(name, model_type, prompts):
    family = find_family(name, model_type)
    assert prompts == (family and (family.prompts.query, family.prompts.document))
