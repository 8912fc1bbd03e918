"""Processes made by fork: they search, add, build and encode after the parent has done so; a hang is a failure."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

PROGRAM = Path(__file__).with_name("forking_process.py")
SECONDS = 120  # a case takes about two seconds, torch twenty on two cores that are busy


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(module) is None, reason=f"needs {module}")


ENCODERS = [
    ("static", "auto"),
    ("small", "onnx"),
    pytest.param("small", "openvino", marks=needs("openvino")),
    pytest.param("small", "torch", marks=needs("torch")),
]


def run(case: str, *arguments: object, **environment: str) -> None:
    """Run a case of forking_process.py, and kill it with its children if it does not end."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(PROGRAM), case, *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"{case} {arguments} hangs: {output}")
    assert process.returncode == 0, output
    assert "Traceback" not in output, output


@pytest.mark.parametrize(("name", "backend"), ENCODERS)
def test_a_pool_made_by_fork_finds_what_its_parent_finds(tmp_path: Path, name: str, backend: str) -> None:
    run("pool", tmp_path, "fork", name, backend)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_pool_made_without_fork_finds_what_its_parent_finds(tmp_path: Path, method: str) -> None:
    run("pool", tmp_path, method)


@pytest.mark.parametrize(("name", "backend"), ENCODERS)
def test_a_child_encodes_builds_and_adds(tmp_path: Path, name: str, backend: str) -> None:
    run("change", tmp_path, name, backend)


def test_a_child_encodes_where_the_user_allows_tokenizers_threads(tmp_path: Path) -> None:
    run("change", tmp_path, "static", "auto", TOKENIZERS_PARALLELISM="true")


@pytest.mark.parametrize(("name", "backend"), ENCODERS)
def test_a_child_searches_if_threads_of_its_parent_search_and_add_during_the_fork(
    tmp_path: Path, name: str, backend: str
) -> None:
    run("threads", tmp_path, name, backend)


def test_a_fork_during_a_change_leaves_the_change_to_the_parent(tmp_path: Path) -> None:
    run("fork_in_write", tmp_path)


def test_a_child_holds_no_lock_of_a_parent_that_died_during_a_change(tmp_path: Path) -> None:
    run("die_in_write", tmp_path)


def test_a_child_keeps_its_snapshot_while_the_parent_changes_the_index(tmp_path: Path) -> None:
    run("stale_snapshot", tmp_path)


@pytest.mark.parametrize("codec", ["f32", "sq8", "pq", "rabitq"])
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_a_child_builds_and_searches_codes(tmp_path: Path, kind: str, codec: str) -> None:
    run("codes", tmp_path, kind, codec)
