"""Install the baseline model2vec and distill its token table at first use, under ~/.cache/hpdsearch-bench."""

import sys
from pathlib import Path

from benchmarks.common.environments import OFFLINE, PEERS, baseline_python, baseline_versions
from benchmarks.common.harness import CACHE, run
from benchmarks.common.vector_cache import EncoderSource, baseline_source
from hpdsearch.common.files import file_sha256

SCRIPT = PEERS / "model2vec_encode.py"
DIM = 256


def model2vec_python() -> Path:
    """Return the interpreter of its environment; the first call installs it, which takes minutes and the network."""
    return baseline_python(CACHE / "model2vec" / "venv", PEERS / "model2vec.txt", constraints=None)


def model2vec_table(teacher: Path) -> Path:
    """Return the folder of the token table; the first call distills the teacher with default settings: minutes."""
    table = CACHE / "model2vec" / f"{teacher.resolve().name}-{DIM}"
    if not table.exists():
        print(f"{table}: model2vec distills {teacher}; this takes minutes", file=sys.stderr)
        unfinished = table.with_name(f"{table.name}.partial")
        run([model2vec_python(), SCRIPT, "distill", teacher, unfinished, "--dim", str(DIM)], env=OFFLINE)
        unfinished.replace(table)
    return table


def model2vec_source(teacher: Path) -> EncoderSource:
    """Return model2vec as a source of vectors with DIM dimensions."""
    table = model2vec_table(teacher)
    key = f"model2vec-{file_sha256(table / 'model.safetensors')[:12]}"
    return baseline_source("model2vec", key, [model2vec_python(), SCRIPT, "encode", table])


def model2vec_versions() -> dict[str, str]:
    """Return the versions of its packages."""
    names = ("model2vec", "torch", "transformers", "tokenizers", "numpy")
    return {f"model2vec's {name}": version for name, version in baseline_versions(model2vec_python(), names).items()}
