"""A plain install has no torch: what must work without it, and the one line that each of the other commands prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from beir_folder import write_beir

pytestmark = pytest.mark.slow

# Every package that only an extra of setup.cfg installs. None in sys.modules makes the import of a package fail, and
# makes importlib.util.find_spec return None, as where the package is not installed.
EXTRAS = (
    "torch",
    "transformers",
    "onnx",
    "openvino",
    "pyarrow",
    "matplotlib",
    "huggingface_hub",
    "sentence_transformers",
)
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r})); "
COMMAND_LINE = BLOCK + "from hpdsearch.cli import main; main(sys.argv[1:], prog_name='hpdsearch')"


def run_light(*arguments: str | Path, code: str = COMMAND_LINE, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run hpdsearch in an interpreter that can import no package of an extra; folder is the working folder."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a corpus and the index that a light install made of it."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "corpus.txt").write_text("abnormal fear of spiders\nan instrument that records earthquakes\n")
    built = run_light("index", "corpus.txt", "-o", "light", folder=folder)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_a_light_install_indexes_and_queries(folder: Path, mode: str) -> None:
    found = run_light("query", "spiders", "-i", "light", "-k", "1", "--mode", mode, "--json", folder=folder)
    assert found.returncode == 0, found.stderr
    assert "abnormal fear of spiders" in found.stdout


@pytest.mark.parametrize("encoder", ["static", "small"])
def test_a_light_install_encodes_with_the_built_in_encoders(folder: Path, encoder: str) -> None:
    encoded = run_light("encode", "corpus.txt", "--encoder", encoder, "--dim", "64", folder=folder)
    assert encoded.returncode == 0, encoded.stderr
    assert [len(json.loads(line)) for line in encoded.stdout.splitlines()] == [64, 64]


@pytest.mark.parametrize("encoder", ["static", "small"])
def test_a_light_install_evaluates_a_built_in_encoder(tmp_path: Path, encoder: str) -> None:
    write_beir(tmp_path / "beir")
    measured = run_light("evaluate", "retrieval", "beir", "--encoder", encoder, folder=tmp_path)
    assert measured.returncode == 0, measured.stderr
    assert "nDCG@10" in measured.stdout


@pytest.mark.parametrize("encoder", ["static", "small"])
def test_a_light_install_exports_a_built_in_encoder(tmp_path: Path, encoder: str) -> None:
    exported = run_light("export", encoder, "model", folder=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "model" / "modules.json").is_file()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["encoders"], ["distill", "--help"], ["evaluate", "sts", "--help"], ["info", "light"]],
    ids=" ".join,
)
def test_commands_that_need_no_extra(folder: Path, arguments: list[str]) -> None:
    result = run_light(*arguments, folder=folder)
    assert result.returncode == 0, result.stderr


def test_every_public_name_but_distill_can_be_imported(tmp_path: Path) -> None:
    code = BLOCK + "from hpdsearch import *; Index, Encoder, Document, Hit, IndexSpec, Codec, Mode"
    result = run_light(code=code, folder=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("from hpdsearch import distill", 'distill needs torch: pip install "hpdsearch[distill]"'),
        (
            "from hpdsearch import Encoder; Encoder.load('small', backend='torch')",
            'backend torch needs torch: pip install "hpdsearch[distill]"',
        ),
    ],
)
def test_python_names_the_extra_in_one_line(tmp_path: Path, code: str, message: str) -> None:
    result = run_light(code=BLOCK + code, folder=tmp_path)
    assert result.stderr.splitlines()[-1] == f"hpdsearch.errors.MissingExtraError: {message}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "distill corpus.txt --teacher teacher --student base -o new",
            'distill needs torch: pip install "hpdsearch[distill]"',
        ),
        (
            "evaluate retrieval beir --teacher teacher",
            '--teacher needs torch: pip install "hpdsearch[distill]"',
        ),
        ("encode corpus.txt --device cuda", 'device cuda needs torch: pip install "hpdsearch[distill]"'),
        ("index table.parquet -o new", 'a .parquet file needs pyarrow: pip install "hpdsearch[parquet]"'),
    ],
)
def test_a_command_names_the_extra_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.delenv("HPDSEARCH_BACKEND")
    (tmp_path / "corpus.txt").write_text("fear of spiders\n")
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    write_beir(tmp_path / "beir")
    result = run_light(*arguments.split(), folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"Error: {message}"
    assert not (tmp_path / "new").exists()
