import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_encoder import (
    EPSILON,
    HIDDEN,
    INNER,
    MAX_TOKENS,
    N_HEADS,
    N_LAYERS,
    WORDS,
    make_tiny_encoder,
    make_tiny_static,
    tiny_bert,
)
from tokenizers import Tokenizer
from tokenizers.models import Model, Unigram, WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer, Metaspace

from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder import DEFAULT_ENCODER, Encoder, read_space
from hpdsearch.encoder.encoder import BLOCK
from hpdsearch.encoder.folder import BUILT_IN
from hpdsearch.encoder.tokens import TextTokenizer
from hpdsearch.errors import EncoderError

TEXTS = [
    "the cat sings on the old tree",
    "a star",
    "Fire, wind & rain: the king of stone!",
    "gold",
    "the fish and the bird and the dog sleeps in the river",
    "zebra 42",
]


def random_texts(n: int, *, longest: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest + 1))) for _ in range(n)]


def oracle(texts: list[str], encoder: Encoder, *, dim: int = 16, space_seed: int = 0) -> Matrix:
    """Return the vectors of transformers' BertModel, one text at a time."""
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(tiny_bert()["embeddings.word_embeddings.weight"]),
        hidden_size=HIDDEN,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        intermediate_size=INNER,
        max_position_embeddings=MAX_TOKENS + 8,
        layer_norm_eps=EPSILON,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in tiny_bert().items()})
    head = torch.from_numpy(np.random.default_rng(space_seed).normal(size=(dim, HIDDEN)).astype(np.float32))
    rows = []
    for text in texts:
        ids = encoder._tokenizer._tokenizer.encode(text).ids
        with torch.inference_mode():
            tokens = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
            row = head @ tokens.mean(dim=0)
        rows.append((row / row.norm()).numpy())
    return np.stack(rows)


def row_cosines(a: Matrix, b: Matrix) -> Matrix:
    return (a * b).sum(axis=1)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_vectors_are_those_of_transformers_bert(tiny_folder: Path, tiny_encoder: Encoder, backend: str) -> None:
    vectors = Encoder.load(tiny_folder, backend=backend).encode(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, oracle(TEXTS, tiny_encoder), atol=2e-5)


def test_tiny_texts_get_different_vectors(tiny_encoder: Encoder) -> None:
    """If all vectors were alike, a comparison with an oracle would prove little."""
    vectors = tiny_encoder.encode(TEXTS)
    assert (vectors @ vectors.T - np.eye(len(TEXTS))).max() < 0.98


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_int8_weights_stay_close_to_float_weights(tmp_path: Path, tiny_encoder: Encoder, backend: str) -> None:
    folder = make_tiny_encoder(tmp_path / "int8", precision=Precision.INT8)
    vectors = Encoder.load(folder, backend=backend).encode(TEXTS)
    assert row_cosines(vectors, tiny_encoder.encode(TEXTS)).min() > 0.998
    assert not np.array_equal(vectors, tiny_encoder.encode(TEXTS))


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_rows_are_in_the_order_of_the_texts(tiny_folder: Path, backend: str) -> None:
    encoder = Encoder.load(tiny_folder, backend=backend, threads=2)
    texts = random_texts(300, longest=MAX_TOKENS)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-5)


def test_rows_are_in_order_across_blocks(tiny_encoder: Encoder) -> None:
    texts = random_texts(BLOCK + 50, longest=6)
    vectors = tiny_encoder.encode(texts)
    around = slice(BLOCK - 20, BLOCK + 20)
    np.testing.assert_allclose(vectors[around], tiny_encoder.encode(texts[around]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_long_text_is_the_weighted_mean_of_its_windows(tiny_encoder: Encoder) -> None:
    words = [WORDS[i % len(WORDS)] for i in range(2 * MAX_TOKENS + 7)]
    windows = [" ".join(words[first : first + MAX_TOKENS]) for first in (0, MAX_TOKENS, 2 * MAX_TOKENS)]
    first, second, third = oracle(windows, tiny_encoder)
    expected = MAX_TOKENS * first + MAX_TOKENS * second + 7 * third
    expected /= np.linalg.norm(expected)
    vectors = tiny_encoder.encode(["a star", " ".join(words), "gold"])
    np.testing.assert_allclose(vectors[1], expected, atol=2e-5)


def test_a_text_of_exactly_max_tokens_is_one_window(tiny_encoder: Encoder) -> None:
    text = " ".join(WORDS[:MAX_TOKENS])
    np.testing.assert_allclose(tiny_encoder.encode([text]), oracle([text], tiny_encoder), atol=2e-5)


def test_no_texts_give_no_rows(tiny_encoder: Encoder) -> None:
    assert tiny_encoder.encode([]).shape == (0, 16)
    assert tiny_encoder.token_spans([]) == []


def test_texts_without_tokens_share_one_unit_vector(tiny_encoder: Encoder) -> None:
    vectors = tiny_encoder.encode(["", "  \n\t ", "cat"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    np.testing.assert_allclose(vectors[:1], oracle([""], tiny_encoder), atol=2e-5)
    assert tiny_encoder.token_spans(["", " \n"]) == [[], []]


def test_the_error_for_an_input_that_is_no_string_names_its_position(tiny_encoder: Encoder) -> None:
    with pytest.raises(EncoderError, match=r"texts\[1\]: expected a string, got NoneType"):
        tiny_encoder.encode(["cat", None])  # type: ignore[list-item]
    with pytest.raises(EncoderError, match=r"got one string; write \[text\]"):
        tiny_encoder.encode("cat")
    with pytest.raises(EncoderError, match=r"texts\[0\]: expected a string, got int"):
        tiny_encoder.token_spans([3])  # type: ignore[list-item]


def test_many_threads_may_share_an_encoder(tiny_folder: Path) -> None:
    encoder = Encoder.load(tiny_folder, threads=2)
    jobs = [random_texts(200, longest=30, seed=seed) for seed in range(6)]
    expected = [encoder.encode(texts) for texts in jobs]
    with ThreadPoolExecutor(6) as pool:
        for found, vectors in zip(pool.map(encoder.encode, jobs), expected, strict=True):
            np.testing.assert_allclose(found, vectors, atol=1e-6)


def test_progress_counts_every_text_once(tiny_encoder: Encoder) -> None:
    counted: list[int] = []

    class Count:
        def update(self, n: int, /) -> None:
            counted.append(n)

        def close(self) -> None:
            counted.append(0)

    class Counter(Progress):
        def phase(self, name: str, *, total: int | None, unit: str) -> Count:
            assert (total, unit) == (500, "text")
            return Count()

    tiny_encoder.encode(random_texts(500, longest=3 * MAX_TOKENS), progress=Counter())
    assert sum(counted) == 500
    assert counted[-1] == 0


def test_token_spans_are_those_of_the_words(tiny_encoder: Encoder) -> None:
    text = "The cat, sings"
    (spans,) = tiny_encoder.token_spans([text])
    assert [text[start:end] for start, end in spans] == ["The", "cat", ",", "sings"]


def test_token_spans_count_characters_not_bytes(tiny_encoder: Encoder) -> None:
    text = "ünder 猫 cat"
    (spans,) = tiny_encoder.token_spans([text])
    assert [text[start:end] for start, end in spans] == [*"ünder", "猫", "cat"]


@pytest.mark.parametrize(
    ("model", "known"),
    [
        (WordPiece({"[UNK]": 0, "cat": 1, "s": 2, "##ings": 3}, unk_token="[UNK]"), {"cat"}),
        (
            Unigram([("<unk>", -9.0), ("\u2581cat", -1.0), ("\u2581s", -2.0), ("ings", -2.0), ("\u2581", -3.0)], 0),
            {"cat"},
        ),
    ],
)
def test_known_words_are_those_that_the_vocabulary_has_whole(model: Model, known: set[str]) -> None:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = BertPreTokenizer() if isinstance(model, WordPiece) else Metaspace()
    assert TextTokenizer.wrap(tokenizer).known_words("cat, sings 猫 cat") == known


def test_known_words_of_the_built_in_encoder() -> None:
    found = Encoder.load(DEFAULT_ENCODER).known_words("Is rain mixed with snow? Café über Przybylski 日本")
    assert found == {"Is", "rain", "mixed", "with", "snow", "Café", "über"}
    assert Encoder.load("static").known_words("rain Przybylski " * 100_000) == {"rain"}  # seconds, not hours
    with pytest.raises(EncoderError, match="got int"):
        Encoder.load("static").known_words(3)  # type: ignore[arg-type]


def test_token_spans_are_not_truncated(tiny_encoder: Encoder) -> None:
    (spans,) = tiny_encoder.token_spans([" ".join(["cat"] * 1000)])
    assert spans == [(4 * i, 4 * i + 3) for i in range(1000)]


@given(st.lists(st.text(max_size=60), max_size=5))
def test_token_spans_lie_in_the_text_and_ascend(tiny_encoder: Encoder, texts: list[str]) -> None:
    for text, spans in zip(texts, tiny_encoder.token_spans(texts), strict=True):
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(spans))


@given(st.text())
def test_any_text_gets_a_unit_vector(tiny_encoder: Encoder, text: str) -> None:
    assert np.linalg.norm(tiny_encoder.encode([text])) == pytest.approx(1, abs=1e-5)


def test_unknown_backend_and_bad_threads_are_errors(tiny_folder: Path) -> None:
    with pytest.raises(
        EncoderError,
        match="backend: expected one of auto, quick, onnx, onnx-int8, openvino, torch, torch-bfloat16, got 'jax'",
    ):
        Encoder.load(tiny_folder, backend="jax")
    with pytest.raises(EncoderError, match="threads: expected at least 1, got 0"):
        Encoder.load(tiny_folder, threads=0)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )


def test_encoding_loads_neither_torch_nor_transformers_and_prints_nothing(tiny_folder: Path) -> None:
    done = run_python(
        "import sys; from hpdsearch.encoder import Encoder\n"
        "assert not {'onnxruntime', 'tokenizers', 'torch'} & set(sys.modules)\n"
        f"Encoder.load({str(tiny_folder)!r}).encode(['cat'] * 50)\n"
        "assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_static_encoder_loads_no_runtime_at_all(tmp_path: Path) -> None:
    done = run_python(
        "import sys; from hpdsearch.encoder import Encoder\n"
        f"Encoder.load({str(make_tiny_static(tmp_path / 'static'))!r}).encode(['cat'] * 50)\n"
        "assert not {'onnxruntime', 'openvino', 'torch', 'transformers'} & set(sys.modules)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_encode_and_nothing_warns(tiny_folder: Path) -> None:
    done = run_python(
        "import os, warnings; from hpdsearch.encoder import Encoder\n"
        "warnings.filterwarnings('ignore', 'This process', DeprecationWarning)\n"  # Python 3.12 warns of every fork
        f"encoder = Encoder.load({str(tiny_folder)!r}, threads=2)\n"
        "texts = [' '.join(['cat'] * (1 + i % 15)) for i in range(3000)]\n"
        "before = encoder.encode(texts)\n"
        "child = os.fork()\n"
        "if not child: os._exit(int((encoder.encode(texts) != before).any()))\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_default_encoder_ships_and_gives_related_texts_high_cosines() -> None:
    assert DEFAULT_ENCODER in Encoder.names()
    encoder = Encoder.load(DEFAULT_ENCODER)
    assert (encoder.name, encoder.dim, encoder.max_tokens) == (DEFAULT_ENCODER, 256, 256)
    vectors = encoder.encode(
        ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply on Monday."]
    )
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_built_in_encoders_find_the_documents_of_one_another() -> None:
    texts = [
        "a man plays the guitar",
        "stocks fell sharply",
        "how to bake bread",
        "fear of spiders",
        "the sea at night",
    ]
    encoders = [Encoder.load(name) for name in Encoder.names()]
    (space,) = (BUILT_IN / "spaces").iterdir()
    assert {encoder.space for encoder in encoders} == {read_space(space).id}
    for one in encoders:
        for other in encoders:
            cosines = one.encode(texts) @ other.encode(texts).T
            assert (cosines.argmax(axis=1) == np.arange(len(texts))).all(), (one.name, other.name)


def test_backends_agree_on_the_default_encoder() -> None:
    texts = ["a query", "A longer sentence, about ships that cross the sea at night.", "", "word " * 600]
    onnx, with_torch = (Encoder.load(DEFAULT_ENCODER, backend=backend).encode(texts) for backend in ("onnx", "torch"))
    assert row_cosines(onnx, with_torch).min() > 0.99999
