"""The lexical indexes of several shards, read as one: every score is that of one index of all rows.

BM25 weighs a word by the number of rows that hold it and a row by the mean length of all rows. Tantivy counts both over
the segments of an index, and its segments know nothing of one another, so the segments of all shards make one index.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import tantivy

from hpdsearch.common.vectors import Mask, Rows, Scores
from hpdsearch.errors import CorruptIndexError
from hpdsearch.lexical.buffer import BufferedRows
from hpdsearch.lexical.integrity import reading
from hpdsearch.lexical.opening import open_together
from hpdsearch.lexical.reader import LexicalReader, restrict


class ShardedLexicalReader(LexicalReader):
    """Answers queries on the states that the readers of all shards have opened; their rows differ.

    Attributes:
        shards: the readers of the shards, in their order.
    """

    def __init__(self, shards: Sequence[LexicalReader]) -> None:
        """Open the files of all shards together.

        Args:
            shards: readers whose texts are analyzed alike, at least one.

        Raises:
            CorruptIndexError: a writer has removed a file, or the shards analyze texts in different ways.
        """
        first = shards[0]
        if any(shard.analysis != first.analysis for shard in shards):
            raise CorruptIndexError(f"{first._folder}: the shards analyze texts in different ways; index again")
        self.shards = shards
        self.analysis = first.analysis
        self._folder = first._folder  # named in errors
        self._meta = first._meta
        self._process = first._process
        self._intact = frozenset().union(*(shard._intact for shard in shards))
        self._buffer = BufferedRows.join(shard._buffer for shard in shards)
        with reading(self._folder):
            self._searcher, self._schema = open_together([(shard._folder, shard._meta) for shard in shards])

    @property
    def commit_fingerprint(self) -> tuple[int, str]:
        """Fingerprint of all commits that were opened."""
        prints = [shard.commit_fingerprint for shard in self.shards]
        return sum(number for number, _ in prints), " ".join(checksum for _, checksum in prints)


class OneShardLexicalReader(ShardedLexicalReader):
    """Finds the rows of one shard, with the statistics of all: number and mean length of rows, rows with a word.

    Tantivy cannot be given statistics, so a query runs on the joined index and is restricted to the rows of the shard.

    Attributes:
        everything: finds the rows of all shards.
    """

    def __init__(self, everything: ShardedLexicalReader, first_row: int, end_row: int) -> None:
        """Take the opened files of all shards; first_row <= row < end_row are the rows of the shard."""
        self.__dict__.update(everything.__dict__)
        self.everything = everything
        self._first_row = first_row
        self._end_row = end_row
        buffered = np.array(self._buffer.rows, np.int64)
        self._n_foreign = len(buffered) - int(np.count_nonzero(self._is_own(buffered)))

    def search(self, text: str, n: int, *, only: Sequence[int] | None = None) -> tuple[Rows, Scores]:
        """Find rows of the shard; see `LexicalReader.search`."""
        if only is not None:
            return super().search(text, n, only=only)
        rows, scores = super().search(text, n + self._n_foreign)
        is_own = self._is_own(rows)
        return rows[is_own][:n], scores[is_own][:n]

    def _search_committed(self, stems: Counter[str], n: int, only: Sequence[int] | None) -> tuple[Rows, Scores]:
        if only is not None:
            return super()._search_committed(stems, n, only)
        return self._collect(restrict(self._any_stem_of(stems), self._own_rows()), min(n, self._searcher.num_docs))

    def _all_matching(self, query: tantivy.Query, buffered: Collection[int]) -> Rows:
        rows = super()._all_matching(restrict(query, self._own_rows()), buffered)
        return rows[self._is_own(rows)]

    def _own_rows(self) -> tantivy.Query:
        kind = tantivy.FieldType.Unsigned
        return tantivy.Query.range_query(self._schema, "row", kind, self._first_row, self._end_row, True, False)

    def _is_own(self, rows: Rows) -> Mask:
        own: Mask = (rows >= self._first_row) & (rows < self._end_row)
        return own
