"""--wait: a second writer waits for the first one, which it names."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpdsearch import Index
from hpdsearch.catalog import CatalogWriter
from hpdsearch.errors import LockedError, ShapeError
from hpdsearch.indexer.transaction import lock_folder

WRITERS = {
    "index": ("index", "words.jsonl", "--overwrite", "--encoder", "encoder"),
    "update": ("index", "words.jsonl", "--update"),
    "add": ("add", "words", "more.txt"),
    "delete": ("delete", "words", "s1"),
    "compact": ("compact", "words"),
    "reindex": ("reindex", "words"),
}


@pytest.fixture
def locked(indexed, tiny_folder):
    """Return `run`, with indexes/words locked by this process until the event is set."""
    Path("more.txt").write_text("one more\n")
    Path("encoder").symlink_to(tiny_folder)
    with Path("words.jsonl").open("a") as file:
        file.write('{"id": "new", "text": "a new text"}\n')
    locked, end = threading.Event(), threading.Event()

    def hold_lock():  # the thread that acquires a FileLock must release it
        lock = lock_folder(Path("indexes/words"))
        locked.set()
        end.wait(60)
        lock.release()

    holder = threading.Thread(target=hold_lock)
    holder.start()
    assert locked.wait(60)
    yield indexed, end
    end.set()
    holder.join()


@pytest.mark.parametrize("command", WRITERS)
def test_each_writing_command_waits_for_the_writer_that_it_names(locked, command, caplog):
    run, end = locked
    refused = run(*WRITERS[command])
    assert refused.exit_code == 1
    assert f"process {os.getpid()} is writing to this index; try again when it is done" in refused.stderr
    too_short = run(*WRITERS[command], "--wait", "0.05")
    assert too_short.exit_code == 1
    assert "is writing to this index and did not end within 0.05 seconds" in too_short.stderr

    def end_the_other_writer(record):
        end.set()
        return True

    caplog.handler.addFilter(end_the_other_writer)
    result = run(*WRITERS[command], "--wait", "30")
    assert result.exit_code == 0, result.output
    assert f"process {os.getpid()} is writing to this index; waiting at most 30 seconds" in caplog.text


def test_an_index_object_waits_too(locked):
    _, end = locked
    with Index.open("indexes/words", wait=0.05) as index:
        with pytest.raises(LockedError, match=r"did not end within 0\.05 seconds"):
            index.delete(["s1"])
        index.wait = 30
        end.set()
        assert index.delete(["s1"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", ["update", "add", "compact", "reindex"])
def test_a_command_waits_for_the_end_of_the_first_build(run, corpus, tiny_folder, command, caplog):
    Path("more.txt").write_text("one more\n")
    Path("encoder").symlink_to(tiny_folder)
    arguments = [sys.executable, "-m", "hpdsearch", "index", "-", "--encoder", "encoder", "-o", "indexes/words"]
    with subprocess.Popen([*arguments, "--stdin-format", "jsonl"], stdin=subprocess.PIPE) as build:
        while not Path("indexes/words/write.lock").exists() or not Path("indexes/words/catalog.sqlite").exists():
            assert build.poll() is None
            time.sleep(0.01)
        refused = run(*WRITERS[command])
        assert refused.exit_code == 1
        too_short = run(*WRITERS[command], "--wait", "0.05")
        assert f"process {build.pid} is writing to this index and did not end within 0.05 seconds" in too_short.stderr

        def end_the_build(record):
            if not build.stdin.closed and "waiting at most 60 seconds" in record.getMessage():
                build.stdin.write(corpus.read_bytes())
                build.stdin.close()
            return True

        caplog.handler.addFilter(end_the_build)
        result = run(*WRITERS[command], "--wait", "60")
        assert result.exit_code == 0, result.output
    assert run("verify", "words").exit_code == 0


def test_there_is_nothing_to_wait_for_after_a_build_that_was_killed(run, tmp_path):
    CatalogWriter.open(tmp_path).close()  # a writer that dies before its first commit leaves an empty catalog
    started = time.monotonic()
    result = run("compact", tmp_path, "--wait", "60")
    assert result.exit_code == 1
    assert "nothing was committed here yet; run hpdsearch index again, unless it is still running" in result.stderr
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("wait", [-1, float("nan")])
def test_a_time_below_zero_is_an_error(indexed, wait):
    with Index.open("indexes/words", wait=wait) as index, pytest.raises(ShapeError, match="wait: expected at least 0"):
        index.delete(["s1"])
    assert indexed("delete", "words", "s1", "--wait", wait).exit_code in (1, 2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize("command", ["delete", "compact"])
def test_a_waiting_command_is_stopped_by_ctrl_c(locked, command):
    arguments = [sys.executable, "-m", "hpdsearch", *WRITERS[command], "--wait", "600"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert "waiting at most 600 seconds" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert "indexes/words: stopped; " in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_the_contents_of_the_lock_file_do_not_matter(indexed):
    Path("indexes/words/write.lock").write_bytes(b"\xff\xfe no number")
    assert indexed("delete", "words", "s1").exit_code == 0
