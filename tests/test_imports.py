"""The import rule: imports point only down, and heavy libraries stay behind the stage that needs them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hpdsearch

PACKAGE = Path(hpdsearch.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# The row of each module or folder: it may import those of lower rows. "__init__" is the package itself (__version__).
LEVEL = {
    **dict.fromkeys(["errors", "records", "progress"], 0),
    **dict.fromkeys(["__init__", "files", "filters", "vectors", "corpus", "passages"], 1),
    **dict.fromkeys(["encoder", "dense", "lexical", "catalog", "evaluation", "plotting"], 2),
    **dict.fromkeys(["state", "segment_files", "lexical_files"], 3),
    **dict.fromkeys(["search", "lexical_buffer"], 4),
    "transaction": 5,
    "merging": 6,
    "arriving": 7,
    **dict.fromkeys(["opening", "reuse", "verify"], 6),
    **dict.fromkeys(["info", "ingest"], 8),
    **dict.fromkeys(["curves", "update"], 9),
    **dict.fromkeys(["engine", "distill"], 10),
    **dict.fromkeys(["cli"], 11),
    "__main__": 12,
}
HOMES = {
    "torch": ("distill/", "encoder/torch_backend.py"),
    "transformers": ("distill/", "encoder/torch_backend.py"),
    "faiss": ("dense/",),
}


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Every module that a source imports anywhere, in functions and under TYPE_CHECKING too, with its full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from hpdsearch import x` may name a module or a member; imported_parts() tells which.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_parts(source: str, package: str) -> set[str]:
    """The modules and folders of hpdsearch that a source imports, as they stand in LEVEL."""
    names = [name.split(".") for name in imported_modules(source, package)]
    parts = [name[1] if len(name) > 1 else "__init__" for name in names if name[0] == "hpdsearch"]
    return {part if _is_module(part) else "__init__" for part in parts}


def _is_module(part: str) -> bool:
    return (PACKAGE / f"{part}.py").is_file() or (PACKAGE / part / "__init__.py").is_file()


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def package_of(path: Path) -> str:
    return ".".join(["hpdsearch", *path.relative_to(PACKAGE).parent.parts])


def too_high(path: Path, source: str) -> set[str]:
    part = part_of(path)
    return {p for p in imported_parts(source, package_of(path)) - {part} if LEVEL[p] >= LEVEL[part]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_point_down(path):
    assert part_of(path) in LEVEL, f"give {part_of(path)} its row in LEVEL, and in DESIGN.md section 3"
    if path == PACKAGE / "__init__.py":
        return  # it names what other modules hold, and imports them on first use
    found = too_high(path, path.read_text())
    assert not found, f"{path.relative_to(PACKAGE)} ({part_of(path)}) may not import {sorted(found)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_only_where_they_belong(path):
    place = path.relative_to(PACKAGE).as_posix()
    imported = {name.split(".")[0] for name in imported_modules(path.read_text(), package_of(path))}
    astray = {library for library in imported & HOMES.keys() if not place.startswith(HOMES[library])}
    assert not astray, f"{place} may not import {sorted(astray)}"


@pytest.mark.parametrize(
    ("place", "source", "expected"),
    [
        ("catalog/reader.py", "import hpdsearch.lexical", {"lexical"}),
        ("catalog/reader.py", "from hpdsearch.dense.spec import Kind", {"dense"}),
        ("lexical.py", "def f():\n    from hpdsearch import catalog, __version__", {"catalog"}),
        (
            "records.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hpdsearch import engine",
            {"engine"},
        ),
        ("dense/build.py", "from ..encoder import Encoder\nfrom .spec import Kind", {"encoder"}),
        ("files.py", "import hpdsearch", {"__init__"}),
        ("search.py", "from hpdsearch.catalog import Catalog\nimport numpy, errors", set()),
    ],
)
def test_the_rule_sees_every_way_of_importing(place, source, expected):
    assert too_high(PACKAGE / place, source) == expected


def loaded_by(*code: str) -> set[str]:
    """The libraries in sys.modules after running some lines in a new interpreter."""
    lines = [*code, "import sys", "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"]
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return set(run.stdout.rsplit("LOADED", 1)[1].split())


HEAVY = {"torch", "transformers", "faiss", "onnxruntime"}


def test_importing_the_package_is_cheap():
    loaded = loaded_by("import hpdsearch", "hpdsearch.Document, hpdsearch.Hit, hpdsearch.HpdsearchError")
    assert not loaded & (HEAVY | {"numpy", "tantivy", "sqlite3", "click"})


def test_help_is_cheap():
    help_ = "assert CliRunner().invoke(main, ['--help']).output.startswith('Usage')"
    loaded = loaded_by("from click.testing import CliRunner", "from hpdsearch.cli import main", help_)
    assert not loaded & HEAVY


def test_encoding_and_searching_need_no_torch(tiny_folder):
    encode = f"Encoder.load({str(tiny_folder)!r}).encode(['water'])"
    loaded = loaded_by("from hpdsearch import Encoder, Index", "import hpdsearch.search", encode)
    assert loaded & HEAVY == {"faiss", "onnxruntime"}
