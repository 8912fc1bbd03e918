import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoder import WORDS
from tiny_teacher import HIDDEN, MAX_TOKENS, POSITIONS, make_plain_teacher, make_tiny_teacher, write_json
from transformers import AutoModel

from hpdsearch.distillation.teacher.runtime import fastest_dtype
from hpdsearch.distillation.teacher.teacher import TOKEN_BUDGET, Teacher
from hpdsearch.errors import EncoderError

TEXTS = ["the cat sleeps", "Ship", "", "the old king of the red ship in the rain", "a dog, a bird!", "zebra 7"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid downloads; the hub's client reads the environment variable HF_HUB_OFFLINE when it is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def load(folder: Path) -> Teacher:
    return Teacher.load(folder, device="cpu", dtype=torch.float32)


def hidden_states(folder: Path, teacher: Teacher, text: str, longest: int = 10**6) -> torch.Tensor:
    """Return the token embeddings (tokens, hidden) of one text by transformers; truncation keeps [CLS] and [SEP]."""
    model = AutoModel.from_pretrained(folder).eval()
    ids = teacher.tokenizer.encode(text).ids
    ids = ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]]
    with torch.no_grad():
        hidden: torch.Tensor = model(torch.tensor([ids]))[0][0]
    return hidden


def unit(vector: torch.Tensor) -> np.ndarray:
    return (vector / vector.norm()).numpy()


BY_HAND = {
    "cls_token": lambda h: h[0],
    "max_tokens": lambda h: h.amax(0),
    "mean_tokens": lambda h: h.mean(0),
    "mean_sqrt_len_tokens": lambda h: h.sum(0) / len(h) ** 0.5,
    "weightedmean_tokens": lambda h: sum((i + 1) * row for i, row in enumerate(h)) / sum(range(1, len(h) + 1)),
    "lasttoken": lambda h: h[-1],
}


@pytest.mark.slow
@pytest.mark.parametrize("mpnet", [False, True])
@pytest.mark.parametrize("flags", [*((flag,) for flag in BY_HAND), ("mean_tokens", "cls_token")])
def test_vectors_are_those_of_plain_transformers_one_text_at_a_time(tmp_path, flags, mpnet):
    pooling = {f"pooling_mode_{flag}": flag in flags for flag in BY_HAND}
    teacher = load(make_tiny_teacher(tmp_path / "t", pooling=pooling, mpnet=mpnet))
    found = teacher.encode(TEXTS)  # texts of one token to ten share a batch
    ordered = [flag for flag in BY_HAND if flag in flags]  # cls comes first in any order of the file
    for text, vector in zip(TEXTS, found, strict=True):
        hidden = hidden_states(tmp_path / "t", teacher, text)
        expected = torch.cat([BY_HAND[flag](hidden) for flag in ordered])
        np.testing.assert_allclose(vector, unit(expected), atol=1e-5)
    assert teacher.dim == HIDDEN * len(flags)


def test_pooling_is_read_from_newer_files_too(tmp_path):
    one, both = ({"embedding_dimension": HIDDEN, "pooling_mode": mode} for mode in ("lasttoken", ["mean", "cls"]))
    teacher = load(make_tiny_teacher(tmp_path / "one", pooling=one))
    hidden = hidden_states(tmp_path / "one", teacher, TEXTS[0])
    np.testing.assert_allclose(teacher.encode(TEXTS[:1])[0], unit(hidden[-1]), atol=1e-5)
    found = load(make_tiny_teacher(tmp_path / "both", pooling=both)).encode(TEXTS[:1])[0]
    np.testing.assert_allclose(found, unit(torch.cat([hidden.mean(0), hidden[0]])), atol=1e-5)


def test_a_vector_does_not_depend_on_order_or_batch(tmp_path):
    teacher = load(make_tiny_teacher(tmp_path / "t"))
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(0, 30))) for _ in range(300)]
    together = teacher.encode(texts)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    order = rng.permutation(len(texts))
    np.testing.assert_allclose(teacher.encode([texts[i] for i in order]), together[order], atol=1e-5)
    np.testing.assert_allclose(
        np.concatenate([teacher.encode([text]) for text in texts[:40]]), together[:40], atol=1e-5
    )
    assert teacher.encode([]).shape == (0, HIDDEN)


def test_long_and_short_texts_are_mixed_so_that_the_time_left_is_right_from_the_start(tmp_path, monkeypatch):
    teacher = load(make_tiny_teacher(tmp_path / "t"))
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 32)
    widths: list[int] = []
    forward = teacher._forward

    def note(ids: list[list[int]]) -> np.ndarray:
        widths.append(max(map(len, ids)))
        return forward(ids)

    monkeypatch.setattr(teacher, "_forward", note)
    teacher.encode([TEXTS[3], *["Ship"] * 5] * 30)
    half = len(widths) // 2
    assert len(set(widths)) == 2
    assert half >= 15
    assert np.mean(widths[:half]) == pytest.approx(np.mean(widths[half:]), rel=0.3)


@pytest.mark.parametrize("pools_prompt", [True, False])
def test_the_default_prompt_is_prepended_to_every_text(tmp_path, pools_prompt):
    pooling = {"pooling_mode_mean_tokens": True, "include_prompt": pools_prompt}
    teacher = load(make_tiny_teacher(tmp_path / "t", prompt="the king: ", pooling=pooling))
    hidden = hidden_states(tmp_path / "t", teacher, "the king: cat sleeps")
    n_prompt = len(["[CLS]", "the", "king", ":"])
    expected = hidden.mean(0) if pools_prompt else hidden[n_prompt:].mean(0)
    np.testing.assert_allclose(teacher.encode(["cat sleeps"])[0], unit(expected), atol=1e-5)


@pytest.mark.parametrize("mpnet", [False, True])
def test_a_long_text_is_truncated_to_max_tokens_special_tokens_included(tmp_path, mpnet):
    long = " ".join(WORDS * 3)
    for folder, limit in (
        (make_tiny_teacher(tmp_path / "said", mpnet=mpnet), MAX_TOKENS),
        (make_tiny_teacher(tmp_path / "unsaid", mpnet=mpnet, max_tokens=None), POSITIONS),
        (make_plain_teacher(tmp_path / "plain", mpnet=mpnet), POSITIONS),
    ):
        teacher = load(folder)
        assert teacher.max_tokens == limit
        expected = hidden_states(folder, teacher, long, longest=limit)
        assert len(expected) == limit < len(teacher.tokenizer.encode(long).ids)
        np.testing.assert_allclose(teacher.encode([long, "cat"])[0], unit(expected.mean(0)), atol=1e-5)


@pytest.mark.parametrize(("activation", "by_hand"), [("activation.Tanh", torch.tanh), ("linear.Identity", lambda x: x)])
def test_a_dense_module_and_its_activation_are_applied(tmp_path, activation, by_hand):
    folder = make_tiny_teacher(tmp_path / "t", dense=(10, activation))
    teacher = load(folder)
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    mean = hidden_states(folder, teacher, "the cat").mean(0)
    expected = by_hand(weights["linear.weight"] @ mean + weights["linear.bias"])
    np.testing.assert_allclose(teacher.encode(["the cat"])[0], unit(expected), atol=1e-5)
    torch.save(weights, folder / "2_Dense" / "pytorch_model.bin")
    (folder / "2_Dense" / "model.safetensors").unlink()
    assert load(folder).sha256 == teacher.sha256


def test_texts_are_lower_cased_if_the_files_say_so(tmp_path):
    for lower_case in (False, True):
        folder = make_tiny_teacher(tmp_path / str(lower_case), lower_case=lower_case)
        stored = json.loads((folder / "tokenizer.json").read_text())
        stored["normalizer"] = None  # the tiny tokenizer lower-cases by itself
        write_json(folder / "tokenizer.json", stored)
        upper, lower = load(folder).encode(["CAT", "cat"])
        assert np.allclose(upper, lower) == lower_case


def test_bfloat16_gives_nearly_the_same_vectors(tmp_path):
    folder = make_tiny_teacher(tmp_path / "t")
    exact, blurred = load(folder), Teacher.load(folder, device="cpu", dtype=torch.bfloat16)
    cosines = (exact.encode(TEXTS) * blurred.encode(TEXTS)).sum(axis=1)
    assert (cosines > 0.99).all()
    assert not np.array_equal(exact.encode(TEXTS), blurred.encode(TEXTS))
    assert blurred.sha256 == exact.sha256
    assert fastest_dtype("cpu") in (torch.float32, torch.bfloat16)


def test_the_hash_depends_on_all_that_determines_the_vectors_and_on_nothing_else(tmp_path):
    folder = make_tiny_teacher(tmp_path / "t", prompt="the ")
    first = load(folder)
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    (copy / "README.md").write_text("other words")
    config = json.loads((copy / "config.json").read_text())
    write_json(copy / "config.json", config | {"transformers_version": "0", "_name_or_path": "x"})
    general = json.loads((copy / "config_sentence_transformers.json").read_text())
    write_json(copy / "config_sentence_transformers.json", general | {"similarity_fn_name": "cosine"})
    again = load(copy)
    assert (again.sha256, again.name) == (first.sha256, "elsewhere")

    hashes = {
        first.sha256,
        *(
            load(make_tiny_teacher(tmp_path / f"{number}", **{"prompt": "the ", **change})).sha256
            for number, change in enumerate(
                [
                    {"seed": 1},
                    {"mpnet": True},
                    {"pooling": {"pooling_mode_cls_token": True}},
                    {"prompt": "a "},
                    {"max_tokens": MAX_TOKENS - 1},
                    {"dense": (HIDDEN, "linear.Identity")},
                    {"lower_case": True},
                ]
            )
        ),
    }
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.dense.bias"][3] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    hashes.add(load(folder).sha256)
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    write_json(copy / "tokenizer.json", tokenizer)
    hashes.add(load(copy).sha256)
    assert len(hashes) == 10


def break_folder(folder: Path, part: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    if part == "module":
        modules.insert(2, {"idx": 2, "name": "2", "path": "2_CNN", "type": "sentence_transformers.models.CNN"})
    elif part == "foreign":
        modules[2]["type"] = "pylate.models.Dense.Dense"
    elif part == "custom":
        modules[0]["type"] = "custom_st.Transformer"
    write_json(folder / "modules.json", modules)
    if part == "pooling":
        write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_median_tokens": True})
    if part == "activation":
        config = {"in_features": HIDDEN, "out_features": 4, "activation_function": "os.system"}
        write_json(folder / "2_Dense" / "config.json", config)
    if part == "length":
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": POSITIONS + 1})
    if part == "prompt":
        write_json(folder / "config_sentence_transformers.json", {"prompts": {}, "default_prompt_name": "query"})
    if part == "json":
        (folder / "1_Pooling" / "config.json").write_text("{")
    if part == "weights":
        weights = load_file(folder / "model.safetensors")
        del weights["encoder.layer.1.output.dense.bias"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if part == "truncated":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("module", r"modules.json: expected Transformer, Pooling, then Dense and Normalize modules, got .* CNN"),
        ("foreign", r"got Transformer, Pooling, pylate.models.Dense.Dense"),
        ("custom", r"got custom_st.Transformer, Pooling"),
        ("pooling", r"1_Pooling/config.json: expected pooling among cls, .* got pooling_mode_median_tokens"),
        ("activation", r"2_Dense/config.json: expected an activation among .* got os.system"),
        ("length", rf"max_seq_length: expected at most {POSITIONS}, got {POSITIONS + 1}"),
        ("prompt", r"default prompt 'query' is not among its prompts"),
        ("json", r"1_Pooling/config.json: expected a JSON file"),
        ("weights", r"weights of 1 tensors are missing, the first is encoder.layer.1.output.dense.bias"),
        ("truncated", r"cannot be opened as a teacher"),
    ],
)
def test_unknown_and_damaged_files_are_errors_and_not_skipped(tmp_path, part, message):
    folder = make_tiny_teacher(tmp_path / "t", dense=(4, "activation.Tanh"))
    break_folder(folder, part)
    with pytest.raises(EncoderError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/folder", "no/such/folder: there is no such folder"),
        (Path("nowhere"), "nowhere: there is no such folder"),
        (
            "nobody-0/no-teacher",
            "nobody-0/no-teacher: expected a folder or a model on the Hugging Face hub, found neither",
        ),
    ],
)
def test_the_error_for_a_missing_teacher_names_it(name, message):
    with pytest.raises(EncoderError, match=message):
        Teacher.load(name)


def test_a_foreign_folder_and_a_single_string_are_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"expected modules.json or config.json of a teacher, found neither"):
        Teacher.load(tmp_path)
    with pytest.raises(EncoderError, match=r"dtype: expected .* got torch.float16"):
        Teacher.load(tmp_path, dtype=torch.float16)
    with pytest.raises(EncoderError, match="got one string"):
        load(make_plain_teacher(tmp_path / "t")).encode("the cat")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pooling": {"pooling_mode_cls_token": True}},
        {"dense": (12, "activation.Tanh")},
        {"prompt": "the cat "},
        {"prompt": "the cat ", "pooling": {"pooling_mode_mean_tokens": True, "include_prompt": False}},
        {"pooling": {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}},
        {"lower_case": True},
    ],
)
def test_vectors_are_those_of_sentence_transformers(tmp_path, options):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    folder = make_tiny_teacher(tmp_path / "teacher", **options)
    texts = ["the cat sleeps", "", " ", "The DOG runs", "river " * 40, "gold iron stone"]
    theirs = library.SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
    ours = Teacher.load(folder, device="cpu", dtype=torch.float32).encode(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
