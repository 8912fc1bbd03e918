"""Private formats of Tantivy that hpdsearch relies on, all in one place.

Tantivy guarantees none of them: its BM25 constants, the rounding of lengths, the text of `explain`, the file names, the
footers and meta.json. They are needed for scoring buffered passages as Tantivy would (docs/decisions/0008) and for
verifying its files. tests/lexical/test_tantivy_formats.py compares each of them with the installed version. Before
another version is allowed here and in setup.cfg, that test must pass with it.
"""

import json
import math
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpdsearch.common.files import BLOCK, parse_json

SUPPORTED_VERSIONS = ">=0.26,<0.28"  # of the package tantivy, as in setup.cfg

# BM25 (query/bm25.rs). Source: Robertson and Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond".
K1 = 1.2
B = 0.75
# Tantivy stores a length in one byte (fieldnorm/code.rs): 0..40 exactly, then eight lengths in steps of 2, 4, 8, ...
LENGTHS = np.cumsum([0, *[1] * 40, *chain.from_iterable([2**step] * 8 for step in range(1, 27))], dtype=np.int64)

SEGMENT_ENDINGS = ("term", "idx", "pos", "fieldnorm", "fast", "store")  # the files of one segment
FOOTER_MAGIC = 1337  # directory/footer.rs
META = "meta.json"  # names the files of the last commit
MANAGED = ".managed.json"  # names the files of the folder, for the writer
READ_LOCK = ".tantivy-meta.lock"  # a reader holds it while it opens files, and a writer while it removes some
TEMPORARY_PREFIX = ".tmp"  # of files that are being written


def idf(n_rows: int, n_matching: int) -> float:
    """Return BM25's inverse document frequency of a stem that n_matching of n_rows rows contain."""
    return math.log(1 + (n_rows - n_matching + 0.5) / (n_matching + 0.5))


def round_lengths(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the lengths (n,), in stems, rounded down to those that Tantivy can store."""
    return LENGTHS[np.searchsorted(LENGTHS, lengths, side="right") - 1]


def collection_statistics(explanation: str) -> tuple[int, float]:
    """Return the number of rows (N) and the mean length (avgdl) from Tantivy's explanation of one term's score.

    Raises:
        RuntimeError: the explanation has another form, because the installed Tantivy is not a supported version.
    """
    try:
        values = {detail["description"].split(",")[0]: detail["value"] for detail in _leaves(parse_json(explanation))}
        return int(values["N"]), float(values["avgdl"])
    except (ValueError, KeyError, TypeError) as error:
        installed = version("tantivy")
        raise RuntimeError(
            f"tantivy {installed}: expected N and avgdl in the explanation of a score, got {explanation!r:.200}; "
            f'install a supported version: pip install "tantivy{SUPPORTED_VERSIONS}"'
        ) from error


def _leaves(explanation: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if "details" not in explanation:
        return [explanation]
    return chain.from_iterable(_leaves(detail) for detail in explanation["details"])


def active_file_names(meta: bytes) -> list[str]:
    """Return the names of the files of a commit, sorted, from its meta.json.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: this is not a meta.json as Tantivy writes it.
    """
    deletes = {segment["segment_id"].replace("-", ""): segment["deletes"] for segment in parse_json(meta)["segments"]}
    names = [f"{segment}.{found['opstamp']}.del" for segment, found in deletes.items() if found]
    return sorted([*names, *(f"{segment}.{ending}" for segment in deletes for ending in SEGMENT_ENDINGS)])


def join_metas(metas: Sequence[bytes]) -> bytes:
    """Return the meta.json of an index that has the files of all these commits, whose schemas are equal.

    Raises:
        ValueError: they are not.
    """
    parsed = [parse_json(meta) for meta in metas]
    if any(one["schema"] != parsed[0]["schema"] for one in parsed):
        raise ValueError("the lexical indexes have different schemas")
    segments = [segment for one in parsed for segment in one["segments"]]
    joined = {**parsed[0], "segments": segments, "opstamp": max(one["opstamp"] for one in parsed)}
    return json.dumps(joined).encode()


def count_rows(meta: Mapping[str, Any]) -> int:
    """Return the number of rows of a commit, without deleted ones, from its parsed meta.json."""
    n_deleted = [(segment["deletes"] or {"num_deleted_docs": 0})["num_deleted_docs"] for segment in meta["segments"]]
    return int(sum(segment["max_doc"] for segment in meta["segments"]) - sum(n_deleted))


def is_own_file(path: Path) -> bool:
    """Tell whether Tantivy writes files with such a name, apart from meta.json and its locks."""
    return path.name.startswith(TEMPORARY_PREFIX) or path.suffix[1:] in (*SEGMENT_ENDINGS, "del")


def is_intact(path: Path) -> bool:
    """Compare a file with the CRC32 in its footer.

    The file is the body, a JSON footer {"crc": ...}, the length of the footer and a magic number (4 bytes each).
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            length, magic = struct.unpack("<II", file.read(8)) if size >= 8 else (0, 0)
            if magic != FOOTER_MAGIC or length > size - 8:
                return False
            file.seek(size - 8 - length)
            footer = parse_json(file.read(length))
            file.seek(0)
            crc = 0
            left = size - 8 - length
            while block := file.read(min(left, BLOCK)):
                crc = zlib.crc32(block, crc)
                left -= len(block)
            return bool(crc == footer["crc"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
