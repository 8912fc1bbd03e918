import gzip
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpdsearch.distillation.data.parallel import Pair
from hpdsearch.distillation.recipe import (
    Recipe,
    describe_provenance,
    draw_texts,
    make_spec,
    merge_recipe,
    read_recipe,
    recipe_names,
)
from hpdsearch.distillation.spec import (
    STATIC_TRAINING,
    DistillSpec,
    HeadInit,
    LossSpec,
    Precision,
    ProjectionSpec,
    TrainingSpec,
)
from hpdsearch.errors import DistillError

RECIPE: dict[str, Any] = {
    "name": "r",
    "teacher": "hub/big",
    "student": "hub/small",
    "mix": {"b": 1, "a": 3.5},
    "n_texts": 30,
}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Write the sources a (40 lines) and b (6 lines, one of them blank and one also in a)."""
    for name, lines in (
        ("a", [f"a {number}" for number in range(40)]),
        ("b", ["é 1", "b 2", "b 3", "b 4", " ", "a 1"]),
    ):
        with gzip.open(tmp_path / f"{name}.txt.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    return tmp_path


def test_the_draw_equals_that_of_earlier_recipes(sources):
    pools = {}
    for name in ("a", "b"):
        pools[name] = gzip.decompress((sources / f"{name}.txt.gz").read_bytes()).decode().splitlines()
        random.Random(name).shuffle(pools[name])
    chance, drawn = random.Random(7), []
    while len(drawn) < 46:
        if pool := pools[chance.choices(["a", "b"], [3.5, 1])[0]]:
            drawn.append(pool.pop())
    expected = [text for number, text in enumerate(drawn) if text not in drawn[:number] and text != " "]
    recipe = Recipe(**RECIPE | {"seed": 7, "n_texts": 46})
    found = draw_texts(recipe, sources)
    assert found.texts == expected
    assert len(expected) == 44
    assert sum(found.counts.values()) == 44
    assert found.counts["b"] in (4, 5)
    assert draw_texts(replace(recipe, n_texts=20), sources).texts == [t for t in dict.fromkeys(drawn[:20]) if t != " "]
    assert draw_texts(replace(recipe, seed=8), sources).texts != expected


def test_all_parallel_texts_of_a_recipe_are_used_and_counted(sources):
    for name, lines in (("talks", ["a 1\tein a\tde", "zwei\tdeux\tfr"]), ("help", ["zwei\tdeux\tfr"])):
        with gzip.open(sources / f"{name}.tsv.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    recipe = Recipe(**RECIPE, parallel=["talks", "help"], licenses={"talks": "MIT", "hub/big": "Apache-2.0"})
    drawn = draw_texts(recipe, sources)
    assert drawn.texts == draw_texts(Recipe(**RECIPE), sources).texts
    assert drawn.pairs == [Pair("a 1", "ein a", "de"), Pair("zwei", "deux", "fr")]
    provenance = describe_provenance(recipe, drawn, "")
    assert [(s.name, s.n_texts, s.license) for s in provenance.sources[2:]] == [
        ("help", 1, "not stated"),
        ("talks", 2, "MIT"),
    ]
    assert provenance.licenses == {"big": "Apache-2.0"}
    with pytest.raises(DistillError, match=r"films\.tsv\.gz: cannot be read"):
        draw_texts(replace(recipe, parallel=["films"]), sources)


def test_queries_of_a_recipe_are_those_of_its_pattern_and_change_no_draw(sources):
    recipe = Recipe(**RECIPE, queries=["b", "a"], query_pattern=r".*[12]$")
    drawn = draw_texts(recipe, sources)
    plain = draw_texts(Recipe(**RECIPE), sources)
    assert (drawn.texts, drawn.counts) == (plain.texts, plain.counts)
    of_b, of_a = ["b 2", "a 1", "é 1"], [f"a {ten}{one}" for ten in ("", "1", "2", "3") for one in "12"]
    assert sorted(drawn.queries) == sorted([*of_b, *of_a])
    assert plain.queries == []
    with pytest.raises(DistillError, match=r"asked\.txt\.gz: expected the texts of source 'asked'"):
        draw_texts(replace(recipe, queries=["asked"]), sources)


def test_missing_damaged_and_too_short_sources_are_errors(sources):
    recipe = Recipe(**RECIPE)
    with pytest.raises(DistillError, match=r"expected sources with 47 texts \(n_texts of recipe r\), got 46"):
        draw_texts(replace(recipe, n_texts=47), sources)
    with pytest.raises(DistillError, match=r"c\.txt\.gz: expected the texts of source 'c'"):
        draw_texts(replace(recipe, mix={"a": 1, "c": 1}), sources)
    (sources / "b.txt.gz").write_bytes((sources / "b.txt.gz").read_bytes()[:-9])
    with pytest.raises(DistillError, match=r"b\.txt\.gz: expected a gzip file"):
        draw_texts(recipe, sources)


def test_a_recipe_changes_the_defaults_and_options_change_the_recipe(tmp_path):
    spec = {
        "layers": [0, 2],
        "projection": {"whitening": 0.125},
        "training": {"epochs": 2, "loss": {"kl_weight": 1, "matryoshka_dims": [64, 128]}},
        "precision": "float32",
    }
    path = tmp_path / "r.json"
    path.write_text(json.dumps(RECIPE | {"spec": spec, "seed": 3}))
    recipe = read_recipe(path)
    changes, _ = merge_recipe(recipe, {"training": {"epochs": 5.0}, "seed": 4}, None)
    expected = DistillSpec(
        layers=(0, 2),
        projection=ProjectionSpec(whitening=0.125),
        training=TrainingSpec(epochs=5, loss=LossSpec(kl_weight=1, matryoshka_dims=(64, 128)), seed=0),
        precision=Precision.FLOAT32,
        shuffle=False,
        seed=4,
    )
    assert replace(make_spec(changes), gates=None) == expected
    assert make_spec(merge_recipe(recipe, {}, None)[0]).seed == 3


def test_the_keys_of_earlier_recipes_are_read_as_the_new_ones(tmp_path):
    training = {
        "train_words": True,
        "neighbours": 4,
        "loss": {"place": 3, "similarity": 2, "ranking": 1, "prefixes": [64]},
    }
    spec = {
        "projection": {"centred": True},
        "head": "rotation",
        "teacher_texts": 9,
        "variants": 2,
        "anchor": 0.5,
        "untrained_share": 0.25,
        "restored": 0.75,
        "training": training,
        "gates": {"min_kept": 0.1, "min_above_words": 0.2, "prefixes": [32]},
    }
    (tmp_path / "r.json").write_text(json.dumps(RECIPE | {"assistant": "base", "spec": spec}))
    recipe = read_recipe(tmp_path / "r.json")
    assert recipe.teacher_assistant == "base"
    changes, _ = merge_recipe(recipe, {"ensemble_weight": 1.0}, None)
    read = make_spec(changes)
    assert read.projection == ProjectionSpec(centered=True)
    assert read.head_init is HeadInit.PROCRUSTES
    assert (read.n_teacher_texts, read.n_augmented, read.ensemble_weight) == (9, 2, 1.0)
    assert (read.interpolate_init, read.match_variance) == (0.25, 0.75)
    loss = LossSpec(mse_weight=3, similarity_weight=2, kl_weight=1, matryoshka_dims=(64,))
    assert read.training == TrainingSpec(train_word_embeddings=True, group_size=4, loss=loss)
    gates = read.resolve_gates()
    assert (gates.min_relative_agreement, gates.min_above_bm25, gates.matryoshka_dims) == (0.1, 0.2, (32,))


def test_a_recipe_names_one_teacher_or_several(tmp_path):
    path = tmp_path / "r.json"
    for teacher, expected in (("hub/big", ("hub/big",)), (["hub/big", "b:0.7"], ("hub/big", "b:0.7"))):
        path.write_text(json.dumps(RECIPE | {"teacher": teacher}))
        assert read_recipe(path).teachers == expected


def test_a_given_space_replaces_the_recipes_projection_and_vice_versa():
    recipe = Recipe(**RECIPE, spec={"projection": {"dim": 64}}, space=None)
    changes, space = merge_recipe(recipe, {}, "mine")
    assert (make_spec(changes).projection, space) == (None, "mine")
    changes, space = merge_recipe(Recipe(**RECIPE, space="theirs"), {"projection": {"dim": 32}}, None)
    assert (make_spec(changes).projection, space) == (ProjectionSpec(dim=32), None)


def test_defaults_of_a_static_recipe_suit_static_students():
    spec = make_spec({"static": True, "training": {"epochs": 1}})
    assert spec.resolve_training() == replace(STATIC_TRAINING, epochs=1)
    assert spec.resolve_gates().min_relative_agreement < make_spec({}).resolve_gates().min_relative_agreement
    assert make_spec({}).resolve_training() == TrainingSpec()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixture": {}}, "expected keys among name, teacher, .* got 'mixture'"),
        ({"n_texts": "many"}, "expected 'n_texts' to be int"),
        ({"n_texts": 0}, "n_texts: expected at least 1, got 0"),
        ({"n_texts": True}, "expected 'n_texts' to be int, got True"),
        ({"teacher": None}, "expected 'teacher' to be str, got None"),
        ({"teacher": []}, r"expected 'teacher' to be str, got \[\]"),
        ({"teacher": ["a", 1]}, r"expected 'teacher' to be str, got \['a', 1\]"),
        ({"seed": "now"}, "expected 'seed' to be int, got 'now'"),
        ({"assistant": 1}, "expected 'teacher_assistant' to be str, got 1"),
        ({"parallel": "talks"}, "expected 'parallel' to be list, got 'talks'"),
        ({"queries": ["asked", 1]}, r"expected 'queries' to be a list of sources, got \['asked', 1\]"),
        ({"query_pattern": "("}, r"query_pattern: expected a regular expression, got '\('"),
        ({"parallel": ["talks", 1]}, r"expected 'parallel' to be a list of sources, got \['talks', 1\]"),
        ({"licenses": ["MIT"]}, "expected 'licenses' to be dict"),
        ({"mix": {}}, "mix: expected a positive weight"),
        ({"mix": {"a": 0}}, "mix: expected a positive weight"),
        ({"spec": {"epochs": 3}}, "spec: expected fields among layers, .* got 'epochs'"),
        (
            {"spec": {"training": {"loss": {"plaice": 1}}}},
            "spec.training.loss: expected fields among mse_weight, .*'plaice'",
        ),
        ({"spec": {"training": 3}}, "spec.training: expected fields among epochs, .* got 3"),
        ({"spec": {"training": {"epochs": "2"}}}, "spec.training.epochs: expected a value such as 2.0, got '2'"),
        ({"spec": {"static": 1}}, "spec.static: expected a value such as False, got 1"),
        ({"spec": {"seed": True}}, "spec.seed: expected a value such as 0, got True"),
        ({"spec": {"precision": "int4"}}, "spec.precision: expected one of float32, int8, got 'int4'"),
    ],
)
def test_errors_name_unknown_and_wrong_fields(tmp_path, change, message):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(RECIPE | change))
    with pytest.raises(DistillError, match=f"r.json: {message}"):
        read_recipe(path)


def test_a_missing_recipe_is_an_error(tmp_path):
    names = r"\(base, base-first, multilingual, small, small-first, static\)"
    with pytest.raises(DistillError, match=rf"recipe bese: expected a JSON file or .* {names}"):
        read_recipe("bese")
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(DistillError, match=r"r\.json: expected a recipe in JSON"):
        read_recipe(tmp_path / "r.json")
    (tmp_path / "r.json").write_text("[1]")
    with pytest.raises(DistillError, match=r"r\.json: expected one JSON object, got \[1\]"):
        read_recipe(tmp_path / "r.json")


def test_the_recipes_of_the_family_can_be_read():
    assert recipe_names() == ["base", "base-first", "multilingual", "small", "small-first", "static"]
    recipes = {name: read_recipe(name) for name in recipe_names()}
    assert all(recipe.name == name for name, recipe in recipes.items())
    assert len({recipe.teacher for recipe in recipes.values()}) == 1
    specs = {name: make_spec(recipe.spec) for name, recipe in recipes.items()}
    assert (specs["base"].static, specs["small"].static, specs["static"].static) == (False, False, True)
    assert specs["base-first"].projection is not None, "base-first makes the space that the others are trained into"
    assert {specs[name].projection for name in ("base", "small", "static")} == {None}
    assert {recipes[name].student for name in ("base", "small-first", "static")} == {"base-first"}
    assert (recipes["small"].student, recipes["small"].teacher_assistant) == ("small-first", "base")


def test_the_card_names_the_sources_with_their_licenses(sources):
    recipe = Recipe(**RECIPE, license="Apache-2.0", licenses={"a": "CC0-1.0", "hub/big": "MIT"})
    drawn = draw_texts(recipe, sources)
    origin = describe_provenance(recipe, drawn, "make it")
    assert [(s.name, s.n_texts, s.license) for s in origin.sources] == [
        ("a", drawn.counts["a"], "CC0-1.0"),
        ("b", drawn.counts["b"], "not stated"),
    ]
    assert (origin.license, origin.licenses, origin.command) == ("Apache-2.0", {"big": "MIT"}, "make it")
