"""README is correct: its commands and Python run, its generated blocks are current, its links lead to files."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documented import read_blocks, run_page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HUB = "sentence-transformers"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with the inputs of README's commands: part of the dictionary, notes, tiny models."""
    pytest.importorskip("torch", reason="README distills: needs the extra distill")
    from tiny_distillation import make_texts
    from tiny_encoder import make_tiny_encoder
    from tiny_teacher import make_tiny_teacher

    with gzip.open(ROOT / "examples" / "wordnet.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [line for line in file if re.search(r"seism|earthquake|machine that", line)]
    (tmp_path / "examples").mkdir()
    with gzip.open(tmp_path / "examples" / "wordnet.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(lines[:100])
    make_tiny_teacher(tmp_path / HUB / "all-mpnet-base-v2")
    make_tiny_encoder(tmp_path / HUB / "all-MiniLM-L6-v2")
    (tmp_path / "notes").mkdir()
    for number, text in enumerate(make_texts()):
        (tmp_path / "notes" / f"{number}.txt").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a POSIX shell")
def test_the_commands_and_the_python_of_readme_run(clone: Path) -> None:
    from tiny_distillation import OPTIONS

    printed = run_page(README, clone, distill_options=" ".join(OPTIONS))
    first_hit = re.search(r"`1\. [\d.]+ +(\w+ +\[n\d+\])`", README)
    assert first_hit
    assert re.search(rf"^  1\. [\d.]+  {re.escape(first_hit[1])}", printed, re.MULTILINE)
    assert "2 an instrument that records earthquakes\n" in printed
    assert "use it:" in printed
    assert (clone / "indexes" / "notes").is_dir()


def test_readme_is_short_and_every_block_has_a_language() -> None:
    assert len(README.splitlines()) <= 120
    assert README.count("\n```\n") == len(read_blocks(README))


def test_the_links_of_readme_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_folders_of_the_map_exist() -> None:
    inside, outside = re.search(r"^    hpdsearch/\n((?:      .+\n)+)((?:    \w.+\n)+)", README, re.MULTILINE).groups()
    assert all((ROOT / "hpdsearch" / name).is_dir() for name in re.findall(r"(?:^      | )(\w+)/(?= )", inside, re.M))
    assert all((ROOT / name).is_dir() for name in re.findall(r"^    (\w+)/", outside, re.MULTILINE))


@pytest.mark.parametrize("page", ["README.md", "docs/encoders.md", "docs/scaling.md"])
def test_the_generated_blocks_of_a_page_are_current(page: str) -> None:
    command = [sys.executable, "-m", "cogapp", "--check", "-I", ROOT, ROOT / page]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run make pages\n{done.stdout}{done.stderr}"


def test_the_report_is_made_from_the_result_files(tmp_path: Path) -> None:
    from benchmarks.report.write import write_report

    page = write_report(ROOT / "benchmarks" / "results", tmp_path / "REPORT.md")
    links = "](results/"
    expected = (ROOT / "benchmarks" / "REPORT.md").read_text(encoding="utf-8")
    made = re.sub(r"\]\([^)]*results/", links, page.read_text(encoding="utf-8"))
    assert made == expected, "run make pages"
