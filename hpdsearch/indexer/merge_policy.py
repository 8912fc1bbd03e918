"""The merge policy: which rows a transaction buffers, which segments it merges, which it rewrites.

The index is a log-structured merge tree. New rows are buffered in the catalog (the memtable), become a small segment,
and a segment is merged with the newer ones as soon as these have its size: n additions of one row leave about
log2(n / small_segment_rows) segments and rewrite each vector as often.

Source: O'Neil, Cheng, Gawlick and O'Neil 1996, "The log-structured merge-tree (LSM-tree)", Acta Informatica 33(4).
Tantivy's LogMergePolicy groups segments by the logarithm of their size in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class MergePolicy:
    """Decides which rows are buffered and which segments are merged.

    Attributes:
        max_buffered_rows: rows that stay in the catalog. Tantivy's commit of one document calls fsync 14 times, 75 ms
            on a common disk.
        small_segment_rows: live rows of a segment that is merged with the next new rows. Rewriting so few rows is
            cheaper than the fsyncs, and fewer segments search faster.
        max_tombstoned_rows: tombstoned rows that a segment may hold even if they are its majority.
        max_rewritten_rows: live rows that a small transaction rewrites in a merge.
        rewrite_factor: a large transaction rewrites this many times the rows that it adds.
        max_unpurged_rows: deleted rows that the lexical folder may hold; no search returns them.
        min_draft_documents: fewer new documents are encoded directly although a draft is wanted, in a few seconds.
    """

    max_buffered_rows: int = 64
    small_segment_rows: int = 1024
    max_tombstoned_rows: int = 256
    max_rewritten_rows: int = 131_072
    rewrite_factor: int = 8
    max_unpurged_rows: int = 1000
    min_draft_documents: int = 2000

    def fits_in_buffer(self, n_buffered: int, n_committed: int) -> bool:
        """Tell whether n_buffered rows may stay in the catalog.

        BM25 weighs buffered rows by the statistics of the n_committed rows outside of the buffer, so these must not be
        fewer.
        """
        return n_buffered <= min(self.max_buffered_rows, n_committed)

    def is_small(self, n_live: int) -> bool:
        """Tell whether a segment of n_live live rows is merged with the next new rows."""
        return n_live <= self.small_segment_rows

    def first_segment_to_merge(self, sizes: Sequence[int], n_new: int) -> int:
        """Return the position of the first segment that is merged with n_new newer rows.

        Args:
            sizes: live rows of each segment, oldest first.
            n_new: rows of the new segment, which comes last.

        Returns:
            0 <= position <= len(sizes); all segments from there on are merged, none if it is len(sizes).
        """
        limit = max(self.max_rewritten_rows, self.rewrite_factor * n_new)
        first = len(sizes)
        total = n_new
        while first:
            size = sizes[first - 1]
            if size > max(self.small_segment_rows, total) or total + size > limit:
                break
            first -= 1
            total += size
        return first

    def needs_rewrite(self, n_rows: int, n_live: int) -> bool:
        """Tell whether a segment of n_rows rows, n_live of them live, is rewritten without its tombstoned rows."""
        return n_live <= self.max_rewritten_rows and n_rows - n_live > max(self.max_tombstoned_rows, n_live)


DEFAULT_MERGE_POLICY = MergePolicy()
