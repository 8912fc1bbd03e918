"""A refinement that is killed at any moment loses at most one block, and the next one ends with the same index."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from brute_force import make_documents
from tiny_encoder import make_tiny_encoder, make_tiny_static

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.index import index as index_module
from hpdsearch.indexer import ingest as ingest_module
from hpdsearch.indexer import refine as refine_module
from hpdsearch.indexer.merge_policy import MergePolicy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

N_KILLS = 200
DOCUMENTS = make_documents(640)


def begin_refinement(folder: Path, encoder: Encoder) -> int:
    """Refine in a child and return its process id."""
    pid = os.fork()
    if pid == 0:
        with Index.open(folder, document_encoder=encoder) as index:
            index.refine()
        os._exit(0)
    return pid


def time_refinement(folder: Path, encoder: Encoder) -> float:
    """Return the seconds that a child takes."""
    start = time.perf_counter()
    os.waitpid(begin_refinement(folder, encoder), 0)
    return time.perf_counter() - start


def kill_a_refinement(folder: Path, encoder: Encoder, delay: float) -> bool:
    """Kill a refinement after a delay; return whether the kill came before its end."""
    pid = begin_refinement(folder, encoder)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_refinement_goes_on_and_ends_as_direct_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder.load(make_tiny_encoder(tmp_path / "tiny"), threads=1)
    static = Encoder.load(make_tiny_static(tmp_path / "static"))
    monkeypatch.setattr(ingest_module, "BLOCK_DOCUMENTS", 32)
    monkeypatch.setattr(index_module, "find_draft_encoder", lambda _: static)
    monkeypatch.setattr(refine_module, "MIN_STEP_SECONDS", 0)
    policy = MergePolicy(min_draft_documents=1)
    Index.build(tmp_path / "direct", DOCUMENTS, encoder=encoder).close()
    Index.build(tmp_path / "draft", DOCUMENTS, encoder=encoder, draft=True, merge_policy=policy).close()
    (expected,) = (path.read_bytes() for path in (tmp_path / "direct").glob("vectors-*"))
    shutil.copytree(tmp_path / "draft", tmp_path / "timed")
    max_delay = time_refinement(tmp_path / "timed", encoder)
    rng = random.Random(7)
    n_killed = n_whole = 0
    folder = tmp_path / "index"
    shutil.copytree(tmp_path / "draft", folder)
    for _ in range(N_KILLS):
        n_killed += kill_a_refinement(folder, encoder, rng.uniform(0, max_delay))
        with Index.open(folder, encoder=encoder) as index:
            assert len(index) == 640
            assert index.verify() == []
            n_draft = index.info().n_draft
        if not n_draft:
            n_whole += 1
            # One that dies right after its commit leaves the old file, which the next writer removes.
            assert expected in [path.read_bytes() for path in folder.glob("vectors-*")]
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "draft", folder)
    assert n_killed > N_KILLS / 4
    assert n_whole > 0
