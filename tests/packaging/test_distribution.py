"""The wheel: what it holds, and that it answers a query in an empty environment outside the repository."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

import hpdsearch

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without this checkout on the import path, and return its output."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(python: Path, *packages: str | Path, cwd: Path) -> None:
    constraints = ("--constraint", ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", "--quiet", *constraints, *packages, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    with FileLock(tmp_path_factory.getbasetemp().parent / "wheel.lock"):  # two builds at once share the folder build/
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_the_package_the_encoders_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"hpdsearch-{hpdsearch.__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"hpdsearch", f"hpdsearch-{hpdsearch.__version__}.dist-info"}
    package = ROOT / "hpdsearch"
    files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    expected = {path.relative_to(ROOT).as_posix() for path in files}
    assert {name for name in names if name.startswith("hpdsearch/")} == expected


def readme_megabytes(sentence: str) -> int:
    """Return the number that README states in a sentence of this form."""
    match = re.search(sentence.replace("NUMBER", r"([\d,]+)"), (ROOT / "README.md").read_text(encoding="utf-8"))
    assert match, sentence
    return int(match[1].replace(",", ""))


@pytest.mark.slow
def test_the_wheel_is_as_large_as_readme_states(wheel: Path) -> None:
    stated = readme_megabytes("The wheel takes NUMBER MB")
    assert wheel.stat().st_size / 1e6 == pytest.approx(stated, abs=0.6)


@pytest.mark.slow
def test_the_wheel_answers_a_query_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    install(scripts / "python", wheel, cwd=tmp_path)
    installed = run(scripts / "python", "-m", "pip", "list", "--format", "freeze", cwd=tmp_path)
    assert not re.search(r"^(torch|transformers|onnx|nvidia-\w+)==", installed, flags=re.MULTILINE)
    (site,) = (tmp_path / "venv").rglob("site-packages")
    size_bytes = sum(path.stat().st_size for path in site.rglob("*") if path.is_file() and "pip" not in path.parts)
    if sys.platform == "linux" and sys.version_info[:2] == (3, 11):
        stated = readme_megabytes("A plain install takes NUMBER MB on Linux")
        assert size_bytes / 1e6 == pytest.approx(stated, rel=0.1)
    (tmp_path / "corpus.txt").write_text("abnormal fear of spiders\nan instrument that records earthquakes\n")
    run(scripts / "hpdsearch", "index", "corpus.txt", "-o", "index", cwd=tmp_path)
    found = run(scripts / "hpdsearch", "query", "what measures tremors", "-i", "index", "-k", "1", cwd=tmp_path)
    assert "an instrument that records earthquakes" in found


def test_citation_and_changelog_name_the_version() -> None:
    version = re.escape(hpdsearch.__version__)
    assert re.search(rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE)
    assert re.search(rf"^## {version}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_constraints_pin_every_requirement_of_every_extra() -> None:
    """A requirement that is not pinned would make `make test` depend on the day."""
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8").split("\n[mypy]")[0]
    required = set(re.findall(r"^    ([A-Za-z0-9_-]+)(?:\[\w+\])?[<>=]", setup, flags=re.MULTILINE))
    pinned = re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert {"numpy", "torch", "pytest"} <= required
    canonical = {re.sub(r"[-_.]+", "-", name).lower() for name in pinned}
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in required} <= canonical
