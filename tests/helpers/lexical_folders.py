"""Small lexical folders."""

import numpy as np

from hpdsearch.lexical import (
    LexicalWriter,
)

WORDS = ["kon", "tar", "vilm", "pod", "graf", "zuk", "malp", "dorf", "rix", "plun"]  # no stop words, each its own stem


def write_folder(folder, passages, *, commits=1):
    """Write (title, passage) pairs as rows 0, 1, ...; return the folder."""
    writer = LexicalWriter(folder)
    for part in np.array_split(np.arange(len(passages)), commits):
        for row in part.tolist():
            writer.add(row, *passages[row])
        writer.commit()
    writer.close()
    return folder
