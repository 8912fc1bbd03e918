"""The automatic choice of a backend: the one that was measured to be the fastest here.

The measurement is made once per encoder, library versions and processor, and stored in the user's cache folder.
"""

import json
import logging
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from hpdsearch.common.files import atomic_write, parse_json
from hpdsearch.common.vectors import Matrix
from hpdsearch.errors import HpdsearchError

logger = logging.getLogger(__name__)

SHAPES = ((1, 12), (8, 16), (1, 128))  # (texts, tokens): a query, short texts, a passage
MARGIN = 0.9  # of the time in float32
CPUINFO = Path("/proc/cpuinfo")
# The name of a virtual machine's processor may hide these, and they decide which backend is faster.
CPU_FLAGS = {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16"}

Batch = TypeVar("Batch")
Session = Callable[[Batch], Matrix]
PACKAGES = {"onnx": "onnxruntime"}  # a backend's name begins with that of its package, except here


@dataclass(frozen=True)
class Trial(Generic[Batch]):
    """The batches on which sessions are compared.

    Attributes:
        batches: input of the sessions.
        agreement: smallest mean cosine of a batch's vectors to those of the first session.
        rounds: the best time of so many interleaved rounds counts.
    """

    batches: Sequence[Batch]
    agreement: float = 0.998
    rounds: int = 4


def encoder_trial(longest: int) -> Trial[npt.NDArray[np.int64]]:
    """Return batches of random token ids, of SHAPES; longest is the largest number of tokens of a text."""
    rng = np.random.default_rng(0)
    shapes = [(n_texts, min(n_tokens, longest)) for n_texts, n_tokens in SHAPES]
    return Trial([rng.integers(1, 20, shape) for shape in shapes])  # every vocabulary has these ids


def choose_backend(openers: Mapping[str, Callable[[], Session[Batch]]], model_sha256: str, trial: Trial[Batch]) -> str:
    """Return the name of the fastest session on this machine among those that agree with the first one.

    Args:
        openers: open a session, by name; called only if no choice is stored. The first one computes in float32 and
            always works; another is chosen if it takes less than MARGIN of its time.
        model_sha256: the checksum of the encoder or teacher; a choice holds for one.
        trial: what is measured.
    """
    try:
        versions = [f"{name} {version(name)}" for name in _packages(openers)]
    except PackageNotFoundError as error:  # such a module can be imported, but no package of that name is installed
        logger.info("%s: its version is unknown, so no backend is measured", error)
        return next(iter(openers))
    key = ", ".join([model_sha256, *openers, *versions, identify_processor()])
    path = choice_cache_path()
    choices = read_choice_cache(path)
    if choices.get(key) in openers:
        return choices[key]
    sessions, failures = _open_sessions(openers)
    seconds = time_sessions(sessions, trial)
    reference = next(iter(openers))
    limit = MARGIN * seconds[reference]
    choice = min((name for name in seconds if seconds[name] < limit), key=seconds.__getitem__, default=reference)
    logger.info("%s: %s seconds, stored in %s", model_sha256, seconds, path)
    if not failures:  # the folder may be replaced by an intact one
        _store_choice(path, choices | {key: choice})
    return choice


def _packages(names: Iterable[str]) -> list[str]:
    """Return the packages of backends, each once."""
    first_words = [name.partition("-")[0] for name in names]
    return list(dict.fromkeys(PACKAGES.get(word, word) for word in first_words))


def _open_sessions(
    openers: Mapping[str, Callable[[], Session[Batch]]],
) -> tuple[dict[str, Session[Batch]], list[str]]:
    """Open every session that can be opened; return them, and the names of the others."""
    sessions: dict[str, Session[Batch]] = {}
    failures = []
    for name, opener in openers.items():
        try:
            sessions[name] = opener()
        except HpdsearchError as error:
            if not sessions:
                raise
            logger.warning("%s; %s is used instead of %s", error, next(iter(openers)), name)
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


def time_sessions(sessions: Mapping[str, Session[Batch]], trial: Trial[Batch]) -> dict[str, float]:
    """Return the seconds of the first session and of each one that agrees with it.

    The time is the best of the interleaved rounds, summed over the batches. A session that differs is left out: integer
    products overflow on some processors.
    """
    total = dict.fromkeys(sessions, 0.0)
    for batch in trial.batches:
        best = dict.fromkeys(total, float("inf"))
        vectors = {}
        for _ in range(trial.rounds):
            for name in total:
                start = time.perf_counter()
                vectors[name] = sessions[name](batch)
                best[name] = min(best[name], time.perf_counter() - start)
        expected = next(iter(vectors.values()))
        agreeing = [name for name in total if (vectors[name] * expected).sum(axis=1).mean() >= trial.agreement]
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
