"""The README does what it says: its Python runs, its tables are those of the result files."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "seismograph - an instrument that records earthquakes" in printed
    assert printed.endswith("2 []\n"), "three documents, one deleted; nothing wrong"


@pytest.mark.parametrize("page", ["README.md", "benchmarks/REPORT.md"])
def test_the_pages_are_made_from_the_result_files(page: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(ROOT / "benchmarks" / "results", results)
    for name in ("README.md", "benchmarks/REPORT.md"):
        shutil.copy(ROOT / name, tmp_path / Path(name).name)
    words = ["--results", results, "--page", tmp_path / "REPORT.md", "--readme", tmp_path / "README.md"]
    subprocess.run([sys.executable, "-m", "benchmarks.report.write", *words], capture_output=True, check=True, cwd=ROOT)
    assert (tmp_path / Path(page).name).read_text() == (ROOT / page).read_text(), (
        "run python -m benchmarks.report.write --readme README.md"
    )
