"""Shards that are searched one by one, with the statistics of all, give the hits of one index when they are merged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sharding import EXACT, IDENTIFIERS, make_corpus
from tiny_encoder import WORDS, make_tiny_static

from hpdsearch.catalog import CLUSTER_FILE
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.index.shards.cluster_file import read_cluster
from hpdsearch.records import Document
from hpdsearch.search import Mode, rare_words
from hpdsearch.search.one_shard import PartOptions, PartQuery, merge_parts, open_one_shard, search_part
from hpdsearch.search.query_syntax import parse_query

N_SHARDS = (1, 3, 7)


class Parts:
    """The shards of a folder, each opened by itself."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        folders = read_cluster(folder).folders(folder)
        self.encoder = encoder
        self.shards = [open_one_shard(folder / CLUSTER_FILE, folders, number) for number in range(len(folders))]

    def search(self, query: str, options: PartOptions) -> list[tuple[str, float]]:
        text = query if options.mode is Mode.DENSE else parse_query(query).text
        vector = None if options.mode is Mode.LEXICAL else self.encoder.encode_queries([text])[0]
        asked = PartQuery(query, vector, self.encoder.known_words(text))
        parts = [search_part(shard, asked, options) for shard in self.shards]
        names = {each.doc: each.doc_id for part in parts for each in part}
        return [(names[doc], score) for doc, score, _ in merge_parts(parts, options)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Index, Parts]]]:
    """Return indexes in shards with their parts, the last of them with buffered passages, and one without shards."""
    folder = tmp_path_factory.mktemp("parts")
    encoder = Encoder.load(make_tiny_static(folder / "static"))
    single = Index.build(folder / "single", make_corpus(), encoder=encoder, spec=EXACT)
    indexes = [single]
    pairs = []
    for n in N_SHARDS:
        of_n = folder / f"of-{n}"
        indexes.append(Index.build(of_n, make_corpus(), encoder=encoder, spec=EXACT, shards=n, processes=1))
        pairs.append((single, Parts(of_n, encoder)))
    changed = Index.build(folder / "changed", make_corpus(), encoder=encoder, spec=EXACT, shards=3, processes=1)
    changed.add([Document(f"new-{number}", f"the cat met the king {number} of E1234-77") for number in range(9)])
    changed.delete(["doc-3", "doc-50"])
    pairs.append((changed, Parts(folder / "changed", encoder)))
    yield pairs
    for index in (*indexes, changed):
        index.close()


MARKS = st.sampled_from(["{}", "{}", "{}", "+{}", "-{}", '"{}"'])
TERMS = st.builds(str.format, MARKS, st.sampled_from([*WORDS, *IDENTIFIERS, "the cat", "unknownword"]))
QUERIES = st.lists(TERMS, min_size=1, max_size=7).map(" ".join)
FILTERS = st.sampled_from([None, None, "year = 2003", "year > 2001 and not lang = 'en'", "id = 'doc-3'"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERIES, st.sampled_from(list(Mode)), FILTERS, st.integers(1, 40))
def test_merged_candidates_are_the_hits_of_one_index(pairs, query: str, mode: Mode, where: str | None, k: int) -> None:
    for index, parts in pairs:
        expected = [(hit.doc_id, hit.score) for hit in index.search(query, k, mode=mode, where=where)]
        assert parts.search(query, PartOptions(k, mode, where)) == expected


@pytest.mark.parametrize(("query", "has_rare"), [("cat Cat 44228", True), ("2021", True), ("king of the sea", False)])
def test_only_words_that_the_encoder_splits_are_rare_in_shards(
    pairs, query: str, has_rare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rare_words, "MAX_RARE_SHARE", 1.0)
    monkeypatch.setattr(rare_words, "MAX_RARE_ROWS", 1000)
    for index, parts in pairs:
        expected = [(hit.doc_id, hit.score) for hit in index.search(query, 200)]
        assert parts.search(query, PartOptions(200, Mode.HYBRID)) == expected
        assert (max(score for _, score in expected) > 1) == has_rare


def test_a_shard_holds_no_vectors_of_others(pairs) -> None:
    for _, parts in pairs:
        for number, shard in enumerate(parts.shards):
            assert sum(segment.n_rows for segment in shard.segments) <= shard.shards[number].catalog.n_passages() + 2
