"""The README does what it says: its Python runs, its tables are those of the result files."""

import re
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


def test_the_benchmark_tables_of_the_readme_are_made_from_the_result_files() -> None:
    script = ROOT / "benchmarks" / "table.py"
    made = subprocess.run([sys.executable, script, "--targets"], capture_output=True, text=True, check=True).stdout
    assert made.strip() in README, (
        "paste the output of benchmarks/table.py --targets into README.md, section Benchmarks"
    )
