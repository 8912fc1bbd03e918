"""The commands reindex, compact, verify, info, index --update, query --ann-recall: output, files and errors."""

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from brute_force import TOLERANCE, compute_dense_scores, make_documents, read_passages

from hpdsearch import Encoder, Index
from hpdsearch.dense import Codec, IndexSpec, Kind, auto
from hpdsearch.indexer import merging

QUERIES = ("the old cat sleeps", "queen of the iron river", "war and peace", "a song for the moon", "blue fish")


@pytest.fixture(scope="session")
def tuned_index(tmp_path_factory, tiny_folder):
    """Return an index whose one segment has operating points: 2,500 vectors, pq, recall target 0.5."""
    folder = tmp_path_factory.mktemp("tuned") / "big"
    spec = IndexSpec(Kind.FLAT, Codec.PQ, ann_recall=0.5)
    Index.build(folder, make_documents(2_500), encoder=tiny_folder, spec=spec).close()
    return folder


@pytest.fixture
def big(run, tuned_index):
    """Return a copy of it, as indexes/big."""
    shutil.copytree(tuned_index, "indexes/big")
    return run


def describe(run, name="big"):
    return json.loads(run("info", name, "--json").stdout)


def hits(run, query, *options):
    answer = run("query", query, "-i", "big", "--mode", "dense", "--json", *options)
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)["hits"]


# ---- reindex


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "codec", "dim"), [("flat", "sq8", None), ("flat", "rabitq", 6), ("ivf", "pq", None)])
def test_reindex_builds_the_index_of_the_options_from_the_same_vectors(big, tiny_folder, monkeypatch, kind, codec, dim):
    monkeypatch.setattr(auto, "IVF_MINIMUM", 1_000)
    encoder = Encoder.load(tiny_folder)
    vectors = Path("indexes/big/vectors-000001.f16").read_bytes()
    result = big(
        "reindex",
        "big",
        "--index-type",
        kind,
        "--codec",
        codec,
        "--ann-recall",
        "0.9",
        *(["--dim", dim] if dim is not None else []),
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("indexes/big: reindexed\n")
    assert f"segment:    2,500 vectors, {kind} {codec}{f' of {dim} dimensions' if dim else ''}, " in result.stdout
    assert ("lists probed" in result.stdout) == (kind == "ivf")
    after = describe(big)
    (segment,) = after["segments"]
    assert (segment["kind"], segment["codec"], segment["dim"]) == (kind, codec, dim or 0)
    assert (after["spec"]["kind"], after["spec"]["codec"], after["spec"]["ann_recall"]) == (kind, codec, 0.9)
    assert segment["operating_points"]["recall_target"] == 0.9
    assert Path("indexes/big/vectors-000001.f16").read_bytes() == vectors
    assert len(list(Path("indexes/big").glob("*.faiss"))) == 1
    assert big("verify", "big").exit_code == 0
    passages = read_passages(Path("indexes/big"), encoder)
    for query in QUERIES:
        scores = compute_dense_scores(passages, encoder.encode([query])[0])
        found = hits(big, query)
        assert len(found) == 10
        assert all(abs(hit["score"] - scores[hit["doc_id"]]) < TOLERANCE for hit in found)


def test_reindex_without_options_restores_a_high_ann_recall(big, tiny_folder):
    encoder = Encoder.load(tiny_folder)
    assert big("reindex").exit_code == 0
    (segment,) = describe(big)["segments"]
    assert (segment["kind"], segment["codec"], segment["dim"]) == ("flat", "sq8", 0)
    assert compute_recall(big, encoder) > 0.95


def compute_recall(run, encoder, *options):
    """Return the share of hits, over QUERIES, with at least the score of the tenth hit of exact search."""
    passages = read_passages(Path("indexes/big"), encoder)
    n_found = 0
    for query in QUERIES:
        tenth = sorted(compute_dense_scores(passages, encoder.encode([query])[0]).values())[-10]
        n_found += sum(hit["score"] > tenth - TOLERANCE for hit in hits(run, query, *options))
    return n_found / (10 * len(QUERIES))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--codec", "sq8", "--memory", "20k"),
            "bytes for 2,500 vectors of 16 dimensions, got 20,000; a smaller --dim",
        ),
        (("--memory", "9k"), "a smaller --dim takes less"),
        (("--dim", "17"), "dim: expected"),
        (("--nlist", "5", "--nprobe", "6"), "nprobe: expected 1..5 (nlist), got 6"),
        (("--rescore", "-1"), "rescore: expected at least 0, got -1"),
    ],
)
def test_an_impossible_reindex_is_a_one_line_error_and_changes_nothing(big, monkeypatch, options, message):
    monkeypatch.setattr(merging, "MIN_BUDGETED_ROWS", 1_000)  # a budget is for large segments
    before, answer = describe(big), hits(big, "cat")
    files = {path.name for path in Path("indexes/big").iterdir()}
    result = big("reindex", "big", *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert describe(big) == before
    assert hits(big, "cat") == answer
    assert {path.name for path in Path("indexes/big").iterdir()} - {"write.lock"} == files - {"write.lock"}


def test_an_index_stays_within_the_memory_limit(big, monkeypatch):
    monkeypatch.setattr(merging, "MIN_BUDGETED_ROWS", 1_000)
    assert big("reindex", "big", "--memory", "30k").exit_code == 0
    after = describe(big)
    (segment,) = after["segments"]
    assert segment["codec"] == "pq"  # sq8 takes 40,000 bytes
    assert after["memory_bytes"] <= 30_000
    assert after["spec"]["memory"] == 30_000


def test_reindex_without_an_argument_takes_the_only_index(run, big):
    (Path("photos")).mkdir()
    for command in ("reindex", "compact"):
        assert run(command).exit_code == 0
        refused = run(command, "photos")
        assert refused.exit_code == 1
        assert "photos: this is not an hpdsearch index" in refused.stderr


# ---- compact


def test_compact_makes_one_segment_and_reports_the_removed_passages(big, tmp_path):
    (tmp_path / "more.jsonl").write_text(
        "".join(json.dumps({"id": f"m{i}", "text": f"the new cat {i}"}) + "\n" for i in range(300))
    )
    assert big("add", "big", "more.jsonl").exit_code == 0
    assert big("delete", "big", "m7", "d00007", "d00008").exit_code == 0
    before = describe(big)
    assert len(before["segments"]) == 2
    answer = hits(big, "the new cat", "-k", 3_000)
    assert len(answer) == 2_797
    result = big("compact", "big")
    assert result.exit_code == 0, result.output
    assert "indexes/big: 3 deleted passages removed, " in result.stdout
    after = describe(big)
    assert [segment["rows"] for segment in after["segments"]] == [2_797]
    assert (after["n_deleted"], after["n_documents"]) == (0, 2_797)
    assert len(list(Path("indexes/big").glob("*.f16"))) == 1
    assert hits(big, "the new cat", "-k", 3_000) == answer
    assert big("verify", "big").stdout == "indexes/big: intact\n"
    again = big("compact", "big")
    assert "0 deleted passages removed" in again.stdout


# ---- operating points


def test_info_prints_the_operating_points_of_the_catalog(big):
    (segment,) = describe(big)["segments"]
    curve = segment["operating_points"]
    result = big("info", "big")
    lines = result.stdout.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("recall:"))
    assert lines[head] == f"recall:     2,500 vectors, target 0.5 met on {curve['n_queries']} held-out vectors"
    assert re.split("  +", lines[head + 1].strip()) == [
        "active",
        "nprobe",
        "rescore",
        "ann_recall@10",
        "95% bound",
        "ms per query",
    ]
    rows = lines[head + 2 : head + 2 + len(curve["points"])]
    for row, point in zip(rows, curve["points"], strict=True):
        nprobe, rescore, ann_recall, lower_bound, milliseconds = row.replace("*", "").split()
        assert (nprobe, int(rescore)) == ("-", point["rescore"])
        assert float(ann_recall) == pytest.approx(point["ann_recall"], abs=1e-4)
        assert float(lower_bound) == pytest.approx(point["ann_recall_lower"], abs=1e-4)
        assert float(milliseconds) == pytest.approx(point["milliseconds"], abs=1e-3)
    (active,) = [row for row in rows if "*" in row]
    assert int(active.split()[2]) == segment["rescore"]


def test_info_prints_a_missed_recall_target_with_the_best_measured_recall(big):
    result = big("reindex", "big", "--codec", "pq", "--dim", "2", "--ann-recall", "1", "--rescore", "1")
    assert result.exit_code == 0
    (segment,) = describe(big)["segments"]
    best = max(point["ann_recall"] for point in segment["operating_points"]["points"])
    assert best < 0.9
    message = f"target 1 is NOT met by this segment; the best measured is {best:.3f}"
    assert message in result.stdout
    assert message in big("info").stdout


def test_info_plots_the_operating_points(big):
    for name in ("curve.svg", "curve.PNG"):
        result = big("info", "big", "--plot", name)
        assert result.exit_code == 0, result.output
    text = " ".join(ElementTree.parse("curve.svg").getroot().itertext())
    for words in ("milliseconds per query", "ann_recall@10", "recall target 0.5", "2,500 vectors, flat pq", "big"):
        assert words in text
    assert Path("curve.PNG").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert json.loads(big("info", "big", "--json", "--plot", "again.svg").stdout)["n_documents"] == 2_500
    assert Path("again.svg").read_bytes() == Path("curve.svg").read_bytes()


def test_an_impossible_plot_is_a_one_line_error(big, indexed, monkeypatch):
    for folder, plot, message in (
        ("words", "curve.svg", "indexes/words: expected a segment with measured operating points, found none"),
        ("big", "nowhere/curve.svg", "nowhere/curve.svg"),
    ):
        result = big("info", folder, "--plot", plot)
        assert result.exit_code == 1
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = big("info", "big", "--plot", "curve.svg")
    assert result.exit_code == 1
    assert result.stderr == 'Error: a picture needs matplotlib: pip install "hpdsearch[plot]"\n'
    assert not list(Path().glob("curve*"))


def test_a_plot_in_an_unknown_format_is_an_error(big):
    result = big("info", "big", "--plot", "curve.xyz")
    assert result.exit_code in (1, 2)
    assert "curve.xyz" in result.stderr
    assert ".svg" in result.stderr
    assert not Path("curve.xyz").exists()


# ---- query --ann-recall


def test_query_ann_recall_searches_at_another_operating_point(big, tiny_folder):
    encoder = Encoder.load(tiny_folder)
    by_default, high = compute_recall(big, encoder), compute_recall(big, encoder, "--ann-recall", "1")
    assert by_default < high
    assert high > 0.95


@pytest.mark.parametrize(("recall", "exit_code"), [("0", 2), ("1.5", 2), ("-0.5", 2), ("much", 2), ("nan", 1)])
def test_an_ann_recall_outside_0_to_1_is_an_error(indexed, corpus, recall, exit_code):
    for command in (("query", "fear"), ("reindex", "words"), ("index", corpus, "-o", "other")):
        result = indexed(*command, "--ann-recall", recall)
        assert result.exit_code == exit_code, result.output
        assert "recall" in result.stderr
    assert not Path("other").exists()


# ---- index --update


def test_update_encodes_only_new_texts_and_deletes_missing_documents(indexed, corpus, tmp_path):
    (tmp_path / "more.txt").write_text("a text of another file\n")
    assert indexed("add", "words", "more.txt").exit_code == 0
    lines = corpus.read_text().splitlines()
    moved = lines[3].replace('"a b"', '"a c"')
    corpus.write_text("\n".join([moved, lines[0].replace("morbid", "great"), lines[1]]) + "\n")
    result = indexed("index", corpus, "--update")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("indexes/words: indexed 2 documents, 2 passages in ")
    for noted in (
        "1 unchanged documents",
        "2 documents deleted, no longer in",
        "1 documents not encoded again",
        "1 documents replaced",
    ):
        assert noted in result.stdout
    with Index.open("indexes/words") as index:
        found = {hit.doc_id: hit.text for hit in index.search("fear", 100, mode="dense")}
    assert found == {
        "c1": "a great fear of being closed in a confined space",
        "s1": "a measuring instrument for detecting earthquakes",
        "a c": "a morbid fear of spiders",
        "more.txt:1": "a text of another file",
    }
    again = indexed("index", corpus, "--update")
    assert "up to date, 3 unchanged documents" in again.stdout
    assert indexed("verify", "words").exit_code == 0


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (("--dim", "4"), "index again with --overwrite"),
        (("--overwrite",), "index again with --overwrite"),
        (("--index-type", "flat"), "use hpdsearch reindex"),
        (("--codec", "sq8"), "use hpdsearch reindex"),
        (("--ann-recall", "0.9"), "use hpdsearch reindex"),
        (("--memory", "1G"), "use hpdsearch reindex"),
        (("--nprobe", "3"), "use hpdsearch reindex"),
    ],
)
def test_update_refuses_settings(indexed, corpus, options, how):
    result = indexed("index", corpus, "--update", *options)
    assert result.exit_code == 2
    assert f"{options[0]} does not go with --update, which keeps the settings of the index; {how}" in result.stderr
    assert describe(indexed, "words")["generation"] == 1


def test_update_of_a_folder_without_an_index_is_an_error_and_creates_none(run, corpus):
    result = run("index", corpus, "--update")
    assert result.exit_code == 1
    assert "indexes/words: there is no such folder; make one with: hpdsearch index" in result.stderr
    assert not Path("indexes").exists()


def test_update_from_an_unreadable_corpus_changes_nothing(indexed, corpus):
    corpus.write_text(corpus.read_text() + '{"id": "x", "text": 5}\n')
    result = indexed("index", corpus, "--update")
    assert result.exit_code == 1
    assert 'words.jsonl:5: expected a "text" string, got the number 5' in result.stderr
    assert describe(indexed, "words")["generation"] == 1


# ---- sizes


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [("2G", 2_000_000_000), ("500M", 500_000_000), ("1.5GB", 1_500_000_000), ("64 kb", 64_000), ("3t", 3 * 10**12)],
)
def test_sizes_are_powers_of_1000(run, corpus, tiny_folder, size, n_bytes):
    assert run("index", corpus, "--encoder", tiny_folder, "--memory", size).exit_code == 0
    assert describe(run, "words")["spec"]["memory"] == n_bytes


@pytest.mark.parametrize("size", ["", "two", "G", "2X", "-5M", "1e9", "2G!", "1.2.3G", "nan"])
def test_an_unreadable_size_is_a_usage_error(run, corpus, size):
    for command in (("index", corpus), ("reindex", "words")):
        result = run(*command, "--memory", size)
        assert result.exit_code == 2
        assert f"expected a size such as 2G or 500M, got {size!r}" in result.stderr
    assert not Path("indexes").exists()


def test_a_size_that_no_machine_has_is_a_usage_error(indexed):
    result = indexed("reindex", "words", "--memory", "9" * 400)
    assert result.exit_code == 2
    assert "expected at most" in result.stderr


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"c1\ns1\n", 0, "2 documents deleted"),
        ("\ufeffc1\r\n\r\n s1\r\n".encode(), 1, "1 of 2 doc_ids are not in the index: ' s1'"),
        ("\ufeffc1\r\n\n".encode(), 0, "1 document deleted"),
        (b"c1\nM\xf6we\n", 1, "ids:2: expected UTF-8, got the byte 0xf6 at offset 4 of the file"),
        ("c1\ns1\n".encode("utf-16"), 0, "2 documents deleted"),
        ("c1\n".encode("utf-16-le"), 1, "ids:1: expected text, got a NUL byte at offset 1; leave out binary files\n"),
        (b"c1\n\0\n", 1, "ids:2: expected text, got a NUL byte"),
        (b"", 2, "expected a DOC_ID or --ids-file, got neither"),
    ],
)
def test_a_file_of_ids_is_read_by_its_byte_order_mark_or_as_utf_8(indexed, tmp_path, content, code, message):
    (tmp_path / "ids").write_bytes(content)
    result = indexed("delete", "words", "--ids-file", "ids")
    assert (result.exit_code, message in result.output) == (code, True), result.output
    assert indexed("delete", "words", "--ids-file", "nowhere").exit_code == 2
