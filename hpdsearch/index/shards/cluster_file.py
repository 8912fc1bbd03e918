"""cluster.json: names the shards of an index and tells what they share. It is written when all are committed."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpdsearch.catalog import CLUSTER_FILE
from hpdsearch.common.files import atomic_write, parse_json
from hpdsearch.errors import CorruptIndexError, IndexFolderError

FORMAT = 1
MAX_SHARDS = 256  # a build holds one file of each open
SHARD_NAME = re.compile(r"shard-\d{5}(\.\d+)?")
_ADVICE = "restore it, or index again with --overwrite"


@dataclass(frozen=True)
class ClusterFile:
    """The shards of an index.

    Attributes:
        number: counts the builds into this folder, from 1.
        shards: names of the folders, in the order of the shards.
        space: id of the space of the vectors.
        dim: dimensions of a vector.
        languages: codes of the languages of the documents.
        spec: the index that was asked for, by the keys of `IndexSpec.as_dict`.
    """

    number: int
    shards: tuple[str, ...]
    space: str
    dim: int
    languages: tuple[str, ...]
    spec: dict[str, Any]

    def folders(self, folder: Path) -> list[Path]:
        """Return the folders of the shards, in their order."""
        return [folder / name for name in self.shards]

    def write(self, folder: Path) -> None:
        """Write the file atomically: readers find these shards from now on.

        Raises:
            OSError: it cannot be written.
        """
        values = {"format": FORMAT, **asdict(self)}
        with atomic_write(folder / CLUSTER_FILE) as file:
            file.write(json.dumps({**values, "sha256": _checksum(values)}, indent=1).encode() + b"\n")


def is_sharded(folder: Path) -> bool:
    """Return whether a folder holds an index in shards, and this user may see it."""
    try:
        return (folder / CLUSTER_FILE).is_file()
    except PermissionError:
        return False


def read_cluster(folder: Path) -> ClusterFile:
    """Read cluster.json and check it.

    Raises:
        IndexFolderError: it has another format, or cannot be read.
        CorruptIndexError: it is altered, or the folder of a shard is missing.
    """
    path = folder / CLUSTER_FILE
    try:
        values = parse_json(path.read_bytes())
        found = values.pop("format")
        checksum = values.pop("sha256")
    except OSError as error:
        raise IndexFolderError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CorruptIndexError(f"{path}: expected the names of shards, got {error!r}; {_ADVICE}") from error
    if found != FORMAT:
        raise IndexFolderError(
            f"{path}: expected format {FORMAT}, got {found!r}; a newer hpdsearch wrote it: upgrade, or index again"
        )
    if checksum != _checksum({"format": found, **values}):
        raise CorruptIndexError(f"{path}: does not match its checksum; {_ADVICE}")
    values |= {name: tuple(values[name]) for name in ("shards", "languages")}
    cluster = ClusterFile(**values)
    for shard in cluster.folders(folder):
        if not shard.is_dir():
            raise CorruptIndexError(f"{shard}: the folder of this shard is missing; restore it, or index again")
    return cluster


def choose_shard(doc_id: str, n_shards: int) -> int:
    """Return the shard of a document, 0 <= shard < n_shards: a hash of its doc_id, which never changes."""
    digest = hashlib.blake2b(doc_id.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % n_shards


def name_shards(n_shards: int, number: int) -> tuple[str, ...]:
    """Return the names of the folders of a build; those of two builds into one folder differ."""
    ending = "" if number == 1 else f".{number}"
    return tuple(f"shard-{shard:05d}{ending}" for shard in range(n_shards))


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
