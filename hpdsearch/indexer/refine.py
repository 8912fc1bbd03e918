"""Refine a draft: encode its passages with the index's encoder, block by block, and publish the vectors in few steps.

The write lock is held only while a step is published, so others add, delete and search meanwhile. A refined index holds
the bytes that encoding directly would have made, because blocks are encoded as they were drafted.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from hpdsearch.catalog import Catalog
from hpdsearch.common.progress import Bar, Progress
from hpdsearch.common.vectors import Rows
from hpdsearch.corpus.passages import split_documents
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import Encoder
from hpdsearch.errors import IndexFolderError
from hpdsearch.indexer.draft import DRAFT, Block, Draft
from hpdsearch.indexer.merging import rewrite
from hpdsearch.indexer.transaction import Transaction, refined_path
from hpdsearch.indexer.vector_log import VectorLog
from hpdsearch.search.segment_files import row_map

logger = logging.getLogger(__name__)

# Shares of the draft's rows that become visible before the end. Each step builds codes that the next one
# replaces: a second for 20,000 rows. So a step is left out if encoding took less than MIN_STEP_SECONDS since the last.
STEPS = (0.25, 0.5)
MIN_STEP_SECONDS = 60.0


def refine(
    folder: Path,
    begin: Callable[[], Transaction],
    encoder: Encoder,
    progress: Progress,
) -> int:
    """Replace the vectors of the draft by those of the encoder; return the number of passages that were encoded now.

    Args:
        folder: the index folder.
        begin: makes a transaction on it.
        encoder: the encoder of the index's documents.
        progress: shows a bar.

    Raises:
        IndexFolderError: the index was replaced meanwhile, or the folder cannot be written.
        LockedError: another writer did not end in time.
    """
    draft = _read_draft(folder)
    if draft is None:
        return 0
    n_rows = sum(end - start for start, end in draft.blocks)
    n_encoded = 0
    n_done = 0
    n_published = 0
    published_at = time.monotonic()
    bar = progress.phase("refining", total=n_rows, unit="passage")
    with VectorLog(refined_path(folder, draft.number), encoder.dim) as refined, closing(bar):
        for block in draft.blocks:
            n_encoded += _encode_block(folder, block, encoder, refined, bar)
            n_done += block[1] - block[0]
            is_step = any(n_published < n_rows * step <= n_done for step in STEPS)
            if n_done == n_rows or (is_step and time.monotonic() - published_at >= MIN_STEP_SECONDS):
                _publish(begin, draft, n_done, refined, progress)
                n_published = n_done
                published_at = time.monotonic()
    return n_encoded + refine(folder, begin, encoder, progress)  # what `add` has drafted meanwhile


def _read_draft(folder: Path) -> Draft | None:
    with closing(Catalog.open(folder)) as catalog:
        return Draft.read(catalog.meta())


def _encode_block(folder: Path, block: Block, encoder: Encoder, refined: VectorLog, bar: Bar) -> int:
    """Encode the live passages of a block unless the file has all of them; return how many were encoded."""
    with closing(Catalog.open(folder)) as catalog:
        rows, texts = _read_texts(catalog, block, encoder)
    if refined.contains(rows).all():
        bar.update(block[1] - block[0])
        return 0
    refined.append(rows, encoder.encode(texts))
    bar.update(block[1] - block[0])
    return len(rows)


def _read_texts(catalog: Catalog, block: Block, encoder: Encoder) -> tuple[Rows, list[str]]:
    """Return the live rows of a block and the text that is encoded for each."""
    docs = list(dict.fromkeys(doc for _, doc, _, _ in catalog.passages_between(*block)))
    stored = catalog.documents(docs)
    documents = [stored[doc].document for doc in docs]
    splits = split_documents(documents, encoder.token_spans, max_tokens=encoder.max_tokens)
    rows = [row for doc in docs for row, _, _ in stored[doc].passages]
    texts = [text for split in splits for text in split.texts]
    if len(rows) != len(texts):
        raise IndexFolderError(
            f"{catalog.path}: rows {block[0]} to {block[1]} were split into {len(rows)} passages, and encoder "
            f"{encoder.name} splits them into {len(texts)}; index again with --overwrite"
        )
    return np.array(rows, np.int64), texts


def _publish(
    begin: Callable[[], Transaction], draft: Draft, n_done: int, refined: VectorLog, progress: Progress
) -> None:
    """Commit the refined vectors of the first n_done rows of the draft."""
    with begin() as txn:
        current = Draft.read(txn.meta)
        if current is None or current.number != draft.number:
            raise IndexFolderError(
                f"{txn.folder}: the index was replaced while its draft was refined; its vectors were not changed"
            )
        done = set(current.blocks).intersection(_first_blocks(draft, n_done))
        spec = IndexSpec.from_dict(txn.meta["spec"])
        _rewrite_segments(txn, done, refined, spec, progress)
        left = tuple(block for block in current.blocks if block not in done)
        txn.set_meta(**{DRAFT: Draft(current.number, current.encoder, left).as_dict()})
        txn.commit()
    logger.info("%s: refined %d rows", refined.path.parent, n_done)


def _first_blocks(draft: Draft, n_rows: int) -> Iterator[Block]:
    for block in draft.blocks:
        n_rows -= block[1] - block[0]
        if n_rows < 0:
            return
        yield block


def _rewrite_segments(
    txn: Transaction, done: set[Block], refined: VectorLog, spec: IndexSpec, progress: Progress
) -> None:
    """Write the segments that hold rows of these blocks again, with the refined vectors."""
    for entry in txn.catalog.segments():
        if _overlap(row_map(entry).all_rows(), done):
            rewrite(txn, [entry], spec, progress, replace=refined.replace)
    if _overlap(txn.catalog.buffered_vectors()[0], done):
        rewrite(txn, [], spec, progress, with_buffered=True, replace=refined.replace)


def _overlap(rows: Rows, blocks: set[Block]) -> bool:
    """Tell whether one of the rows (n,), ascending, lies in one of the blocks."""
    return any(np.searchsorted(rows, start) < np.searchsorted(rows, end) for start, end in blocks)
