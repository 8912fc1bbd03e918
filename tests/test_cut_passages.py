"""The script that cuts the passages on which the built-in encoder `base` is trained."""

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
    return tmp_path


def run(sources, n_texts):
    output = sources / "cut.txt.gz"
    result = CliRunner().invoke(SCRIPT["main"], [str(sources), str(output), "--n-texts", str(n_texts)])
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


def test_more_passages_than_there_are_is_an_error(sources):
    result = CliRunner().invoke(SCRIPT["main"], [str(sources), str(sources / "cut"), "--n-texts", "100000"])
    assert result.exit_code == 1
    assert "passages, got 100,000" in result.output
    assert not (sources / "cut").exists()
