"""Install the baseline sentence-transformers and export its models at first use, under ~/.cache/hpdsearch-bench.

Its ONNX backend has a second environment, because the two need different versions of transformers.
"""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.common.environments import OFFLINE, PEERS, baseline_python, baseline_versions
from benchmarks.common.harness import CACHE, run

EXPORT = PEERS / "sentence_transformers_export.py"
TORCH_PACKAGES = ("sentence-transformers", "torch", "transformers")
ONNX_PACKAGES = ("sentence-transformers", "optimum-onnx", "onnxruntime", "transformers")


def torch_python() -> Path:
    """Return the interpreter of the environment with torch, which product/startup.py uses, too."""
    return baseline_python(CACHE / "st")


def onnx_python() -> Path:
    """Return the interpreter of the environment of the ONNX backend."""
    return baseline_python(CACHE / "st-onnx", PEERS / "sentence_transformers_onnx.txt", constraints=None)


def onnx_model(model: Path) -> Path:
    """Return the folder of the ONNX model; the first call lets sentence-transformers export a local model."""
    exported = CACHE / "st-onnx-models" / model.resolve().name
    if not exported.exists():
        print(f"{exported}: exporting {model} to ONNX", file=sys.stderr)
        unfinished = exported.with_name(f"{exported.name}.partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        run([onnx_python(), EXPORT, model, unfinished], env=OFFLINE)
        unfinished.replace(exported)
    return exported


def sentence_transformers_versions(systems: Iterable[str]) -> dict[str, str]:
    """Return the package versions of each environment that one of the systems ran in."""
    names = list(systems)
    found: dict[str, str] = {}
    if any(", torch " in name for name in names):
        versions = baseline_versions(torch_python(), TORCH_PACKAGES)
        found |= {f"sentence-transformers in torch: {name}": version for name, version in versions.items()}
    if any(name.endswith(", ONNX") for name in names):
        versions = baseline_versions(onnx_python(), ONNX_PACKAGES)
        found |= {f"sentence-transformers in ONNX: {name}": version for name, version in versions.items()}
    return found
