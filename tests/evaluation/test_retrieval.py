"""Retrieval over BEIR folders: brute force and trec_eval as oracles, and the errors of the readers."""

import numpy as np
import pytest
import pytrec_eval
from beir_folder import CORPUS, QRELS, write_beir

from hpdsearch.errors import CorpusError
from hpdsearch.evaluation import evaluate_retrieval, rank_documents, read_collections

WORDS = ["cat", "dog", "bird", "fish", "tree", "house", "river", "sea", "ship", "star", "moon", "sun", "rain", "snow"]


def evaluate(folder, encode, encode_documents=None):
    return evaluate_retrieval(read_collections(folder), encode, encode_documents)


def make_texts(n, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 4)) for _ in range(n)]


@pytest.mark.parametrize("block", [7, 2048])
def test_metrics_equal_trec_eval_on_brute_force_for_any_block_size(tmp_path, tiny_encoder, monkeypatch, block):
    monkeypatch.setattr("hpdsearch.evaluation.retrieval.BLOCK", block)
    rng = np.random.default_rng(1)
    documents = list(
        dict.fromkeys(make_texts(150, seed=2))
    )  # equal texts would tie, and trec_eval orders ties the other way round
    corpus = [{"_id": f"d{number}", "title": text[:4], "text": text[4:]} for number, text in enumerate(documents)]
    queries = {f"q{number}": text for number, text in enumerate(make_texts(12, seed=3))}
    qrels = [
        (q, f"d{d}", int(rng.integers(-1, 3))) for q in queries for d in rng.choice(len(corpus), 30, replace=False)
    ]
    write_beir(tmp_path / "c", corpus, queries, qrels)

    def other(make_texts):  # documents by another encoder, with vectors of any length
        return 3 * np.roll(tiny_encoder.encode(make_texts), 1, axis=1)

    result = evaluate(tmp_path / "c", tiny_encoder.encode, other).collections[0]
    scores = tiny_encoder.encode(list(queries.values())) @ other([f"{d['title']} {d['text']}" for d in corpus]).T
    run = {
        query_id: {corpus[row]["_id"]: float(line[row]) for row in np.argsort(-line)[:100]}
        for query_id, line in zip(queries, scores, strict=True)
    }
    judged = {query_id: {d: grade for q, d, grade in qrels if q == query_id} for query_id in queries}
    measures = {"ndcg_cut_10", "recall_100", "recip_rank"}
    expected = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(run)
    for metric, measure in (("nDCG@10", "ndcg_cut_10"), ("recall@100", "recall_100")):
        wanted = {query_id: 100 * found[measure] for query_id, found in expected.items()}
        assert dict(result.values[metric]) == pytest.approx(wanted)
        assert result.means[metric] == pytest.approx(np.mean(list(wanted.values())))
    reciprocal = {q: 100 * found["recip_rank"] * (found["recip_rank"] >= 0.1) for q, found in expected.items()}
    assert dict(result.values["MRR@10"]) == pytest.approx(reciprocal)
    assert (result.n_queries, result.n_documents) == (12, len(corpus))


def one_hot(table):
    """Return an encode function that looks up the vectors of texts."""
    return lambda make_texts: np.array([table[text] for text in make_texts], dtype=np.float32)


QUERY_VECTORS = {"a cat that runs": [1, 0, 0], "a small bird sings": [0.6, 0.8, 0], "war and peace": [0, 0, 2]}
DOCUMENT_VECTORS = {
    "sea the ship on the river": [1, 1, 0],
    "the cat runs": [1, 0, 0],
    "stone and gold": [1, 0, 0],
    "a king of war and peace": [0, 0, 1],
    "a  small bird sings": [0.6, 0.8, 0],
}


def test_the_query_itself_is_excluded_ties_go_to_the_smaller_doc_id_and_counts_are_reported(tmp_path):
    """q1: a, c, q1 tie, then b; the document q1 has another text and stays. q2: itself is excluded; b, then a and c."""
    write_beir(tmp_path / "c")
    result = evaluate(tmp_path / "c", one_hot(QUERY_VECTORS), one_hot(DOCUMENT_VECTORS)).collections[0]
    ideal = 2 + 1 / np.log2(3)
    assert dict(result.values["nDCG@10"]) == pytest.approx(
        {
            "q1": 100 * (2 + 1 / np.log2(5)) / ideal,
            "q2": 100 / np.log2(3),
            "q3": 100 / (1 + 1 / np.log2(3)),  # "lost" is relevant, but not in the corpus
        }
    )
    assert dict(result.values["MRR@10"]) == pytest.approx({"q1": 100, "q2": 50, "q3": 100})
    assert dict(result.values["recall@100"]) == pytest.approx({"q1": 100, "q2": 100, "q3": 50})
    counts = (result.n_documents, result.n_without_relevant, result.n_unknown_queries, result.n_unknown_documents)
    assert counts == (6, 1, 1, 1)


@pytest.mark.parametrize("block", [9, 2048])
def test_of_many_equal_documents_the_smaller_doc_ids_are_kept(tmp_path, monkeypatch, block):
    monkeypatch.setattr("hpdsearch.evaluation.retrieval.BLOCK", block)
    numbers = np.random.default_rng(0).permutation(130)
    corpus = [{"_id": f"{number:03}", "text": "the same"} for number in numbers]
    write_beir(tmp_path / "c", corpus, {"q": "asked"}, [("q", "000", 1), ("q", "099", 1), ("q", "100", 1)])
    result = evaluate(tmp_path / "c", lambda make_texts: np.ones((len(make_texts), 2)))
    assert result.means == pytest.approx(
        {"nDCG@10": 100 / (1.5 + 1 / np.log2(3)), "recall@100": 200 / 3, "MRR@10": 100}
    )


def test_a_folder_of_collections_gives_the_plain_mean(tmp_path):
    write_beir(tmp_path / "all" / "big")
    write_beir(tmp_path / "all" / "one", qrels=[("q3", "d", 1)])
    result = evaluate(tmp_path / "all", one_hot(QUERY_VECTORS), one_hot(DOCUMENT_VECTORS))
    big, one = result.collections
    assert (big.name, one.name, one.n_queries, one.means["nDCG@10"]) == ("big", "one", 1, 100)
    assert result.as_dict()["means"]["nDCG@10"] == pytest.approx((big.means["nDCG@10"] + 100) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": [*CORPUS, CORPUS[0]]}, r'corpus\.jsonl\.gz:7: expected different ids, got "b" a second time'),
        (
            {"corpus": [*CORPUS, {"_id": 1.0, "text": "x"}]},
            r'gz:7: expected an "_id" string or integer, got the number',
        ),
        ({"corpus": [*CORPUS, {"text": "x"}]}, r'corpus\.jsonl\.gz:7: expected an "_id" string or integer, got null'),
        ({"corpus": [*CORPUS, {"_id": 1}, {"_id": "1"}]}, r'corpus\.jsonl\.gz:7: expected a "text" string, got none'),
        ({"corpus": [*CORPUS, {"_id": 1, "text": ""}, {"_id": "1", "text": ""}]}, r'different ids, got "1" a second'),
        ({"corpus": [*CORPUS, {"_id": 1, "text": [2]}]}, r'corpus\.jsonl\.gz:7: expected a "text" string, got a list'),
        ({"corpus": []}, r"corpus\.jsonl\.gz: expected at least one of the relevant documents, got an empty corpus"),
        ({"corpus": [{"_id": "z", "text": "x"}]}, r"corpus\.jsonl\.gz: expected at least one .* got none among 1"),
        ({"corpus": [CORPUS[3]]}, r"corpus\.jsonl\.gz: expected at least one .* got none among 1"),
        ({"qrels": [("q1", "a")]}, r"test\.tsv:2: expected query-id, corpus-id and score, .* got 'q1\\ta'"),
        ({"qrels": [("q1", "0", "a", 1, 1)]}, r"test\.tsv:2: expected query-id, corpus-id and score"),
        ({"qrels": [("q1", "", 1)]}, r"test\.tsv:2: expected query-id, corpus-id and score"),
        ({"qrels": [("q1", "a", "yes")]}, r"test\.tsv:2: expected a whole number as the score, got 'yes'"),
        ({"qrels": [("q1", "a", "0.5")]}, r"test\.tsv:2: expected a whole number as the score, got '0.5'"),
        ({"qrels": [("q1", "a", "inf")]}, r"test\.tsv:2: expected a whole number as the score, got 'inf'"),
        (
            {"qrels": [*QRELS, ("q1", "a", 1)]},
            r"test\.tsv:10: expected one judgment of a for q1, got 2 before and 1 here",
        ),
        ({"qrels": [("q4", "a", 0), ("q9", "a", 1)]}, r"test\.tsv: expected a relevant document for at least one"),
        ({"qrels": []}, r"test\.tsv: expected a relevant document for at least one"),
    ],
)
def test_errors_name_file_and_line(tmp_path, change, message):
    write_beir(tmp_path / "c", **change)
    with pytest.raises(CorpusError, match=message):
        evaluate(tmp_path / "c", lambda make_texts: np.ones((len(make_texts), 2)))


def test_errors_name_missing_and_damaged_files(tmp_path):
    folder = write_beir(tmp_path / "c")
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "x"}\n{"_id": \n')
    with pytest.raises(CorpusError, match=r"queries\.jsonl:2: expected a JSON object, got an error at column"):
        read_collections(folder)
    (folder / "queries.jsonl").unlink()
    with pytest.raises(CorpusError, match=r"c: expected queries\.jsonl or queries\.jsonl\.gz, found none"):
        read_collections(folder)
    write_beir(tmp_path / "more" / "c")
    with pytest.raises(CorpusError, match=r"dev\.tsv: cannot be read: No such file"):
        read_collections(tmp_path / "more", subset="dev")
    (tmp_path / "more" / "c" / "corpus.jsonl.gz").unlink()
    with pytest.raises(
        CorpusError, match=r"more: expected corpus\.jsonl or corpus\.jsonl\.gz, in it or in the folders"
    ):
        read_collections(tmp_path / "more")
    write_beir(tmp_path / "more" / "good")
    with pytest.raises(CorpusError, match=r"c: expected corpus\.jsonl or corpus\.jsonl\.gz, found none"):
        read_collections(tmp_path / "more")


ROWS = [(query_id, doc_id, f"{grade}") for query_id, doc_id, grade in QRELS]
HEADER = ("query-id", "corpus-id", "score")
TREC_ROWS = [(query_id, "Q0", doc_id, grade) for query_id, doc_id, grade in ROWS]


@pytest.mark.parametrize(
    "lines",
    [
        ["\t".join(row) for row in ROWS],
        ["\t".join(row) for row in (("QID", "docid", "Relevance"), *ROWS)],
        [" ".join(row) for row in (HEADER, *ROWS)],
        [f"{query_id}\t{doc_id}\t{grade}.0" for query_id, doc_id, grade in ROWS],
        ["\t".join(row) for row in TREC_ROWS],
        ["  ".join(row) for row in TREC_ROWS],
        [" \t".join(row) + " \t" for row in TREC_ROWS],
        ["", *("\t".join(row) for row in (HEADER, *ROWS)), "", " \t"],
    ],
    ids=["no header", "other header", "spaces", "1.0", "trec tabs", "trec spaces", "both", "blank lines"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
def test_common_layouts_of_judgments_are_read_as_those_of_beir(tmp_path, lines, end, mark):
    folder = write_beir(tmp_path / "c")
    (expected,) = read_collections(folder)
    (folder / "qrels" / "test.tsv").write_bytes((mark + end.join(lines) + end).encode())
    assert read_collections(folder) == [expected]


def test_blank_lines_marks_integer_ids_and_null_texts_are_read(tmp_path):
    folder = write_beir(tmp_path / "c", qrels=[("1", "7", 1)])
    (folder / "corpus.jsonl.gz").unlink()
    (folder / "corpus.jsonl").write_bytes(
        b'\xef\xbb\xbf{"_id": 7, "title": "T", "text": null}\r\n\r\n{"_id": "x", "text": "y"}\r\n\n'
    )
    (folder / "queries.jsonl").write_bytes(
        b'\xef\xbb\xbf{"_id": 1, "text": "ask"}\r\n{"_id": 2, "text": "unjudged"}\n\n'
    )
    (collection,) = read_collections(folder)
    assert collection.queries == {"1": "ask"}
    assert dict(collection.documents()) == {"7": "T", "x": "y"}


@pytest.mark.parametrize("dim", [2, 128, 768])
def test_documents_in_one_direction_tie_whatever_their_length(tmp_path, dim):
    """float32 gives such documents cosines like 0.99999994, 1.0 and 1.0000001."""
    rng = np.random.default_rng(dim)
    direction = rng.normal(size=dim)
    lengths = dict(zip([f"d{number:02}" for number in range(40)], rng.uniform(0.1, 10, 40), strict=True))
    corpus = [{"_id": doc_id, "text": doc_id} for doc_id in reversed(lengths)]
    (collection,) = read_collections(write_beir(tmp_path / "c", corpus, {"q": "ask"}, [("q", "d00", 1)]))
    lengths["ask"] = 1.7
    rankings, _ = rank_documents(
        collection, lambda texts: np.array([lengths[text] * direction for text in texts], np.float32)
    )
    assert rankings["q"] == [(f"d{number:02}", 1.0) for number in range(40)]


def test_rankings_equal_the_cosines_of_brute_force(tmp_path, tiny_encoder, monkeypatch):
    monkeypatch.setattr("hpdsearch.evaluation.retrieval.DEPTH", 4)
    (collection,) = read_collections(write_beir(tmp_path / "c"))
    rankings, known = rank_documents(collection, tiny_encoder.encode)
    documents = dict(collection.documents())
    assert known == documents.keys()
    assert list(rankings) == list(collection.queries)
    for query_id, query in collection.queries.items():
        scores = tiny_encoder.encode(list(documents.values())) @ tiny_encoder.encode([query])[0]
        left = dict(zip(documents, scores, strict=True))
        if query_id == "q2":  # a document of this id holds the query's text; that of q1's id does not
            del left["q2"]
        assert rankings[query_id] == [(d, pytest.approx(left[d], abs=1e-6)) for d, _ in rankings[query_id]]
        assert [s for _, s in rankings[query_id]] == pytest.approx(sorted(left.values(), reverse=True)[:4], abs=1e-6)
