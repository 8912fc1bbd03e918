"""Compaction: one segment and a new lexical index, without deleted documents."""

from hpdsearch.common.progress import Progress
from hpdsearch.corpus.headings import PassageTitles
from hpdsearch.dense import IndexSpec
from hpdsearch.indexer.merging import compact_segments
from hpdsearch.indexer.transaction import Transaction


def compact(txn: Transaction, spec: IndexSpec, progress: Progress) -> None:
    """Merge all segments into one, and write a new lexical index of the live documents."""
    compact_segments(txn, spec, progress)
    txn.begin_lexical()
    bar = progress.phase("lexical index", total=txn.catalog.n_documents(), unit="doc")
    for stored in txn.catalog.all_documents():
        titles = PassageTitles(stored.document)
        for row, start, end in stored.passages:
            txn.lexical.add([(row, titles.before(start), stored.document.text[start:end])])
        bar.update(1)
    bar.close()
