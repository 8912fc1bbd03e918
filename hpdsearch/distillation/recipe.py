"""Recipes: all that an encoder was made with, in one JSON file, and the texts that it draws from its sources.

    {"name": "small", "teacher": "...", "student": "base", "assistant": "base",
     "spec": {"layers": [0, 2, 5], "training": {"epochs": 2, "loss": {"ranking": 1.0}}},
     "mix": {"news": 3, "books": 1}, "n_texts": 100000, "seed": 0,
     "license": "Apache-2.0", "licenses": {"news": "CC-BY-4.0"}}

`spec` holds only what differs from the defaults. A source is a file SOURCE.txt.gz, a text a line.
"""

import gzip
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from hpdsearch.distillation.export.model_card import TextSource
from hpdsearch.distillation.space.projection import ProjectionSpec
from hpdsearch.distillation.spec import NOT_STATED, DistillSpec, Origin
from hpdsearch.encoder.folder import BUILT_IN
from hpdsearch.errors import DistillError

RECIPES = BUILT_IN / "recipes"
SOURCE = "{}.txt.gz"
KINDS = {"name": str, "teacher": str, "student": str, "mix": dict, "n_texts": int, "seed": int}
KINDS |= {"assistant": str, "space": str, "spec": dict, "license": str, "licenses": dict}
NEEDED = ("name", "teacher", "student", "mix", "n_texts")
Changes = Mapping[str, Any]  # what differs from a spec's defaults, nested as the spec is


@dataclass(frozen=True)
class Recipe:
    """What an encoder is made from, and how.

    Attributes:
        name: of the encoder.
        teacher: name on a hub, or folder.
        student: what training begins from.
        mix: weight of each source.
        n_texts: texts drawn, those that are drawn twice included.
        seed: of the draw, and of all else unless `spec` has one.
        assistant: see pipeline.distill.
        space: see pipeline.distill.
        spec: what differs from the defaults of DistillSpec.
        license: of the encoder.
        licenses: of sources, teacher and student, by name.
    """

    name: str
    teacher: str
    student: str
    mix: Mapping[str, float]
    n_texts: int
    seed: int = 0
    assistant: str | None = None
    space: str | None = None
    spec: Changes = field(default_factory=dict)
    license: str = "other"
    licenses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RecipeTexts:
    """The texts of a recipe: each once, in the order of the draw, and how many come from each source."""

    texts: list[str]
    counts: Mapping[str, int]


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with the package, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.json"))


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: a built-in recipe's name, or a JSON file.

    Raises:
        DistillError: there is none, or it has an unknown, missing or wrong field.
    """
    path = RECIPES / f"{name_or_path}.json" if str(name_or_path) in recipe_names() else Path(name_or_path)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DistillError(
            f"recipe {name_or_path}: expected a JSON file or the name of a built-in recipe "
            f"({', '.join(recipe_names()) or 'none is installed'}), found neither"
        ) from None
    except (OSError, ValueError) as error:
        raise DistillError(f"{path}: expected a recipe in JSON: {error}") from None
    if not isinstance(content, dict):
        raise DistillError(f"{path}: expected one JSON object, got {content!r:.80}")
    if unknown := sorted(content.keys() - KINDS.keys()):
        raise DistillError(f"{path}: expected keys among {', '.join(KINDS)}, got {unknown[0]!r}")
    for key, kind in KINDS.items():
        given = content.get(key)
        if type(given) is not kind and (given is not None or key in NEEDED):
            raise DistillError(f"{path}: expected {key!r} to be {kind.__name__}, got {given!r:.80}")
    mix = content["mix"]
    if content["n_texts"] < 1:
        raise DistillError(f"{path}: n_texts: expected at least 1, got {content['n_texts']}")
    if not mix or not all(_is_number(weight) and weight > 0 for weight in mix.values()):
        raise DistillError(f"{path}: mix: expected a positive weight for each source, got {mix}")
    recipe = Recipe(**{key: value for key, value in content.items() if value is not None})
    try:
        make_spec(recipe.spec)
    except DistillError as error:
        raise DistillError(f"{path}: {error}") from None
    return recipe


def make_spec(changes: Changes) -> DistillSpec:
    """Return the defaults with some changes: of a static student's training, if `static` is among the changes.

    Args:
        changes: nested as DistillSpec is: {"training": {"epochs": 2}}; enums by their values.

    Raises:
        DistillError: an unknown field, or a value of another kind.
    """
    spec: DistillSpec = _changed(default_spec(static=changes.get("static") is True), changes, place="spec")
    return spec if changes.get("projection") else replace(spec, projection=None)


def default_spec(*, static: bool) -> DistillSpec:
    """Return the defaults, with all that suits the kind of student filled in."""
    spec = DistillSpec(static=static)
    return replace(spec, projection=ProjectionSpec(), training=spec.completed_training(), gates=spec.completed_gates())


def merged(under: Changes, over: Changes) -> dict[str, Any]:
    """Return both changes, nested; where both change one field, `over` wins."""
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def merged_with(recipe: Recipe, changes: Changes, space: str | None) -> tuple[dict[str, Any], str | None]:
    """Return changes and space of a recipe where the given ones leave anything open."""
    # A recipe's texts come in random order, and the embeddings of the first ones may be in the cache.
    result = merged({"seed": recipe.seed, "shuffle": False, **recipe.spec}, changes)
    if space and "projection" not in changes:
        result.pop("projection", None)
    return result, space or (None if "projection" in changes else recipe.space)


def draw_texts(recipe: Recipe, folder: Path) -> RecipeTexts:
    """Draw the texts of a recipe: any first part of the draw is mixed as the whole; equal seeds draw the same texts.

    Args:
        recipe: its mix, n_texts and seed count.
        folder: holds SOURCE.txt.gz for each source of the mix.

    Raises:
        DistillError: a source is missing or cannot be read, or they do not hold n_texts.
    """
    names = sorted(recipe.mix)
    pools = {name: _pool(folder, name) for name in names}
    if (n_lines := sum(map(len, pools.values()))) < recipe.n_texts:
        raise DistillError(
            f"{folder}: expected sources with {recipe.n_texts:,} texts (n_texts of recipe {recipe.name}), got "
            f"{n_lines:,}; give a smaller n_texts"
        )
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
    return RecipeTexts([text for text in drawn if text.strip()], counts)


def origin_of(recipe: Recipe, texts: RecipeTexts, command: str) -> Origin:
    """Return what the model card tells of a recipe's texts."""
    return Origin(
        sources=[
            TextSource(name, texts.counts[name], recipe.licenses.get(name, NOT_STATED)) for name in sorted(texts.counts)
        ],
        license=recipe.license,
        licenses={Path(name).name: said for name, said in recipe.licenses.items() if name not in recipe.mix},
        command=command,
    )


def _pool(folder: Path, name: str) -> list[str]:
    path = folder / SOURCE.format(name)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = [line.rstrip("\n") for line in file]
    except FileNotFoundError:
        raise DistillError(
            f"{path}: expected the texts of source {name!r}, a text a line; there is no such file"
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise DistillError(f"{path}: expected a gzip file of UTF-8 lines: {error}") from None
    random.Random(name).shuffle(lines)
    return lines


def _changed(default: Any, changes: Any, *, place: str) -> Any:
    """Return a value of the default's kind: a dataclass with some fields changed, an enum, a tuple or a number."""
    if is_dataclass(default) and not isinstance(default, type):
        known = [known.name for known in fields(default)]
        if not isinstance(changes, Mapping):
            raise DistillError(f"{place}: expected fields among {', '.join(known)}, got {changes!r}")
        if unknown := sorted(changes.keys() - set(known)):
            raise DistillError(f"{place}: expected fields among {', '.join(known)}, got {unknown[0]!r}")
        inner = {key: _changed(getattr(default, key), value, place=f"{place}.{key}") for key, value in changes.items()}
        return replace(default, **inner)
    if isinstance(default, Enum):
        try:
            return type(default)(changes)
        except ValueError:
            kinds = ", ".join(kind.value for kind in type(default))
            raise DistillError(f"{place}: expected one of {kinds}, got {changes!r}") from None
    if isinstance(changes, list | tuple):
        fits, changes = default is None or isinstance(default, tuple), tuple(changes)
    elif isinstance(default, bool):
        fits = isinstance(changes, bool)
    elif isinstance(default, float):
        fits = _is_number(changes)
    else:
        fits = type(changes) is int and (default is None or isinstance(default, int))
    if not fits:
        raise DistillError(f"{place}: expected a value like {default!r}, got {changes!r}")
    return changes


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
