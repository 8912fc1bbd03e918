"""The automatic choice of a backend: the one that was measured to be the fastest here.

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

SHAPES = ((1, 12), (8, 16), (1, 128))  # (texts, tokens): a query, short texts, a passage
ROUNDS = 4
MARGIN = 0.9  # of the time in float32
AGREEMENT = 0.998  # mean cosine to the vectors in float32
CPUINFO = Path("/proc/cpuinfo")
# The name of a virtual machine's processor may hide these, and they decide which backend is faster.
CPU_FLAGS = {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16"}

Openers = Mapping[str, Callable[[], BackendSession]]


def choose_backend(openers: Openers, encoder_sha256: str, *, longest: int) -> str:
    """Return the name of the fastest session on this machine among those that agree with the first one.

    Args:
        openers: open a session, by name; called only if no choice is stored. The first one computes in float32 and
            always works; another is chosen if it takes less than MARGIN of its time.
        encoder_sha256: the encoder's checksum; a choice holds for one encoder.
        longest: largest number of tokens that the encoder takes at once.
    """
    try:
        versions = [f"{name} {version(name)}" for name in _packages(openers)]
    except PackageNotFoundError as error:  # such a module can be imported, but no package of that name is installed
        logger.info("%s: its version is unknown, so no backend is measured", error)
        return next(iter(openers))
    key = ", ".join([encoder_sha256, *openers, *versions, identify_processor()])
    path = choice_cache_path()
    choices = read_choice_cache(path)
    if choices.get(key) in openers:
        return choices[key]
    sessions, failures = _open_sessions(openers)
    seconds = time_sessions(sessions, longest=longest)
    reference = next(iter(openers))
    limit = MARGIN * seconds[reference]
    choice = min((name for name in seconds if seconds[name] < limit), key=seconds.__getitem__, default=reference)
    logger.info("%s: %s seconds, stored in %s", encoder_sha256, seconds, path)
    if not failures:  # the folder may be replaced by an intact one
        _store_choice(path, choices | {key: choice})
    return choice


def _packages(openers: Openers) -> list[str]:
    return ["onnxruntime", *(["openvino"] if "openvino" in openers else [])]


def _open_sessions(openers: Openers) -> tuple[dict[str, BackendSession], list[str]]:
    """Open every session that can be opened; return them, and the names of the others."""
    sessions: dict[str, BackendSession] = {}
    failures = []
    for name, opener in openers.items():
        try:
            sessions[name] = opener()
        except HpdsearchError as error:
            if not sessions:
                raise
            logger.warning("%s; it is not used (set HPDSEARCH_BACKEND=%s to skip it)", error, next(iter(openers)))
            failures.append(name)
    return sessions, failures


def _store_choice(path: Path, choices: Mapping[str, str]) -> None:
    if not path.is_absolute():  # it begins with ~, because the system does not know the user's home
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write((json.dumps(choices, indent=2) + "\n").encode())
    except OSError as error:  # without a writable cache folder every process measures again
        logger.info("%s: cannot be written (%s)", path, error.strerror)


def time_sessions(sessions: Mapping[str, BackendSession], *, longest: int) -> dict[str, float]:
    """Return the seconds of the first session and of each one that agrees with it.

    The time is the best of ROUNDS interleaved rounds, summed over SHAPES. A session that differs is left out: integer
    products overflow on some processors.
    """
    rng = np.random.default_rng(0)
    total = dict.fromkeys(sessions, 0.0)
    for n_texts, n_tokens in SHAPES:
        ids = rng.integers(1, 20, (n_texts, min(n_tokens, longest)))  # every vocabulary has these ids
        best = dict.fromkeys(total, float("inf"))
        vectors = {}
        for _ in range(ROUNDS):
            for name in total:
                start = time.perf_counter()
                vectors[name] = sessions[name](ids)
                best[name] = min(best[name], time.perf_counter() - start)
        expected = next(iter(vectors.values()))
        agreeing = [name for name in total if (vectors[name] * expected).sum(axis=1).mean() >= AGREEMENT]
        for name in total.keys() - set(agreeing):
            logger.warning("%s differs from %s on this processor and is not used", name, next(iter(total)))
        total = {name: total[name] + best[name] for name in agreeing}
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
