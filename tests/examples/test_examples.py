"""Every script in examples/ runs as its docstring says, and prints the hits that it names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTED = {
    "index_and_search": "dense:\n  0.6",
    "filters": "year >= 2020: 3 of 4 documents match: ['1',",
    "incremental_update": "updated: 2 written, 1 unchanged, 1 deleted",
    "compare_encoders": "static  dim 256",
    "batch_evaluation": "hybrid   nDCG@10 0.",
    "own_encoder": "mean cosine to the teacher in the space",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    if name == "own_encoder":
        pytest.importorskip("torch", reason='needs pip install "hpdsearch[distill]"')
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert PRINTED[name] in result.stdout
    assert not list(tmp_path.iterdir()), "an example leaves no files behind"


def test_every_example_is_tested_and_listed() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    assert scripts == set(PRINTED)
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"{name}.py" in page for name in scripts)
