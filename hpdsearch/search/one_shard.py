"""One shard, searched by itself with the statistics of all: its scores are those of one index of all shards.

Its process opens the catalogs and the lexical indexes of all shards, which stay on the disk, and the vectors and codes
of its own. The candidates of all shards are merged by `merge_parts`, exactly.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpdsearch.catalog import SHARD_STEP, OneShardCatalog
from hpdsearch.lexical import OneShardLexicalReader, ShardedLexicalReader
from hpdsearch.search.exact_scores import cover_documents, score_by_both
from hpdsearch.search.fusion import FUSION_DEPTH, fuse
from hpdsearch.search.query_syntax import ParsedQuery, parse_query
from hpdsearch.search.ranking import Ranked, Ranking, negative_score
from hpdsearch.search.rare_words import catalog_bonuses
from hpdsearch.search.searcher import Mode, keep_allowed, rank_dense, rank_lexical
from hpdsearch.search.sharded import ShardedSnapshot, open_sharded_snapshot
from hpdsearch.search.snapshot import Restriction, Snapshot


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document of a shard that may be a hit.

    Attributes:
        doc: its number, with that of the shard.
        doc_id: its doc_id.
        score: its cosine, or its BM25 in mode lexical.
        row: the row of the passage with this score.
        bm25: in mode hybrid, the BM25 of its best passage; None: it shares no stem with the query.
        coverage: in mode hybrid, the part of the query that this passage holds.
        bonus: in mode hybrid, what is added to its score.
        is_near: whether it is among the first documents of the shard by cosine.
        is_lexical: whether it is among the first documents of the shard by BM25.
    """

    doc: int
    doc_id: str
    score: float
    row: int
    bm25: float | None = None
    coverage: float = 0.0
    bonus: float = 0.0
    is_near: bool = False
    is_lexical: bool = False


@dataclass(frozen=True)
class PartQuery:
    """A query as each shard gets it.

    Attributes:
        text: the query, with its marks.
        vector: its vector (dim,); None in mode lexical.
        known_words: in mode hybrid, its words that the encoder has whole.
    """

    text: str
    vector: np.ndarray | None = None
    known_words: Set[str] = frozenset()


@dataclass(frozen=True)
class PartOptions:
    """How the shards are searched.

    Attributes:
        k: wanted hits.
        mode: how documents are ranked.
        where: a filter.
        ann_recall: as in `search`.
    """

    k: int
    mode: Mode
    where: str | None = None
    ann_recall: float | None = None

    @property
    def depth(self) -> int:
        """Documents of each ranking that become candidates."""
        return max(FUSION_DEPTH, self.k) if self.mode is Mode.HYBRID else self.k


def open_one_shard(
    path: Path, folders: Sequence[Path], number: int, previous: ShardedSnapshot | None = None
) -> ShardedSnapshot:
    """Open the snapshot of one shard with the statistics of all.

    Args:
        path: the file that names the shards.
        folders: the folders of all shards, in their order.
        number: of the shard that is searched.
        previous: an earlier snapshot of it; what is still active is reused.

    Raises:
        IndexFolderError, CorruptIndexError: as in `open_sharded_snapshot`.
    """
    whole = open_sharded_snapshot(path, folders, previous, with_vectors=[number])
    assert isinstance(whole.lexical, ShardedLexicalReader)
    catalog = OneShardCatalog(path, [shard.catalog for shard in whole.shards], number)
    lexical = OneShardLexicalReader(whole.lexical, number * SHARD_STEP, (number + 1) * SHARD_STEP)
    return replace(whole, catalog=catalog, lexical=lexical, tombstones=catalog.tombstones())


def search_part(snapshot: Snapshot, query: PartQuery, options: PartOptions) -> list[Candidate]:
    """Return the candidates of one shard for a query.

    Args:
        snapshot: of `open_one_shard`.
        query: the query.
        options: the options of the search.

    Raises:
        FilterError, CorruptIndexError: as in `search`.
    """
    parsed = ParsedQuery(query.text) if options.mode is Mode.DENSE else parse_query(query.text)
    restriction = Restriction(options.where, parsed.conditions)
    depth = options.depth
    dense: Ranking = []
    lexical: Ranking = []
    if query.vector is not None:
        (dense,) = rank_dense(snapshot, query.vector[np.newaxis], depth, restriction, ann_recall=options.ann_recall)
    if options.mode is not Mode.DENSE:
        lexical = rank_lexical(snapshot, parsed.text, depth, restriction)
    if query.vector is None or options.mode is Mode.DENSE:
        return _name(snapshot, [Candidate(doc, "", score, row) for doc, score, row in (dense or lexical)[:depth]])
    without_marks = replace(query, text=parsed.text)
    return _name(snapshot, _score_both(snapshot, without_marks, dense[:depth], lexical[:depth], restriction))


def _score_both(
    snapshot: Snapshot, query: PartQuery, dense: Ranking, lexical: Ranking, restriction: Restriction
) -> list[Candidate]:
    """Return the documents of both rankings, and those with a bonus, with all parts of the hybrid score."""
    assert query.vector is not None
    bonuses = keep_allowed(snapshot, _own_bonuses(snapshot, query), restriction)
    cosines, bm25 = score_by_both(snapshot, query.text, query.vector, dense, lexical, bonuses)
    coverage = cover_documents(snapshot, query.text, bm25)
    by_bm25 = {ranked.doc: ranked.score for ranked in bm25}
    near = {ranked.doc for ranked in dense}
    found = {ranked.doc for ranked in lexical}
    return [
        Candidate(
            doc,
            "",
            cosine,
            row,
            bm25=by_bm25.get(doc),
            coverage=coverage.get(doc, 0.0),
            bonus=bonuses.get(doc, 0.0),
            is_near=doc in near,
            is_lexical=doc in found,
        )
        for doc, cosine, row in cosines
    ]


def _own_bonuses(snapshot: Snapshot, query: PartQuery) -> Mapping[int, float]:
    """Return the bonuses of the shard's documents; they depend on the identifiers that all shards hold."""
    catalog = snapshot.catalog
    lexical = snapshot.lexical
    assert isinstance(catalog, OneShardCatalog)
    assert isinstance(lexical, OneShardLexicalReader)
    bonuses = catalog_bonuses(catalog, lexical.everything, query.text, lambda _: query.known_words)
    return {doc: bonus for doc, bonus in bonuses.items() if doc // SHARD_STEP == catalog.number}


def _name(snapshot: Snapshot, candidates: Sequence[Candidate]) -> list[Candidate]:
    doc_ids = snapshot.catalog.doc_ids([candidate.doc for candidate in candidates])
    return [replace(candidate, doc_id=doc_ids[candidate.doc]) for candidate in candidates]


def merge_parts(parts: Sequence[Sequence[Candidate]], options: PartOptions) -> Ranking:
    """Return the k best documents of all shards: those of one index.

    In mode hybrid, a document is scored if it is among the first of all shards by cosine or by BM25, or has a bonus.
    """
    candidates = [candidate for part in parts for candidate in part]
    if options.mode is Mode.HYBRID:
        candidates = _fuse(candidates, options.depth)
    best = sorted(candidates, key=lambda one: (-one.score, one.doc_id))[: options.k]
    return [Ranked(one.doc, one.score, one.row) for one in best]


def _fuse(candidates: Sequence[Candidate], depth: int) -> list[Candidate]:
    """Return the candidates of the whole with their hybrid scores."""
    near = sorted((one for one in candidates if one.is_near), key=lambda one: (-one.score, one.doc_id))[:depth]
    lexical = sorted((one for one in candidates if one.is_lexical), key=lambda one: (-(one.bm25 or 0), one.doc_id))
    with_bonus = [one for one in candidates if one.bonus]
    chosen = {one.doc: one for one in (*near, *lexical[:depth], *with_bonus)}
    by_bm25 = [Ranked(one.doc, one.bm25, one.row) for one in chosen.values() if one.bm25 is not None]
    fused = fuse(
        [Ranked(one.doc, one.score, one.row) for one in chosen.values()],
        sorted(by_bm25, key=negative_score),
        {one.doc: one.coverage for one in chosen.values()},
        {one.doc: one.bonus for one in chosen.values()},
    )
    return [replace(chosen[doc], score=score) for doc, score, _ in fused]
