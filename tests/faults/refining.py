"""Kill refinements at random moments, and check that the next ones go on and end with the bytes of direct encoding."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brute_force import make_documents
from tiny_encoder import make_tiny_encoder, make_tiny_static

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.index import index as index_module
from hpdsearch.indexer import ingest as ingest_module
from hpdsearch.indexer import refine as refine_module
from hpdsearch.indexer.merge_policy import MergePolicy

DOCUMENTS = make_documents(640)
POLICY = MergePolicy(min_draft_documents=1)
KILLED, ENDED, REFINED = "killed", "ended before the kill", "wholly refined"


def make_limits(work_folder: Path) -> list[tuple[Any, str, Any]]:
    """Return what to set before: small blocks, steps without delay, and a tiny encoder that drafts."""
    static = Encoder.load(make_tiny_static(work_folder / "static"))
    return [
        (ingest_module, "BLOCK_DOCUMENTS", 32),
        (index_module, "find_draft_encoder", lambda _: static),
        (refine_module, "MIN_STEP_SECONDS", 0),
    ]


def kill_refinements(
    work_folder: Path, n: int, seed: int, report: Callable[[int], None] = lambda _: None
) -> Counter[str]:
    """Kill n refinements, one after the other, and check the index after each; count their outcomes.

    Args:
        work_folder: gets the encoder and the indexes.
        n: number of kills.
        seed: of the moments.
        report: gets the number of kills so far.
    """
    encoder = Encoder.load(make_tiny_encoder(work_folder / "tiny"), threads=1)
    Index.build(work_folder / "direct", DOCUMENTS, encoder=encoder).close()
    Index.build(work_folder / "draft", DOCUMENTS, encoder=encoder, draft=True, merge_policy=POLICY).close()
    (expected,) = (path.read_bytes() for path in (work_folder / "direct").glob("vectors-*"))
    shutil.copytree(work_folder / "draft", work_folder / "timed")
    max_delay = _time_refinement(work_folder / "timed", encoder)
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    folder = work_folder / "index"
    shutil.copytree(work_folder / "draft", folder)
    for turn in range(n):
        was_killed = _kill_refinement(folder, encoder, rng.uniform(0, max_delay))
        outcomes[KILLED if was_killed else ENDED] += 1
        with Index.open(folder, encoder=encoder) as index:
            assert len(index) == len(DOCUMENTS)
            assert index.verify() == []
            n_draft = index.info().n_draft
        if not n_draft:
            outcomes[REFINED] += 1
            # One that dies right after its commit leaves the old file, which the next writer removes.
            assert expected in [path.read_bytes() for path in folder.glob("vectors-*")]
            shutil.rmtree(folder)
            shutil.copytree(work_folder / "draft", folder)
        report(turn + 1)
    return outcomes


def _begin_refinement(folder: Path, encoder: Encoder) -> int:
    """Refine in a child and return its process id."""
    pid = os.fork()
    if pid == 0:
        with Index.open(folder, document_encoder=encoder) as index:
            index.refine()
        os._exit(0)
    return pid


def _time_refinement(folder: Path, encoder: Encoder) -> float:
    """Return the seconds that a child takes."""
    start = time.perf_counter()
    os.waitpid(_begin_refinement(folder, encoder), 0)
    return time.perf_counter() - start


def _kill_refinement(folder: Path, encoder: Encoder, delay: float) -> bool:
    """Kill a refinement after a delay; return whether the kill came before its end."""
    pid = _begin_refinement(folder, encoder)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
