"""Backend auto: onnxruntime, unless openvino is installed and was measured to be faster here.

The measurement is made once for an encoder, versions and processor, and remembered under the user's cache folder.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from hpdsearch.common.files import published
from hpdsearch.encoder.transformer import Runner
from hpdsearch.errors import HpdsearchError

logger = logging.getLogger(__name__)

SHAPES = ((1, 12), (16, 16), (2, 128))  # (texts, tokens): a query, short texts, passages
ROUNDS = 5
MARGIN = 0.9  # of onnxruntime's time: a runtime that takes longer to load must be worth it
PROCESSOR = Path("/proc/cpuinfo")
FEATURES = {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16"}  # a virtual machine's name may not tell them

Openers = Mapping[str, Callable[[], Runner]]


def fastest(openers: Openers, encoder_hash: str, *, longest: int) -> str:
    """Return which of the runners "onnx" and "openvino" encodes faster on this machine.

    Args:
        openers: open each runner; called only if nothing is remembered.
        encoder_hash: of the encoder; another one is measured anew.
        longest: tokens that the encoder takes at once.
    """
    try:
        runtimes = [f"{name} {version(name)}" for name in ("onnxruntime", "openvino")]
    except PackageNotFoundError as error:  # a module of that name, but not installed as a package
        logger.info("%s: no version is known, so nothing is measured", error)
        return "onnx"
    key = ", ".join([encoder_hash, *runtimes, processor()])
    path = memory_file()
    remembered = read_memory(path)
    if remembered.get(key) in openers:
        return remembered[key]
    try:
        seconds = measure({name: opener() for name, opener in openers.items()}, longest=longest)
    except HpdsearchError as error:
        logger.warning("%s; going on with onnxruntime (set HPDSEARCH_BACKEND=onnx and openvino is not tried)", error)
        return "onnx"
    choice = "openvino" if seconds["openvino"] < MARGIN * seconds["onnx"] else "onnx"
    logger.info("%s: %s, remembered in %s", encoder_hash, seconds, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with published(path) as file:
            file.write((json.dumps(remembered | {key: choice}, indent=2) + "\n").encode())
    except OSError as error:  # a home that cannot be written: measured again next time
        logger.info("%s: cannot be written (%s)", path, error.strerror)
    return choice


def measure(runners: Mapping[str, Runner], *, longest: int) -> dict[str, float]:
    """Return the seconds of each runner: the best of a few rounds in turns, summed over shapes."""
    rng = np.random.default_rng(0)
    total = dict.fromkeys(runners, 0.0)
    for n_texts, n_tokens in SHAPES:
        ids = rng.integers(1, 20, (n_texts, min(n_tokens, longest)))  # ids that any vocabulary has
        best = dict.fromkeys(runners, float("inf"))
        for _ in range(ROUNDS):
            for name, runner in runners.items():
                start = time.perf_counter()
                runner(ids)
                best[name] = min(best[name], time.perf_counter() - start)
        for name in runners:
            total[name] += best[name]
    return total


def processor() -> str:
    """Return the processor's name, as far as this system tells it."""
    try:
        lines = PROCESSOR.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    features = sorted(FEATURES & set(known.get("flags", "").split()))
    return " ".join([known.get("model name") or platform.processor() or platform.machine(), *features])


def memory_file() -> Path:
    """Return where choices are remembered."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "hpdsearch" / "backends.json"


def read_memory(path: Path) -> dict[str, str]:
    """Return what is remembered; nothing where it cannot be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
