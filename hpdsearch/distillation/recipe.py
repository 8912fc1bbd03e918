"""Recipes: the settings, models and text sources of an encoder in one JSON file.

    {"name": "small", "teacher": "...", "student": "base", "teacher_assistant": "base",
     "spec": {"layers": [0, 2, 5], "training": {"epochs": 2, "loss": {"kl_weight": 1.0}}},
     "mix": {"news": 3, "books": 1}, "n_texts": 100000, "seed": 0,
     "license": "Apache-2.0", "licenses": {"news": "CC-BY-4.0"}}

`spec` contains only the fields that differ from the defaults. A source is a file SOURCE.txt.gz with one text per line.
With "parallel": ["talks"] the encoder learns the translations of talks.tsv.gz too (see data/parallel.py).
With "queries": ["asked"] it gets a query adapter that is fitted to the lines of asked.txt.gz, and with "query_pattern"
to those alone in which this regular expression matches at the beginning (see queries.py).
"""

import gzip
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from hpdsearch.common.files import parse_json
from hpdsearch.distillation.data.parallel import Pair, read_pairs
from hpdsearch.distillation.export.model_card import UNKNOWN_LICENSE, Provenance, TextSource
from hpdsearch.distillation.queries import select_queries
from hpdsearch.distillation.spec import DistillSpec, ProjectionSpec
from hpdsearch.encoder.folder import BUILT_IN
from hpdsearch.errors import DistillError

RECIPES = BUILT_IN / "recipes"
SOURCE = "{}.txt.gz"
PARALLEL_SOURCE = "{}.tsv.gz"
FIELD_TYPES = {"name": str, "teacher": str, "student": str, "mix": dict, "n_texts": int, "seed": int}
FIELD_TYPES |= {"teacher_assistant": str, "space": str, "spec": dict, "license": str, "licenses": dict}
FIELD_TYPES |= {"parallel": list, "queries": list, "query_pattern": str}
REQUIRED = ("name", "teacher", "student", "mix", "n_texts")
Changes = Mapping[str, Any]  # the fields that differ from a spec's defaults, nested as the spec is
# The keys and values of hpdsearch 0.1, which this release still reads.
RENAMED_KEYS = {
    "assistant": "teacher_assistant",
    "head": "head_init",
    "variants": "n_augmented",
    "teacher_texts": "n_teacher_texts",
    "anchor": "ensemble_weight",
    "untrained_share": "interpolate_init",
    "restored": "match_variance",
    "centred": "centered",
    "neighbours": "group_size",
    "train_words": "train_word_embeddings",
    "place": "mse_weight",
    "similarity": "similarity_weight",
    "ranking": "kl_weight",
    "prefixes": "matryoshka_dims",
    "min_kept": "min_relative_agreement",
    "min_above_words": "min_above_bm25",
}
RENAMED_VALUES = {"both": "ridge_to_procrustes", "rotation": "procrustes"}  # of head_init


@dataclass(frozen=True)
class Recipe:
    """The content of a recipe file.

    Attributes:
        name: of the encoder.
        teacher: name on the Hugging Face hub, or folder; or a list of MODEL or MODEL:WEIGHT (see WeightedTeacher).
        student: the initial model.
        mix: weight of each source.
        n_texts: texts to draw, including texts that are drawn twice.
        seed: of the draw, and of the distillation unless `spec` has one.
        teacher_assistant: see pipeline.distill.
        space: see pipeline.distill.
        spec: fields that differ from the defaults of DistillSpec.
        parallel: sources of parallel texts, all of which are used.
        queries: sources of queries that the query adapter is fitted to; without any the encoder has none.
        query_pattern: regular expression that selects among the queries.
        license: of the encoder.
        licenses: of sources, teacher and student, by name.
    """

    name: str
    teacher: str | Sequence[str]
    student: str
    mix: Mapping[str, float]
    n_texts: int
    seed: int = 0
    teacher_assistant: str | None = None
    space: str | None = None
    spec: Changes = field(default_factory=dict)
    parallel: Sequence[str] = ()
    queries: Sequence[str] = ()
    query_pattern: str = ""
    license: str = "other"
    licenses: Mapping[str, str] = field(default_factory=dict)

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teacher or teachers, as MODEL or MODEL:WEIGHT."""
        return (self.teacher,) if isinstance(self.teacher, str) else tuple(self.teacher)


@dataclass(frozen=True)
class RecipeTexts:
    """The distinct texts of a recipe in the order of the draw, their number by source, its parallel texts and queries.

    A query that stands in a source is among the queries whether or not it was drawn as a text.
    """

    texts: list[str]
    counts: Mapping[str, int]
    pairs: list[Pair] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)


def recipe_names() -> list[str]:
    """Return the names of the built-in recipes, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.json"))


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: name of a built-in recipe, or a JSON file.

    Raises:
        DistillError: there is no such recipe, or a field of it is unknown, missing or invalid.
    """
    path = RECIPES / f"{name_or_path}.json" if str(name_or_path) in recipe_names() else Path(name_or_path)
    try:
        content = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise DistillError(
            f"recipe {name_or_path}: expected a JSON file or the name of a built-in recipe "
            f"({', '.join(recipe_names()) or 'none is installed'}), found neither"
        ) from None
    except (OSError, ValueError) as error:
        raise DistillError(f"{path}: expected a recipe in JSON: {error}") from None
    if not isinstance(content, dict):
        raise DistillError(f"{path}: expected one JSON object, got {content!r:.80}")
    content = {RENAMED_KEYS.get(key, key): value for key, value in content.items()}
    if unknown := sorted(content.keys() - FIELD_TYPES.keys()):
        raise DistillError(f"{path}: expected keys among {', '.join(FIELD_TYPES)}, got {unknown[0]!r}")
    for key, expected in FIELD_TYPES.items():
        value = content.get(key)
        values = value if key == "teacher" and isinstance(value, list) and value else [value]
        if not all(type(each) is expected for each in values) and (value is not None or key in REQUIRED):
            raise DistillError(f"{path}: expected {key!r} to be {expected.__name__}, got {value!r:.80}")
    mix = content["mix"]
    if content["n_texts"] < 1:
        raise DistillError(f"{path}: n_texts: expected at least 1, got {content['n_texts']}")
    if not mix or not all(_is_number(weight) and weight > 0 for weight in mix.values()):
        raise DistillError(f"{path}: mix: expected a positive weight for each source, got {mix}")
    for key in ("parallel", "queries"):
        if not all(isinstance(name, str) for name in content.get(key) or ()):
            raise DistillError(f"{path}: expected {key!r} to be a list of sources, got {content[key]!r:.80}")
    content["spec"] = rename_keys(content.get("spec") or {})
    recipe = Recipe(**{key: value for key, value in content.items() if value is not None})
    try:
        select_queries((), recipe.query_pattern)
        make_spec(recipe.spec)
    except DistillError as error:
        raise DistillError(f"{path}: {error}") from None
    return recipe


def rename_keys(changes: Changes) -> dict[str, Any]:
    """Replace the keys and values of hpdsearch 0.1 by those of this release."""
    renamed: dict[str, Any] = {}
    for key, value in changes.items():
        key = RENAMED_KEYS.get(key, key)
        if isinstance(value, Mapping):
            value = rename_keys(value)
        elif key == "head_init" and isinstance(value, str):
            value = RENAMED_VALUES.get(value, value)
        renamed[key] = value
    return renamed


def make_spec(changes: Changes) -> DistillSpec:
    """Apply changes to the defaults, which are those of a static student if the changes set `static`.

    Args:
        changes: nested as DistillSpec is: {"training": {"epochs": 2}}; enums by their values.

    Raises:
        DistillError: a field is unknown, or its value has the wrong type.
    """
    defaults = default_spec(static=changes.get("static") is True)
    spec: DistillSpec = _apply_changes(defaults, changes, path="spec")
    return spec if changes.get("projection") else replace(spec, projection=None)


def default_spec(*, static: bool) -> DistillSpec:
    """Return the defaults of a student type, with its training settings and gates filled in."""
    spec = DistillSpec(static=static)
    return replace(spec, projection=ProjectionSpec(), training=spec.resolve_training(), gates=spec.resolve_gates())


def merge_changes(under: Changes, over: Changes) -> dict[str, Any]:
    """Merge nested changes. Where both change a field, `over` has priority."""
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge_changes(result[key], value) if both else value
    return result


def merge_recipe(recipe: Recipe, changes: Changes, space: str | None) -> tuple[dict[str, Any], str | None]:
    """Return the changes and the space of a recipe, with the given ones in priority."""
    # The texts of a recipe are in random order already, and the embeddings of the first ones may be in the cache.
    result = merge_changes({"seed": recipe.seed, "shuffle": False, **recipe.spec}, changes)
    if space and "projection" not in changes:
        result.pop("projection", None)
    return result, space or (None if "projection" in changes else recipe.space)


def draw_texts(recipe: Recipe, folder: Path) -> RecipeTexts:
    """Draw the texts of a recipe. Every prefix of the draw has the same mix. Equal seeds give equal draws.

    Args:
        recipe: its mix, n_texts and seed are used.
        folder: it contains SOURCE.txt.gz for each source of the mix, and SOURCE.tsv.gz for each parallel one.

    Raises:
        DistillError: a source is missing or cannot be read, or the sources have fewer texts than n_texts.
    """
    names = sorted(recipe.mix)
    pools = {name: _read_source(folder, name) for name in names}
    if (n_lines := sum(map(len, pools.values()))) < recipe.n_texts:
        raise DistillError(
            f"{folder}: expected sources with {recipe.n_texts:,} texts (n_texts of recipe {recipe.name}), got "
            f"{n_lines:,}; give a smaller n_texts"
        )
    queries = [query for name in recipe.queries for query in _read_source(folder, name)]
    queries = select_queries(queries, recipe.query_pattern)
    weights = [recipe.mix[name] for name in names]
    chance = random.Random(recipe.seed)
    drawn: dict[str, str] = {}  # text -> source of its first draw
    n_drawn = 0
    while n_drawn < recipe.n_texts:
        name = chance.choices(names, weights)[0]
        if pools[name]:
            drawn.setdefault(pools[name].pop(), name)
            n_drawn += 1
    counts = Counter(name for text, name in drawn.items() if text.strip())
    pairs: list[Pair] = []
    for name in recipe.parallel:
        of_source = read_pairs([folder / PARALLEL_SOURCE.format(name)])
        counts[name] = len(of_source)
        pairs += of_source
    return RecipeTexts([text for text in drawn if text.strip()], counts, list(dict.fromkeys(pairs)), queries)


def describe_provenance(recipe: Recipe, texts: RecipeTexts, command: str) -> Provenance:
    """Return the sources and licenses of a recipe for the model card."""
    return Provenance(
        sources=[
            TextSource(name, texts.counts[name], recipe.licenses.get(name, UNKNOWN_LICENSE))
            for name in sorted(texts.counts)
        ],
        license=recipe.license,
        licenses={Path(name).name: license for name, license in recipe.licenses.items() if name not in texts.counts},
        command=command,
    )


def _read_source(folder: Path, name: str) -> list[str]:
    """Read the texts of a source in an order that depends on its name only."""
    path = folder / SOURCE.format(name)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = [line.rstrip("\n") for line in file]
    except FileNotFoundError:
        raise DistillError(
            f"{path}: expected the texts of source {name!r}, one per line; there is no such file"
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise DistillError(f"{path}: expected a gzip file of UTF-8 lines: {error}") from None
    random.Random(name).shuffle(lines)
    return lines


def _apply_changes(default: Any, changes: Any, *, path: str) -> Any:
    """Return a value of the default's type: a dataclass with changed fields, an enum, a tuple or a number."""
    if is_dataclass(default) and not isinstance(default, type):
        known = [known.name for known in fields(default)]
        if not isinstance(changes, Mapping):
            raise DistillError(f"{path}: expected fields among {', '.join(known)}, got {changes!r}")
        if unknown := sorted(changes.keys() - set(known)):
            raise DistillError(f"{path}: expected fields among {', '.join(known)}, got {unknown[0]!r}")
        inner = {
            key: _apply_changes(getattr(default, key), value, path=f"{path}.{key}") for key, value in changes.items()
        }
        return replace(default, **inner)
    if isinstance(default, Enum):
        try:
            return type(default)(changes)
        except ValueError:
            choices = ", ".join(choice.value for choice in type(default))
            raise DistillError(f"{path}: expected one of {choices}, got {changes!r}") from None
    if isinstance(changes, list | tuple):
        fits = default is None or isinstance(default, tuple)
        changes = tuple(changes)
    elif isinstance(default, bool):
        fits = isinstance(changes, bool)
    elif isinstance(default, float):
        fits = _is_number(changes)
    else:
        fits = type(changes) is int and (default is None or isinstance(default, int))
    if not fits:
        raise DistillError(f"{path}: expected a value such as {default!r}, got {changes!r}")
    return changes


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
