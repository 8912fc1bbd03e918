"""Fixtures: processes that a test may kill, a folder in memory if possible, and an encoder that loads at once."""

import os
import tempfile
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from tiny_encoder import make_tiny_static

from hpdsearch.encoder import Encoder

pytest.register_assert_rewrite(
    "states", "brute_force", "killing", "supervised", "damage", "reading", "refining", "processes"
)

from processes import MEMORY_FOLDER, Processes, start_fork_server  # noqa: E402  after register_assert_rewrite
from states import LIMITS  # noqa: E402


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in LIMITS:
        monkeypatch.setattr(*limit)


@pytest.fixture(scope="session")
def server() -> ForkServerContext:
    if not hasattr(os, "fork"):
        pytest.skip("these tests fork processes and kill them")
    return start_fork_server()


@pytest.fixture
def processes(server: ForkServerContext) -> Iterator[Processes]:
    with Processes(server) as processes:
        yield processes


@pytest.fixture
def work_folder() -> Iterator[Path]:
    """Return an empty folder."""
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a static encoder, which a process loads within a millisecond."""
    return make_tiny_static(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(scope="session")
def encoder(encoder_folder: Path) -> Encoder:
    return Encoder.load(encoder_folder)
