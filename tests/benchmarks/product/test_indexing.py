"""Test the indexing benchmark: one round, its figures by hand, and the script of the teacher."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

indexing = importlib.import_module("benchmarks.product.indexing")
indexing_round = importlib.import_module("benchmarks.product.indexing_round")


@pytest.mark.parametrize("order", [("build", "encode"), ("encode", "build")])
def test_a_round_builds_and_encodes_the_same_texts(corpus, tiny_encoder, order):
    found = indexing_round.measure_round(corpus, 20, tiny_encoder, order)
    assert (found["n_documents"], found["n_passages"]) == (20, 20)
    assert 0 < found["encode_seconds_in_build"] < found["build_seconds"]
    assert found["encode_seconds"] > 0


def test_encoding_alone_takes_the_passage_texts_of_indexing(corpus, tiny_encoder):
    texts = indexing_round.passage_texts(indexing_round.iterate_documents(corpus, 2), tiny_encoder)
    assert texts == ["book\ncat and dog 0", "book\nthe green river 1"]


def test_figures_by_hand():
    own = [
        {"build_seconds": b, "encode_seconds": e, "encode_seconds_in_build": e, "n_documents": 100, "n_passages": 120}
        for b, e in [(12, 10), (10, 8), (6, 5)]
    ]
    teacher = [{"n_texts": 10, "seconds": {"float32": s}} for s in (4, 5, 10)]
    probe = {"n_texts": 8, "seconds": {"float32": 2, "bfloat16": 16}}
    measurements, targets = indexing.figures(own, teacher, probe, "float32")
    medians = {item["name"]: item["median"] for item in measurements}
    assert medians["index: corpus file to open index"] == 10
    assert medians["indexing rate"] == 10
    assert medians["teacher's encoding rate, float32"] == 2
    assert medians["probe of 8 texts: teacher, bfloat16"] == 0.5
    assert medians["indexing / encoder alone"] == 1.2  # of 1.2, 1.25, 1.2
    assert medians["indexing rate / teacher's encoding rate"] == 6  # of 10 / 2.5, 12 / 2, 20 / 1
    assert [item["met"] for item in targets] == [True, True]


def test_a_sample_is_taken_at_equal_distances():
    assert indexing.sample_evenly(list("abcdefghij"), 4) == ["a", "c", "f", "h"]
    assert indexing.sample_evenly(["a", "b"], 4) == ["a", "b"]


def test_the_teacher_is_mean_pooled_without_padding_in_the_order_of_the_texts():
    import torch

    teacher_encode = importlib.import_module("teacher_encode")
    table_of_states = np.random.default_rng(0).normal(size=(128, 8)).astype(np.float32)

    def tokenize(texts, *, max_length, **_):
        lists = [[ord(character) for character in text][:max_length] for text in texts]
        width = max(map(len, lists))
        return {
            "input_ids": torch.tensor([ids + [0] * (width - len(ids)) for ids in lists]),
            "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in lists]),
        }

    def model(input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=torch.from_numpy(table_of_states)[input_ids])

    texts = ["cat", "a longer text", "dog", "x", "a text that is cut"]
    found = teacher_encode.encode(model, tokenize, texts, "float32", batch=2, max_tokens=10).numpy()
    for text, vector in zip(texts, found, strict=True):
        mean = table_of_states[[ord(character) for character in text[:10]]].mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
