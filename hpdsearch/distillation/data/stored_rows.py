"""Vectors of millions of texts in a file: computed block by block, read through a memory map.

    NAME.f16      float16 (rows, dim), row-major
    NAME.sha256   the checksum of each block of rows that is complete, one a line

A run that is killed loses the block that it was computing. A later call keeps the blocks whose checksums match.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from hpdsearch.common.progress import SILENT, Progress, skip
from hpdsearch.common.vectors import Matrix

BLOCK = 4096  # rows computed at once
DIGEST_LINE = 65  # bytes: 64 hexadecimal digits and a line end


def store_rows(
    path: Path,
    shape: tuple[int, int],
    compute: Callable[[slice], Matrix],
    *,
    name: str = "targets",
    progress: Progress = SILENT,
) -> npt.NDArray[np.float16]:
    """Return rows from a file; compute and write those that it lacks.

    Args:
        path: of the file, with the ending .f16; its folder is created.
        shape: (n, dim), n >= 1.
        compute: function from a slice of rows to their values (rows, dim).
        name: of the progress bar.
        progress: counts the rows.

    Returns:
        The rows, float16 (n, dim), memory-mapped.
    """
    n_rows, dim = shape
    path.parent.mkdir(parents=True, exist_ok=True)
    sums = path.with_suffix(".sha256")
    bar = progress.phase(name, total=n_rows, unit="text")
    try:
        # Appending to a file that is not cut to whole blocks would shift the rows.
        with (
            path.open("r+b" if path.exists() else "w+b") as file,
            sums.open("r+b" if sums.exists() else "w+b") as lines,
        ):
            n_blocks = _count_intact(file, lines.read(), n_rows, dim)
            file.truncate(min(n_blocks * BLOCK, n_rows) * dim * 2)
            file.seek(0, os.SEEK_END)
            lines.truncate(n_blocks * DIGEST_LINE)
            lines.seek(0, os.SEEK_END)
            skip(bar, min(n_blocks * BLOCK, n_rows))
            for first in range(n_blocks * BLOCK, n_rows, BLOCK):
                rows = slice(first, min(first + BLOCK, n_rows))
                content = np.ascontiguousarray(compute(rows), dtype=np.float16).tobytes()
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                lines.write(f"{hashlib.sha256(content).hexdigest()}\n".encode())
                lines.flush()
                bar.update(rows.stop - first)
    finally:
        bar.close()
    return np.memmap(path, dtype=np.float16, mode="r", shape=shape)


def _open(path: Path) -> BinaryIO:
    return path.open("r+b" if path.exists() else "w+b")


def _count_intact(file: BinaryIO, lines: bytes, n_rows: int, dim: int) -> int:
    """Return the number of blocks at the beginning of a file whose checksums match."""
    n_blocks = 0
    for line in lines.splitlines(keepends=True)[: -(-n_rows // BLOCK)]:
        size = min(BLOCK, n_rows - n_blocks * BLOCK) * dim * 2
        content = file.read(size)
        if len(content) != size or f"{hashlib.sha256(content).hexdigest()}\n".encode() != line:
            break
        n_blocks += 1
    return n_blocks
