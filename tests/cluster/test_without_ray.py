"""Without the extra `cluster`, nothing of Ray is imported, and --ray says what to install."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from click.testing import CliRunner

from hpdsearch.cli import main

BLOCK = (
    "import sys\n"
    "class Refuse:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] == 'ray':\n"
    "            raise ImportError('ray was imported')\n"
    "sys.meta_path.insert(0, Refuse())\n"
)


def test_builds_and_searches_in_shards_import_nothing_of_ray(tmp_path) -> None:
    (tmp_path / "texts.txt").write_text("a cat\nthe moon\nthe sea\n")
    commands = [
        ["index", "texts.txt", "--encoder", "static", "--shards", "2", "--processes", "1", "-o", "words"],
        ["query", "cat", "-i", "words"],
        ["plan", "--documents", "1e6", "--words", "20"],
        ["index", "--help"],
        ["query", "--help"],
        ["serve", "--help"],
    ]
    for command in commands:
        code = f"{BLOCK}from hpdsearch.cli import main\nmain({command!r})"
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_the_error_names_the_extra(tmp_path) -> None:
    (tmp_path / "texts.txt").write_text("a cat\n")
    folder = str(tmp_path / "words")
    result = CliRunner().invoke(
        main, ["index", str(tmp_path / "texts.txt"), "--shards", "2", "--ray", "local", "-o", folder]
    )
    assert result.exit_code == 1
    assert result.output == 'Error: --ray needs ray: pip install "hpdsearch[cluster]"\n'


def test_ray_goes_with_shards(tmp_path) -> None:
    (tmp_path / "texts.txt").write_text("a cat\n")
    result = CliRunner().invoke(main, ["index", str(tmp_path / "texts.txt"), "--ray", "local"])
    assert result.exit_code == 2
    assert "--ray goes with --shards" in result.output
