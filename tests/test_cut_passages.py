"""The script that cuts the passages on which the built-in encoders are trained."""

import gzip
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "cut_passages.py"))
SENTENCES = [f"Sentence {number} of this text has exactly ten words inside it." for number in range(20)]  # 11 words


@pytest.fixture
def sources(tmp_path):
    """A folder with the sources: texts of some 220 and 24 words, and one that is too short."""
    for source in SCRIPT["WEIGHTS"]:
        long = [" ".join([f"About {source} {number}.", *SENTENCES]) for number in range(30)]
        lines = [*long, f"Short {source}: " + " ".join(SENTENCES[:2]), "Only three words."]
        with gzip.open(tmp_path / f"{source}_passages.txt.gz", "wt") as file:
            file.writelines(f"{line}\n" for line in lines)
    for source in SCRIPT["LONG_WEIGHTS"]:
        with gzip.open(tmp_path / f"{source}.txt.gz", "wt") as file:
            file.writelines(f"Line {number} of {source} has these eight words.\n" for number in range(400))
            file.write(" ".join(["endless"] * 300) + "\n")
    return tmp_path


def run(sources, n_texts, *options):
    output = sources / "cut.txt.gz"
    result = CliRunner().invoke(SCRIPT["main"], [str(sources), str(output), "--n-texts", str(n_texts), *options])
    assert result.exit_code == 0, result.output
    return gzip.open(output, "rt").read().splitlines()


def test_passages_are_whole_sentences_of_their_text_up_to_a_limit(sources):
    passages = SCRIPT["cut_passages"](sources)
    for passage in passages:
        assert 20 <= len(passage.split()) <= max(SCRIPT["LIMITS"])
        assert passage.endswith(".")
        assert " ".join(SENTENCES).find(passage[passage.find("Sentence") :]) >= 0, "sentences follow each other"
    lengths = {len(passage.split()) for passage in passages}
    assert min(lengths) < 45, "some end at the lowest limit"
    assert max(lengths) > 100, "some end at the highest"
    short = [passage for passage in passages if passage.startswith("Short")]
    assert all(passage.endswith(" ".join(SENTENCES[:2])) for passage in short), "a text within the limit is whole"
    assert len(short) == len(SCRIPT["WEIGHTS"])


def test_equal_sources_give_equal_passages_and_fewer_are_the_first_of_more(sources):
    passages = run(sources, 400)
    assert len(set(passages)) == 400
    assert run(sources, 400) == passages
    assert run(sources, 50) == passages[:50]
    assert run(sources, 50, "--skip", "120") == passages[120:170]


def test_long_passages_are_consecutive_sentences_of_one_source(sources):
    passages = SCRIPT["join_sentences"](sources)
    assert len(passages) > 8 * len(SCRIPT["LONG_WEIGHTS"])
    for passage in passages:
        assert 130 <= len(passage.split()) <= 250
        lines = [int(words.split()[0]) for words in passage.split("Line ")[1:]]
        assert lines == list(range(lines[0], lines[0] + len(lines)))
        assert len({words.split()[2] for words in passage.split("Line ")[1:]}) == 1
        assert "endless" not in passage
    assert run(sources, 20, "--long") == passages[:20]
    assert run(sources, 5, "--long", "--skip", "3") == passages[3:8]


def test_more_passages_than_there_are_is_an_error(sources):
    result = CliRunner().invoke(SCRIPT["main"], [str(sources), str(sources / "cut"), "--n-texts", "100000"])
    assert result.exit_code == 1
    assert "passages, got 100,000" in result.output
    assert not (sources / "cut").exists()
    result = CliRunner().invoke(
        SCRIPT["main"], [str(sources), str(sources / "cut"), "--n-texts", "9", "--skip", "9999"]
    )
    assert "passages, got 9,999 + 9" in result.output
