"""A direct build that is killed at any moment loses at most one block, and the next ones end with the same index."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from brute_force import make_documents
from tiny_encoder import make_tiny_encoder

from hpdsearch.encoder import Encoder
from hpdsearch.errors import NothingCommittedError
from hpdsearch.index import Index
from hpdsearch.indexer import ingest as ingest_module
from hpdsearch.indexer.transaction import ENCODED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

N_KILLS = 60
BLOCK = 32
DOCUMENTS = make_documents(640)
SLOWNESS = 0.01  # seconds that a block takes longer, so that kills come while blocks are encoded too


class CountingEncoder(Encoder):
    """An encoder that writes a byte to a pipe after each block."""

    def __init__(self, encoder: Encoder) -> None:
        self.__dict__ = dict(encoder.__dict__)
        self._reader, self._writer = os.pipe()

    def encode(self, texts, **options):  # type: ignore[no-untyped-def]
        vectors = super().encode(texts, **options)
        time.sleep(SLOWNESS)
        os.write(self._writer, b".")
        return vectors

    def take_count(self) -> int:
        """Return the number of blocks since the last call, in this process and its children."""
        os.write(self._writer, b"!")  # reading from an empty pipe would wait
        return len(os.read(self._reader, 10_000)) - 1


def begin_build(folder: Path, encoder: Encoder) -> int:
    """Build in a child and return its process id."""
    pid = os.fork()
    if pid == 0:
        Index.build(folder, DOCUMENTS, encoder=encoder).close()
        os._exit(0)
    return pid


def kill_a_build(folder: Path, encoder: Encoder, delay: float) -> bool:
    """Kill a build after a delay; return whether the kill came before its end."""
    pid = begin_build(folder, encoder)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def count_blocks(folder: Path, dim: int) -> int:
    """Return the number of blocks whose vectors a dead process has left."""
    path = folder / ENCODED
    return path.stat().st_size // (8 + 2 * dim + 4) // BLOCK if path.exists() else 0


def is_committed(folder: Path) -> bool:
    """Tell whether a folder can be opened as an index."""
    if not (folder / "catalog.sqlite").exists():
        return False
    try:
        Index.open(folder).close()
    except NothingCommittedError:
        return False
    return True


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_direct_build_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "BLOCK_DOCUMENTS", BLOCK)
    encoder = CountingEncoder(Encoder.load(make_tiny_encoder(tmp_path / "tiny"), threads=1))
    start = time.perf_counter()
    os.waitpid(begin_build(tmp_path / "whole", encoder), 0)
    max_delay = time.perf_counter() - start
    assert encoder.take_count() == len(DOCUMENTS) / BLOCK
    (expected,) = (path.read_bytes() for path in (tmp_path / "whole").glob("vectors-*"))
    rng = random.Random(11)
    n_killed = n_whole = n_kept = n_resumed = 0
    folder = tmp_path / "0"
    for turn in range(N_KILLS):
        folder.mkdir(exist_ok=True)
        was_killed = kill_a_build(folder, encoder, rng.uniform(0, max_delay))
        n_killed += was_killed
        max_delay *= 1.05 if was_killed else 0.9  # about two of three builds are killed, however busy the machine is
        n_encoded = encoder.take_count()
        if not is_committed(folder):
            n_resumed += n_kept > 0
            assert n_kept + n_encoded - 1 <= count_blocks(folder, encoder.dim) <= len(DOCUMENTS) / BLOCK
            n_kept = count_blocks(folder, encoder.dim)
            continue
        assert n_kept + n_encoded == len(DOCUMENTS) / BLOCK
        with Index.open(folder, encoder=encoder) as index:
            assert len(index) == len(DOCUMENTS)
            assert index.verify() == []
        assert [path.read_bytes() for path in folder.glob("vectors-*")] == [expected]
        n_whole += 1
        n_kept = 0
        folder = tmp_path / f"{turn + 1}"
    assert n_killed > N_KILLS / 4
    assert n_resumed > N_KILLS / 8
    assert n_whole > 2
