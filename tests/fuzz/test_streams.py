"""True processes under locales, redirections and full devices that a forked process of the fuzzer cannot have."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checks import NEVER
from tiny_encoder import make_tiny_static

from hpdsearch import Document, Index

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="these tests need bash, /dev/full and names of any bytes"),
]
COMMAND = f'"{sys.executable}" -m hpdsearch'
TEXTS = ["Möwen fliegen über das Meer", "震动 of the earth \U0001f600", "a cat \u202e\x1b[31m"]
LOCALES = {
    "C without UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "C": {"LC_ALL": "C"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "ASCII, replaced": {"PYTHONIOENCODING": "ascii:replace"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "cp1252": {"PYTHONIOENCODING": "cp1252:strict"},
    "UTF-16": {"PYTHONIOENCODING": "utf-16"},
    "no locale of this name": {"LC_ALL": "xx_XX.nothing"},
}
COMMANDS = {
    "a query of bytes that are not UTF-8": "query -i idx $'M\\xf6we'",
    "a filter of such bytes": "query -i idx cat --where $'year = \"\\xf6\"'",
    "a field of such bytes": "query -i idx cat --where $'\\xf6 = 1'",
    "an id of such bytes": "delete idx $'M\\xf6we'",
    "a corpus of such a name": "index $'M\\xf6we.txt' --encoder enc",
    "an index of such a name": "info $'M\\xf6we'",
    "an encoder of such a name": "encode m.txt --encoder $'M\\xf6we'",
    "an output of such a name": "index m.txt -o $'M\\xf6we' --encoder enc",
    "piped queries with such bytes": "query -i idx < bad.txt",
    "piped documents with such bytes": "encode - --encoder enc < bad.txt",
    "a file of ids with such bytes": "delete idx --ids-file bad.txt",
    "a file of queries with such bytes": "query -i idx --batch bad.txt",
}
REDIRECTIONS = [
    "<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "| head -c 1",
    "2>&1 >&- | head -c 0",
    "0>/dev/null", "1</dev/null",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the index idx, the encoder enc, a corpus, and lines that are not all UTF-8."""
    folder = tmp_path_factory.mktemp("streams")
    encoder = make_tiny_static(folder / "enc")
    Index.build(folder / "idx", [Document(str(n), text) for n, text in enumerate(TEXTS)], encoder=encoder).close()
    (folder / "m.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    (folder / "bad.txt").write_bytes("a cat\nM\udcf6we\n\udcff\nMöwe\n".encode(errors="surrogateescape"))
    return folder


def run(folder: Path, command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash; assert that the command ended in order."""
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | (environment or {})
    line = f"{COMMAND} {command}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=variables, capture_output=True, timeout=120, check=False
    )
    assert done.returncode in (0, 1, 2), done
    for word in NEVER:
        assert word.encode() not in done.stderr + done.stdout, done.stderr.decode(errors="replace")
    return done


@pytest.mark.parametrize("locale", LOCALES)
def test_hits_that_a_locale_cannot_show_end_in_order(folder: Path, locale: str) -> None:
    for command in ("query -i idx cat", "query -i idx 'Möwe' --json"):
        run(folder, command, LOCALES[locale])


@pytest.mark.parametrize("command", COMMANDS)
def test_bytes_that_are_not_text_end_in_order(folder: Path, command: str) -> None:
    for locale in ("C", "C without UTF-8 mode"):
        run(folder, COMMANDS[command], LOCALES[locale])


@pytest.mark.parametrize("redirection", REDIRECTIONS)
def test_closed_and_full_streams_end_in_order(folder: Path, redirection: str) -> None:
    for command in ("query -i idx cat", "query -i idx < m.txt", "index m.txt --encoder enc -o new --overwrite"):
        run(folder, f"{command} {redirection}")
    assert run(folder, "verify new").stdout == b"new: intact\n"


def test_results_that_cannot_be_written_are_an_error(folder: Path) -> None:
    for command in ("query -i idx cat", "info idx --json", "encode m.txt --encoder enc", "--help", "verify idx"):
        done = run(folder, f"{command} > /dev/full")
        assert done.returncode == 1
        assert b"No space left on device" in done.stderr


def test_output_files_that_cannot_be_written_are_an_error(folder: Path) -> None:
    for output in (".", "nowhere/x.npy", "m.txt/x.npy", "''"):
        for command in (f"encode m.txt --encoder enc -o {output}", f"query -i idx cat --run-file {output}"):
            assert run(folder, command).returncode in (1, 2), command
    assert not list(folder.rglob("*.partial"))


def test_a_line_that_is_not_unicode_is_refused_and_the_others_are_answered(folder: Path) -> None:
    done = run(folder, "query -i idx -k 1 --json < bad.txt", {"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0
    assert done.stdout.count(b'"hits"') == 2
    assert b"the byte 0xf6" in done.stdout
    assert b"the byte 0xff" in done.stdout


def test_a_closed_descriptor_is_not_given_to_a_file_of_the_index(folder: Path) -> None:
    run(folder, "index m.txt --encoder enc -o quiet <&- >&- 2>&-")
    assert run(folder, "verify quiet").returncode == 0
    run(folder, "encode m.txt --encoder enc -o quiet.npy <&- >&- 2>&-")
    assert np.load(folder / "quiet.npy").shape == (len(TEXTS), 16)
