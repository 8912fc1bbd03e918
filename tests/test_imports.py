"""Heavy libraries are imported only where they belong. The levels of the folders are a contract in pyproject.toml."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hpdsearch

PACKAGE = Path(hpdsearch.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

HOMES = {
    "torch": ("distillation/", "encoder/torch_backend.py"),
    "transformers": ("distillation/", "encoder/torch_backend.py"),
    "faiss": ("dense/",),
}


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Return the full name of every module that a source imports, also in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def get_package(path: Path) -> str:
    return ".".join(["hpdsearch", *path.relative_to(PACKAGE).parent.parts])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_only_where_they_belong(path):
    relative = path.relative_to(PACKAGE).as_posix()
    imported = {name.split(".")[0] for name in imported_modules(path.read_text(), get_package(path))}
    astray = {library for library in imported & HOMES.keys() if not relative.startswith(HOMES[library])}
    assert not astray, f"{relative} may not import {sorted(astray)}"


def find_loaded_libraries(*code: str) -> set[str]:
    """Return the libraries in sys.modules after running some lines in a new interpreter."""
    lines = [*code, "import sys", "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"]
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return set(run.stdout.rsplit("LOADED", 1)[1].split())


HEAVY = {"torch", "transformers", "faiss", "onnxruntime"}


def test_importing_the_package_is_cheap():
    loaded = find_loaded_libraries("import hpdsearch", "hpdsearch.Document, hpdsearch.Hit, hpdsearch.HpdsearchError")
    assert not loaded & (HEAVY | {"numpy", "tantivy", "sqlite3", "click"})


def test_help_is_cheap():
    help_ = "assert CliRunner().invoke(main, ['--help']).output.startswith('Usage')"
    loaded = find_loaded_libraries("from click.testing import CliRunner", "from hpdsearch.cli import main", help_)
    assert not loaded & HEAVY


def test_encoding_and_searching_need_no_torch(tiny_folder):
    encode = f"Encoder.load({str(tiny_folder)!r}).encode(['water'])"
    loaded = find_loaded_libraries("from hpdsearch import Encoder, Index", "import hpdsearch.search.searcher", encode)
    assert loaded & HEAVY == {"faiss", "onnxruntime"}
