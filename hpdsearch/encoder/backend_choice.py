"""The automatic choice of a backend: onnxruntime, unless openvino is installed and was measured to be faster here.

The measurement is made once per encoder, library versions and processor, and stored in the user's cache folder.
"""

import json
import logging
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from hpdsearch.common.files import atomic_write, parse_json
from hpdsearch.encoder.transformer import BackendSession
from hpdsearch.errors import HpdsearchError

logger = logging.getLogger(__name__)

SHAPES = ((1, 12), (16, 16), (2, 128))  # (texts, tokens): a query, short texts, passages
ROUNDS = 5
MARGIN = 0.9  # of onnxruntime's time: openvino takes longer to load, so it has to be clearly faster
CPUINFO = Path("/proc/cpuinfo")
# The name of a virtual machine's processor may hide these, and they decide which backend is faster.
CPU_FLAGS = {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16"}

Openers = Mapping[str, Callable[[], BackendSession]]


def choose_backend(openers: Openers, encoder_sha256: str, *, longest: int) -> str:
    """Return the faster one of "onnx" and "openvino" on this machine; "onnx" if openvino cannot load the model.

    Args:
        openers: open a session, by backend; called only if no choice is stored.
        encoder_sha256: the encoder's checksum; a choice holds for one encoder.
        longest: largest number of tokens that the encoder takes at once.
    """
    try:
        versions = [f"{name} {version(name)}" for name in ("onnxruntime", "openvino")]
    except PackageNotFoundError as error:  # such a module can be imported, but no package of that name is installed
        logger.info("%s: its version is unknown, so no backend is measured", error)
        return "onnx"
    key = ", ".join([encoder_sha256, *versions, identify_processor()])
    path = choice_cache_path()
    choices = read_choice_cache(path)
    if choices.get(key) in openers:
        return choices[key]
    try:
        seconds = time_sessions({name: opener() for name, opener in openers.items()}, longest=longest)
    except HpdsearchError as error:
        logger.warning("%s; onnxruntime is used (set HPDSEARCH_BACKEND=onnx to skip openvino)", error)
        return "onnx"
    choice = "openvino" if seconds["openvino"] < MARGIN * seconds["onnx"] else "onnx"
    logger.info("%s: %s seconds, stored in %s", encoder_sha256, seconds, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write((json.dumps(choices | {key: choice}, indent=2) + "\n").encode())
    except OSError as error:  # without a writable cache folder every process measures again
        logger.info("%s: cannot be written (%s)", path, error.strerror)
    return choice


def time_sessions(sessions: Mapping[str, BackendSession], *, longest: int) -> dict[str, float]:
    """Return the seconds of each session: the best of ROUNDS interleaved rounds, summed over SHAPES."""
    rng = np.random.default_rng(0)
    total = dict.fromkeys(sessions, 0.0)
    for n_texts, n_tokens in SHAPES:
        ids = rng.integers(1, 20, (n_texts, min(n_tokens, longest)))  # every vocabulary has these ids
        best = dict.fromkeys(sessions, float("inf"))
        for _ in range(ROUNDS):
            for name, session in sessions.items():
                start = time.perf_counter()
                session(ids)
                best[name] = min(best[name], time.perf_counter() - start)
        for name in sessions:
            total[name] += best[name]
    return total


def identify_processor() -> str:
    """Return the processor's model name and those of its CPU_FLAGS, as far as the system reports them."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = sorted(CPU_FLAGS & set(fields.get("flags", "").split()))
    return " ".join([fields.get("model name") or platform.processor() or platform.machine(), *flags])


def choice_cache_path() -> Path:
    """Return the path of the stored choices."""
    return user_cache_path("hpdsearch", appauthor=False) / "backends.json"


def read_choice_cache(path: Path) -> dict[str, str]:
    """Return the stored choices; an unreadable file holds none."""
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
