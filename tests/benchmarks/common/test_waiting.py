"""The time that a process waits for a core."""

import importlib
from pathlib import Path

waiting = importlib.import_module("benchmarks.common.waiting")


def write_task(tasks: Path, name: str, nanoseconds: int) -> None:
    (tasks / name).mkdir(parents=True)
    (tasks / name / "schedstat").write_text(f"123456 {nanoseconds} 7\n")


def test_the_waiting_of_all_threads_is_added(tmp_path: Path, monkeypatch) -> None:
    write_task(tmp_path, "1", 2_000_000)
    write_task(tmp_path, "2", 500_000)
    (tmp_path / "3").mkdir()  # a thread that has ended
    monkeypatch.setattr(waiting, "TASKS", tmp_path)
    assert waiting.waited_milliseconds() == 2.5


def test_without_the_files_of_linux_nothing_is_known_to_have_waited(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(waiting, "TASKS", tmp_path / "missing")
    assert waiting.waited_milliseconds() == 0
