"""Compaction: one segment and a new lexical index, without deleted documents."""

from hpdsearch.common.progress import Progress
from hpdsearch.corpus.passages import title_before_text
from hpdsearch.dense import IndexSpec
from hpdsearch.indexer.merging import compact_segments
from hpdsearch.indexer.transaction import Transaction


def compact(txn: Transaction, spec: IndexSpec, progress: Progress) -> None:
    """Merge all segments into one, and write a new lexical index of the live documents."""
    compact_segments(txn, spec, progress)
    txn.begin_lexical()
    bar = progress.phase("lexical index", total=txn.catalog.n_documents(), unit="doc")
    for stored in txn.catalog.all_documents():
        title = title_before_text(stored.document)
        for row, start, end in stored.passages:
            txn.lexical.add([(row, title, stored.document.text[start:end])])
        bar.update(1)
    bar.close()
