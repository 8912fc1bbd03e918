import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_teacher import make_tiny_teacher

from hpdsearch import WeightedTeacher
from hpdsearch.distillation.teacher.ensemble import EnsembleCache, TeacherEnsemble
from hpdsearch.distillation.teacher.teacher import Teacher, embed, open_cache
from hpdsearch.errors import CacheError, DistillError, EncoderError

TEXTS = ["cat", "the dog sat", "rain and snow", "", "cat"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of two teachers of different widths, `large` and `small`."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("teachers")
    return make_tiny_teacher(root / "large"), make_tiny_teacher(root / "small", seed=1, dense=(12, "activation.Tanh"))


@pytest.fixture(scope="module")
def ensemble(folders: tuple[Path, Path]) -> TeacherEnsemble:
    return TeacherEnsemble.load([folders[0], WeightedTeacher(folders[1], 0.7)])


def test_the_cosine_is_the_mean_of_the_teachers_cosines_weighted_by_squared_weights(folders, ensemble):
    one, other = (Teacher.load(folder).encode(TEXTS) for folder in folders)
    vectors = ensemble.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), ensemble.dim) == (5, 32 + 12)
    np.testing.assert_allclose(vectors @ vectors.T, (one @ one.T + 0.49 * other @ other.T) / 1.49, atol=1e-5)
    np.testing.assert_allclose(vectors[:, :32] * np.sqrt(1.49), one, atol=1e-5)


def test_a_single_teacher_keeps_its_name_hash_vectors_and_cache(folders, tmp_path):
    alone = Teacher.load(folders[0])
    for weight in (1.0, 0.3):
        single = TeacherEnsemble.load(WeightedTeacher(folders[0], weight))
        assert (single.name, single.sha256, single.dim) == (alone.name, alone.sha256, alone.dim)
        assert single.encode(TEXTS).tobytes() == alone.encode(TEXTS).tobytes()
    embed(alone, TEXTS, open_cache(alone, tmp_path))
    stored = EnsembleCache(single, tmp_path).embeddings(TEXTS)
    assert stored.tobytes() == open_cache(alone, tmp_path).embeddings(TEXTS).tobytes()


def test_the_hash_depends_on_the_teachers_their_order_and_their_weights(folders, ensemble):
    one, other = ensemble.teachers
    hashes = [
        TeacherEnsemble(teachers, weights).sha256
        for teachers, weights in (
            ([one, other], [1, 0.7]),
            ([one, other], [1, 0.5]),
            ([other, one], [1, 0.7]),
            ([one], [1]),
            ([other], [1]),
        )
    ]
    assert len(set(hashes)) == len(hashes)
    assert hashes[0] == ensemble.sha256
    assert ensemble.name == "large + 0.7 small"


def test_each_teacher_keeps_its_own_cache(folders, ensemble, tmp_path):
    large = Teacher.load(folders[0])
    embed(large, TEXTS[:2], open_cache(large, tmp_path))
    cache = EnsembleCache(ensemble, tmp_path)
    with pytest.raises(CacheError, match="texts have no embedding"):
        cache.embeddings(TEXTS)
    cache.embed(TEXTS)
    assert [len(open_cache(Teacher.load(folder), tmp_path)) for folder in folders] == [4, 4]
    np.testing.assert_allclose(cache.embeddings(TEXTS), ensemble.encode(TEXTS), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(cache.embeddings(TEXTS), axis=1), 1, atol=1e-6)


def test_the_weight_is_a_number_behind_the_last_colon(tmp_path, monkeypatch):
    for text, model, weight in (
        ("hub/model", "hub/model", 1.0),
        ("hub/model:0.7", "hub/model", 0.7),
        ("model:2", "model", 2.0),
        ("model:1e-1", "model", 0.1),
        ("a:b:.5", "a:b", 0.5),
        (r"C:\models\large", r"C:\models\large", 1.0),
        (r"C:\models\large:0.5", r"C:\models\large", 0.5),
        ("a:latest", "a:latest", 1.0),
        ("a:nan", "a:nan", 1.0),
        (":0.5", ":0.5", 1.0),
    ):
        assert WeightedTeacher.parse(text) == WeightedTeacher(model, weight)
    if os.name != "nt":
        monkeypatch.chdir(tmp_path)
        (tmp_path / "model:2").mkdir()
        assert WeightedTeacher.parse("model:2") == WeightedTeacher("model:2", 1.0)
    for text in ("model:0", "model:-1"):
        with pytest.raises(DistillError, match="teacher model: expected a weight above 0, got"):
            WeightedTeacher.parse(text)


def test_no_teacher_and_one_teacher_twice_are_refused(folders):
    with pytest.raises(EncoderError, match="expected at least one"):
        TeacherEnsemble.load([])
    with pytest.raises(EncoderError, match="teacher large: expected each teacher once"):
        TeacherEnsemble.load([folders[0], WeightedTeacher(folders[0], 0.5)])
