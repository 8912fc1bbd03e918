"""STS readers and scores: scipy and brute force as oracles."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from hpdsearch.errors import CorpusError, ShapeError
from hpdsearch.evaluation import StsTask, evaluate_sts, pair_cosines, read_sts

LINES = "5.0\ta cat runs\ta dog runs\n0.5\ta cat\tthe war song\n3\tthe sea\tthe river\n2\tred fire\tthe cold moon\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_score_is_spearman_of_all_pairs_of_a_task_and_the_mean_over_tasks(tmp_path, tiny_encoder):
    write(tmp_path / "sts" / "A" / "test.tsv", LINES)
    write(tmp_path / "sts" / "A" / "train.tsv", "not read\n")
    input_, gold = tmp_path / "sts" / "B" / "STS.input.{}.txt", tmp_path / "sts" / "B" / "STS.gs.{}.txt"
    for name, scores in (("x", "4.2\n\n1.0\n2.5\n"), ("y", "1\n2\n3\n \n")):
        pairs = [line.split("\t")[1:] for line in LINES.splitlines()]
        write(gold.with_name(gold.name.format(name)), scores)
        write(input_.with_name(input_.name.format(name)), "".join(f"{a}\t{b}\tsource\tsource\n" for a, b in pairs))
    tasks = read_sts(tmp_path / "sts")
    result = evaluate_sts(tasks, tiny_encoder.encode)

    def cosine(a, b):
        return float(tiny_encoder.encode([a])[0] @ tiny_encoder.encode([b])[0])

    cosines = [cosine(*line.split("\t")[1:]) for line in LINES.splitlines()]
    first = spearmanr(cosines, [5.0, 0.5, 3, 2]).statistic
    second = spearmanr([*np.array(cosines)[[0, 2, 3]], *cosines[:3]], [4.2, 1.0, 2.5, 1, 2, 3]).statistic
    a, b = result.tasks
    assert (a.name, a.n_pairs, a.n_unscored) == ("A", 4, 0)
    assert (b.name, b.n_pairs, b.n_unscored) == ("B", 6, 2)
    assert a.spearman == pytest.approx(100 * first)
    assert b.spearman == pytest.approx(100 * second)
    assert result.as_dict()["average"] == pytest.approx(50 * (first + second))


def test_a_file_and_the_table_of_sick_are_read(tmp_path):
    lone = write(tmp_path / "pairs.tsv", LINES.replace("\n", "\r\n"))
    assert read_sts(lone)[0].name == "pairs"
    assert read_sts(lone)[0].pairs[2] == ("the sea", "the river", 3.0)
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
    table = header + "1\tone\ttwo\t4.5\tNEUTRAL\n2\tthree\tfour\t1\tCONTRADICTION\n"
    write(tmp_path / "SICK" / "SICK_test_annotated.txt", table)
    assert read_sts(tmp_path / "SICK")[0].pairs == (("one", "two", 4.5), ("three", "four", 1.0))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
def test_headers_marks_and_blank_lines_at_the_end_change_nothing(tmp_path, end, mark):
    def write_lines(name, lines):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((mark + end.join([*lines, "", ""])).encode())

    pairs = [line.split("\t")[1:] for line in LINES.splitlines()]
    expected = tuple((*pair, float(line.split("\t")[0])) for pair, line in zip(pairs, LINES.splitlines(), strict=True))
    write_lines("A/test.tsv", LINES.splitlines())
    write_lines("B/test.tsv", ["score\tsentence1\tsentence2", *LINES.splitlines()])
    write_lines("C/STS.input.x.txt", ["\t".join(pair) for pair in pairs])
    (tmp_path / "C" / "STS.gs.x.txt").write_text("".join(f"{score}{end}" for _, _, score in expected))
    for task in read_sts(tmp_path):
        assert (task.pairs, task.n_unscored) == (expected, 0), task.name


def test_pairs_of_one_sentence_tie():
    rng = np.random.default_rng(0)
    texts = [f"text {number}" for number in range(50)]
    task = StsTask("t", tuple((text, text, number) for number, text in enumerate(texts)))
    np.testing.assert_array_equal(pair_cosines(task, lambda block: rng.normal(size=(len(block), 128))), 1)
    with pytest.raises(ShapeError, match="t: expected pairs of different cosines, got 1 for all of them"):
        evaluate_sts([task], lambda block: rng.normal(size=(len(block), 128)))


@pytest.mark.parametrize("subset", ["/", "**", "[", "../T/test", "a" * 300])
def test_a_subset_is_a_name_and_no_pattern(tmp_path, subset):
    write(tmp_path / "T" / "test.tsv", LINES)
    with pytest.raises(CorpusError, match=r"T: expected .* found none of them"):
        read_sts(tmp_path / "T", subset)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test.tsv": "1\ta\tb\n2\ta b\n"}, r"test\.tsv:2: expected score<TAB>sentence<TAB>sentence, got 2 cells"),
        ({"test.tsv": "1\ta\tb\nhigh\ta\tb\n"}, r"test\.tsv:2: expected a finite number as the score, got 'high'"),
        ({"test.tsv": "1\ta\tb\nnan\ta\tb\n"}, r"test\.tsv:2: expected a finite number as the score"),
        ({"test.tsv": "1\ta\tb\n1\tc\td\n"}, "at least two different scores, got 2 pairs"),
        ({"dev.tsv": LINES}, r"T: expected test\.tsv or SICK_test\*\.txt or STS\.input\.\*\.txt"),
        (
            {"STS.input.x.txt": "a\tb\nc\td\n", "STS.gs.x.txt": "1\n"},
            r"input\.x\.txt:2: expected as many lines in STS\.input\.x\.txt as in STS\.gs\.x\.txt",
        ),
        (
            {"STS.input.x.txt": "a\tb\n", "STS.gs.x.txt": "1\n2\n"},
            r"gs\.x\.txt:2: expected as many lines in STS\.gs\.x\.txt as",
        ),
        ({"STS.input.x.txt": "a\tb\n"}, r"STS\.gs\.x\.txt: cannot be read: No such file"),
        ({"STS.input.x.txt": "a\tb\nc\n", "STS.gs.x.txt": "1\n2\n"}, r"input\.x\.txt:2: expected sentence<TAB>"),
    ],
)
def test_errors_name_file_and_line(tmp_path, files, message):
    for name, text in files.items():
        write(tmp_path / "T" / name, text)
    with pytest.raises(CorpusError, match=message):
        read_sts(tmp_path / "T")


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match="nowhere: cannot be read: No such file or directory; check the path"):
        read_sts(tmp_path / "nowhere")


def test_cosines_of_pairs_come_in_their_order():
    vectors = {"east": [2, 0], "north": [0, 1], "north east": [3, 3], "west": [-1, 0]}
    task = StsTask("t", (("east", "north", 1), ("east", "north east", 2), ("west", "east", 0), ("east", "east", 5)))
    cosines = pair_cosines(task, lambda texts: np.array([vectors[text] for text in texts], dtype=np.float32))
    np.testing.assert_allclose(cosines, [0, 0.5**0.5, -1, 1], atol=1e-6)
