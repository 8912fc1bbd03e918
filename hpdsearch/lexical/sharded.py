"""The lexical indexes of several shards, read as one: every score is that of one index of all rows.

BM25 weighs a word by the number of rows that hold it and a row by the mean length of all rows. Tantivy counts both over
the segments of an index, and its segments know nothing of one another, so the segments of all shards make one index.
"""

from collections.abc import Sequence

from hpdsearch.errors import CorruptIndexError
from hpdsearch.lexical.buffer import BufferedRows
from hpdsearch.lexical.integrity import reading
from hpdsearch.lexical.opening import open_together
from hpdsearch.lexical.reader import LexicalReader


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
