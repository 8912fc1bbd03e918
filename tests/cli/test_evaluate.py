"""The commands evaluate sts and evaluate retrieval; scipy and trec_eval on vectors made here are the oracles."""

import json
import shutil

import numpy as np
import pytest
import pytrec_eval
from beir_folder import write_beir
from scipy.stats import spearmanr

from hpdsearch import Encoder
from hpdsearch.common.vectors import unit_rows
from hpdsearch.encoder import write_space

PAIRS = [
    ("the cat runs", "the dog runs", 4.5),
    ("the sea and the river", "the ship on the sea", 3.0),
    ("the cold moon", "a song of war", 0.5),
    ("a small bird sings", "a big bird sings", 4.0),
    ("stone and gold", "the old king", 1.5),
    ("rain and snow", "sun and wind", 2.5),
]
GOLD = [score for _, _, score in PAIRS]
DOCUMENTS = [text for pair in PAIRS for text in pair[:2]]
QUERIES = {"1": "a cat and a dog", "2": "war", "3": "the river"}
QRELS = [("1", "d00", 1), ("1", "d01", 2), ("2", "d05", 1), ("3", "d02", 1), ("3", "d03", 1), ("3", "gone", 1)]


@pytest.fixture
def sts(tmp_path):
    (tmp_path / "sts" / "T").mkdir(parents=True)
    lines = (f"{score}\t{first}\t{second}\n" for first, second, score in PAIRS)
    (tmp_path / "sts" / "T" / "test.tsv").write_text("".join(lines))
    return tmp_path / "sts"


@pytest.fixture
def beir(tmp_path):
    corpus = [{"_id": f"d{number:02}", "title": "", "text": text} for number, text in enumerate(DOCUMENTS)]
    return write_beir(tmp_path / "tiny-beir", corpus, QUERIES, QRELS)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory):
    from tiny_teacher import make_tiny_teacher

    return make_tiny_teacher(tmp_path_factory.mktemp("teachers") / "tiny-teacher")


@pytest.fixture
def space(tmp_path, teacher_folder):
    """Return a space of the teacher, and the folder of an encoder of that space."""
    from hpdsearch.distillation.teacher.teacher import Teacher

    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(Teacher.load(teacher_folder).dim, 16)))[0]
    return write_space(tmp_path / "space", teacher="tiny-teacher", teacher_hash="ab", components=turn.T)


@pytest.fixture
def member_folder(tmp_path, tiny_folder, space):
    folder = shutil.copytree(tiny_folder, tmp_path / "member")
    card = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps(card | {"name": "member", "space": space.id}))
    return folder


def compute_spearman(encode):
    left, right = (unit_rows(encode([pair[side] for pair in PAIRS])) for side in (0, 1))
    return 100 * spearmanr((left * right).sum(axis=1), GOLD).statistic


def compute_ndcg(encode_queries, encode_documents):
    scores = unit_rows(encode_queries(list(QUERIES.values()))) @ unit_rows(encode_documents(DOCUMENTS)).T
    run = {
        query_id: {f"d{number:02}": float(score) for number, score in enumerate(line)}
        for query_id, line in zip(QUERIES, scores, strict=True)
    }
    judged = {query_id: {d: grade for q, d, grade in QRELS if q == query_id} for query_id in QUERIES}
    found = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut_10"}).evaluate(run)
    return 100 * np.mean([values["ndcg_cut_10"] for values in found.values()])


def test_sts_prints_the_values_of_scipy_and_percentages_of_the_teacher(run, sts, tiny_folder, teacher_folder, tmp_path):
    options = ["--encoder", tiny_folder, "--teacher", teacher_folder, "--cache", tmp_path / "cache", "--dim", 5]
    result = run("evaluate", "sts", sts, *options)
    assert result.exit_code == 0, result.output
    from hpdsearch.distillation.teacher.teacher import Teacher

    encoder, teacher = Encoder.load(tiny_folder), Teacher.load(teacher_folder)
    ours, best = compute_spearman(lambda texts: encoder.encode(texts)[:, :5]), compute_spearman(teacher.encode)
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["Spearman", "x", "100", "pairs", "tiny", "tiny-teacher"],
        ["T", "6", f"{ours:.2f}", f"{best:.2f}"],
        ["mean", f"{ours:.2f}", f"{best:.2f}"],
        ["%", "of", "tiny-teacher", f"{100 * ours / best:.1f}", "100.0"],
    ]
    assert list((tmp_path / "cache").rglob("shard-*")), "the teacher's embeddings are kept"
    assert run("evaluate", "sts", sts, *options).stdout == result.stdout, "and are used again"


def test_retrieval_measures_encoder_teacher_projection_and_asymmetric_search(
    run, beir, member_folder, teacher_folder, space, tmp_path
):
    options = ["--encoder", member_folder, "--query-encoder", member_folder, "--teacher", teacher_folder]
    options += ["--space", tmp_path / "space", "--cache", tmp_path / "cache", "--dim", 12]
    result = run("evaluate", "retrieval", beir, *options, "--json")
    assert result.exit_code == 0, result.output
    from hpdsearch.distillation.teacher.teacher import Teacher

    encoder, teacher = Encoder.load(member_folder, dim=12).encode, Teacher.load(teacher_folder).encode

    def project(texts):
        return space.project(teacher(texts))[:, :12]

    systems = json.loads(result.stdout)["systems"]
    expected = {
        "member": (12, compute_ndcg(encoder, encoder)),
        "tiny-teacher": (32, compute_ndcg(teacher, teacher)),
        "tiny-teacher projected": (12, compute_ndcg(project, project)),
        "queries member, documents member": (12, compute_ndcg(encoder, encoder)),
        "queries member, documents tiny-teacher projected": (12, compute_ndcg(encoder, project)),
    }
    assert {system["name"]: (system["dim"], system["means"]["nDCG@10"]) for system in systems} == {
        name: (dim, pytest.approx(value)) for name, (dim, value) in expected.items()
    }
    assert len({round(value, 3) for _, value in expected.values()}) >= 3, "the systems can be told apart"
    assert systems[0]["collections"][0]["n_unknown_documents"] == 1
    assert set(systems[0]["collections"][0]["per_query"]["MRR@10"]) == set(QUERIES)


def test_queries_are_measured_with_their_prompt_and_documents_with_theirs(run, beir, tmp_path, tiny_encoder, sts):
    from tiny_encoder import make_tiny_encoder
    from tiny_teacher import make_tiny_teacher

    prompts = {"query_prompt": "song: ", "document_prompt": "book: "}
    encoder = make_tiny_encoder(tmp_path / "prompted", max_tokens=120, **prompts)  # as tiny_encoder
    teacher = make_tiny_teacher(tmp_path / "teacher")
    settings = {"prompts": {"query": "song: ", "document": "book: "}}
    (teacher / "config_sentence_transformers.json").write_text(json.dumps(settings))
    options = ["--encoder", encoder, "--query-encoder", encoder, "--teacher", teacher, "--cache", tmp_path / "cache"]
    result = run("evaluate", "retrieval", beir, *options, "--json")
    assert result.exit_code == 0, result.output
    from hpdsearch.distillation.teacher.prompts import Prompts
    from hpdsearch.distillation.teacher.teacher import Teacher

    plain = Teacher.load(teacher, prompts=Prompts("", ""))

    def prompted(encode):
        return [lambda texts, prompt=prompt: encode([prompt + text for text in texts]) for prompt in prompts.values()]

    expected = [compute_ndcg(*prompted(tiny_encoder.encode)), compute_ndcg(*prompted(plain.encode))]
    found = [system["means"]["nDCG@10"] for system in json.loads(result.stdout)["systems"]]
    assert found == [pytest.approx(value) for value in (*expected, expected[0])]
    assert found[0] != pytest.approx(compute_ndcg(tiny_encoder.encode, tiny_encoder.encode))
    scores = json.loads(run("evaluate", "sts", sts, "--encoder", encoder, "--json").stdout)["systems"]
    assert scores[0]["tasks"][0]["spearman"] == pytest.approx(compute_spearman(prompted(tiny_encoder.encode)[1]))


def test_retrieval_prints_a_table_per_metric_and_notes_missing_documents(run, beir, tiny_folder):
    result = run("evaluate", "retrieval", beir, "--encoder", tiny_folder)
    encode = Encoder.load(tiny_folder).encode
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["nDCG@10", "x", "100", "queries", "tiny"]
    assert lines[1] == ["tiny-beir", "3", f"{compute_ndcg(encode, encode):.2f}"]
    assert [line[0] for line in lines if "x" in line] == ["nDCG@10", "recall@100", "MRR@10"]
    assert "tiny-beir: 1 relevant documents that are not in the corpus" in result.stdout


def test_several_teachers_are_measured_as_one_ensemble(run, beir, teacher_folder, tmp_path):
    from tiny_teacher import make_tiny_teacher

    from hpdsearch import WeightedTeacher
    from hpdsearch.distillation.teacher.ensemble import TeacherEnsemble

    second = make_tiny_teacher(tmp_path / "second", seed=1)
    options = ["--teacher", teacher_folder, "--teacher", f"{second}:0.5", "--cache", tmp_path / "cache"]
    result = run("evaluate", "retrieval", beir, *options, "--json")
    assert result.exit_code == 0, result.output
    (system,) = json.loads(result.stdout)["systems"]
    assert (system["name"], system["dim"]) == ("tiny-teacher + 0.5 second", 64)
    encode = TeacherEnsemble.load([teacher_folder, WeightedTeacher(second, 0.5)]).encode
    assert system["means"]["nDCG@10"] == pytest.approx(compute_ndcg(encode, encode))


def test_retrieval_among_distractors_is_that_of_a_larger_corpus(run, beir, member_folder, tmp_path):
    others = ["the king of the sea", "a cat and a dog", "a song of the river", "the cat RUNS!"]
    (tmp_path / "texts.txt").write_text("\n".join(others) + "\n")
    options = ["--encoder", member_folder, "--query-encoder", member_folder]
    files = ["--distractors", f"{tmp_path / 'texts.txt'}:3"]
    result = run("evaluate", "retrieval", beir, *options, *files, "--json")
    assert result.exit_code == 0, result.output
    encode = Encoder.load(member_folder).encode
    scores = unit_rows(encode(list(QUERIES.values()))) @ unit_rows(encode([*DOCUMENTS, *others[:3]])).T
    ids = [*(f"d{number:02}" for number in range(len(DOCUMENTS))), "x1", "x2", "x3"]
    judged = {query_id: {d: grade for q, d, grade in QRELS if q == query_id} for query_id in QUERIES}
    run_of_all = {q: dict(zip(ids, map(float, line), strict=True)) for q, line in zip(QUERIES, scores, strict=True)}
    found = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut_10"}).evaluate(run_of_all)
    expected = 100 * np.mean([values["ndcg_cut_10"] for values in found.values()])
    assert expected != pytest.approx(compute_ndcg(encode, encode))
    for system in json.loads(result.stdout)["systems"]:
        assert system["means"]["nDCG@10"] == pytest.approx(expected)
        assert system["collections"][0]["n_distractors"] == 3
    result = run("evaluate", "retrieval", beir, "--encoder", member_folder, *files)
    assert "each collection is searched among 3 distractors" in result.stdout


def test_distractors_need_a_file_and_a_number(run, beir, tiny_folder, tmp_path):
    (tmp_path / "texts.txt").write_text("one text\n")
    for value, code, message in (
        ("texts.txt", 2, "expected FILE:N"),
        ("texts.txt:0", 2, "expected FILE:N"),
        ("texts.txt:many", 2, "expected FILE:N"),
        (f"{tmp_path / 'texts.txt'}:2", 1, "texts.txt: expected 2 different texts"),
        (f"{tmp_path / 'none.txt'}:2", 1, "none.txt"),
    ):
        result = run("evaluate", "retrieval", beir, "--encoder", tiny_folder, "--distractors", value)
        assert (result.exit_code, message in result.stderr) == (code, True), value


def test_an_impossible_measurement_is_an_error_that_names_the_reason(
    run, beir, sts, tiny_folder, member_folder, teacher_folder
):
    result = run("evaluate", "retrieval", beir, "--encoder", tiny_folder, "--query-encoder", member_folder)
    assert result.exit_code == 1
    assert "expected an encoder of the space of tiny, sha256:" in result.stderr
    result = run("evaluate", "sts", sts, "--encoder", tiny_folder, "--dim", 17)
    assert result.exit_code == 1
    assert "expected 1..16" in result.stderr
    result = run("evaluate", "sts", sts, "--subset", "dev")
    assert result.exit_code == 1
    assert "sts: expected dev.tsv or SICK_dev*.txt or STS.input.*.txt, in it or in the folders" in result.stderr
    result = run("evaluate", "retrieval", beir, "--teacher", teacher_folder, "--query-encoder", member_folder)
    assert result.exit_code == 2
    assert "give --encoder or --space" in result.stderr
    assert run("evaluate", "sts", sts, "--space", "somewhere").exit_code == 2


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_broken_folders_are_named_and_the_others_are_evaluated(run, sts, beir, tiny_folder, tmp_path, options):
    def evaluate(kind, folder):
        return run("evaluate", kind, folder, "--encoder", tiny_folder, *options)

    alone = evaluate("sts", sts).stdout
    (sts / "foreign").mkdir()
    (sts / "broken").mkdir()
    (sts / "broken" / "test.tsv").write_text("1\ta\tb\nhigh\tc\td\n")
    (sts / "equal").mkdir()
    (sts / "equal" / "test.tsv").write_text("1\ta\ta\n2\tb\tb\n")
    result = evaluate("sts", sts)
    assert (result.exit_code, result.stdout) == (1, alone)
    assert f"{sts}: 3 of its folders could not be evaluated" in result.stderr
    for message in (
        "foreign: expected test.tsv",
        "broken/test.tsv:2: expected a finite number",
        "equal: expected pairs",
    ):
        assert message in result.stderr

    (beir.parent / "all").mkdir()
    beir = beir.rename(beir.parent / "all" / beir.name)
    alone = evaluate("retrieval", beir).stdout
    write_beir(beir.parent / "empty", [], QUERIES, QRELS)
    result = evaluate("retrieval", beir.parent)
    assert (result.exit_code, result.stdout) == (1, alone)
    assert result.stderr.startswith(
        f"Error: {beir.parent}/empty/corpus.jsonl.gz: expected at least one of the relevant"
    )
    shutil.rmtree(beir)
    assert evaluate("retrieval", beir.parent).exit_code == 1
    assert evaluate("retrieval", beir.parent).stdout == ""
