"""The cache of teacher embeddings: float16 shards on disk, keyed by the hash of the text, shared by all runs.

    <folder>/manifest.json              teacher, width, and the rows and checksum of each shard; the one commit point
    <folder>/shard-000001.safetensors   embeddings float16 (rows, teacher_dim), hashes uint8 (rows, 16)

A shard is written atomically before the manifest that names it. A run that is killed loses at most the shard that it
was computing.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from hpdsearch.common.files import PARTIAL, atomic_write, file_sha256, parse_json
from hpdsearch.common.vectors import Matrix, require_matrix
from hpdsearch.errors import CacheError, ShapeError

FORMAT = 1
MANIFEST = "manifest.json"
LOCK_NAME = "write.lock"
SHARD = "shard-{:06d}.safetensors"
EMBEDDINGS, HASHES = "embeddings", "hashes"
HASH_BYTES = 16
Hashes = npt.NDArray[np.bytes_]  # dtype S16: sorted and compared as the 16 bytes that they are

logger = logging.getLogger(__name__)


def cache_key(text: str) -> bytes:
    """Return the key of a text: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:HASH_BYTES]


class EmbeddingCache:
    """The embeddings of one teacher. One process writes at a time; a reader sees the shards that it found on opening.

    A text takes 24 bytes of memory: its key and the position of its row. The embeddings are memory-mapped.

    Attributes:
        folder: of the shards and the manifest.
        dim: width of the teacher's embeddings.
    """

    def __init__(self, folder: Path, *, teacher: str, teacher_hash: str, dim: int) -> None:
        """Open the cache and create its folder if missing. A missing or corrupt shard is skipped and logged.

        Raises:
            CacheError: the folder cannot be opened, or it belongs to another teacher or has another format.
        """
        self.folder = folder
        self.dim = dim
        self._head = {"format": FORMAT, "teacher": teacher, "teacher_hash": teacher_hash, "dim": dim}
        self._shards: list[dict[str, Any]] = []  # the active ones, as in the manifest
        self._arrays: list[npt.NDArray[np.float16]] = []  # their embeddings, (rows, dim) each
        self._firsts: list[int] = [0]  # position of each shard's first row, and of the row after the last
        self._hashes: Hashes = np.empty(0, dtype=f"S{HASH_BYTES}")  # keys of all texts, ascending
        self._positions: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)  # of their rows over all shards
        self._known: set[str] = set()  # names of all shards seen here, corrupt ones included
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / LOCK_NAME)
            self._open_shards(self._read_manifest())
        except OSError as error:
            raise CacheError(f"{folder}: cannot be opened ({error}); choose another cache folder") from error

    def __contains__(self, text: str) -> bool:
        return bool(self._lookup([text])[0] >= 0)

    def __len__(self) -> int:
        return len(self._hashes)

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Hold the writer's lock until the block ends. Contexts may be nested.

        The outermost context reads the shards of earlier writers and deletes the files that no manifest names.

        Raises:
            CacheError: another process is writing, or the folder cannot be written.
        """
        outermost = not self._lock.is_locked
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise CacheError(
                f"{self.folder}: another process is writing to this cache; wait until it ends and run the command again"
            ) from None
        except OSError as error:
            raise CacheError(f"{self.folder}: cannot be written ({error})") from error
        try:
            if outermost:
                active = self._read_manifest()
                self._open_shards(shard for shard in active if shard["name"] not in self._known)
                self._collect_garbage({shard["name"] for shard in active})
            yield
        finally:
            self._lock.release()

    def add(self, texts: Sequence[str], embeddings: Matrix) -> None:
        """Write one shard and commit it.

        Args:
            texts: n texts that are not in the cache yet.
            embeddings: (n, dim) float32, finite; stored as float16.

        Raises:
            ShapeError: the embeddings do not have shape (n, dim), or they are not finite.
            CacheError: another process is writing, or the disk is full; the earlier shards stay active.
        """
        require_matrix(embeddings, name="embeddings", dim=self.dim)
        if len(embeddings) != len(texts):
            raise ShapeError(f"embeddings: expected {len(texts)} rows, one per text, got {len(embeddings)}")
        from safetensors.numpy import save

        hashes = np.frombuffer(b"".join(map(cache_key, texts)), dtype=np.uint8).reshape(-1, HASH_BYTES)
        stored = save({EMBEDDINGS: embeddings.astype(np.float16), HASHES: hashes})
        with self.exclusive_lock():
            # No name is used twice: a reader may still map a corrupt shard of that name.
            path = self.folder / SHARD.format(1 + max(map(_shard_number, self._known), default=0))
            shard = {"name": path.name, "rows": len(texts), "sha256": hashlib.sha256(stored).hexdigest()}
            try:
                with atomic_write(path) as file:
                    file.write(stored)
                with atomic_write(self.folder / MANIFEST) as file:
                    file.write((json.dumps(self._head | {"shards": [*self._shards, shard]}, indent=1) + "\n").encode())
            except OSError as error:
                path.unlink(missing_ok=True)
                raise CacheError(
                    f"{path}: {len(stored)} bytes cannot be written ({error.strerror}); free disk space and run the "
                    f"command again: it continues after the {len(self)} texts that are in {self.folder}"
                ) from error
            self._open_shards([shard])

    def embeddings(self, texts: Sequence[str]) -> Matrix:
        """Read the embeddings of texts, float32 (n, dim).

        Raises:
            CacheError: some of the texts are not in the cache.
        """
        positions = self._lookup(texts)
        if (n_missing := int((positions < 0).sum())) > 0:
            raise CacheError(f"{self.folder}: {n_missing} of {len(texts)} texts have no embedding; embed them first")
        found = np.empty((len(texts), self.dim), dtype=np.float32)
        order = np.argsort(positions)
        shards = np.split(order, np.searchsorted(positions[order], self._firsts[1:-1]))
        for of_shard, first, array in zip(shards, self._firsts, self._arrays, strict=False):
            found[of_shard] = array[positions[of_shard] - first]
        return found

    def missing(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield the distinct texts that are not in the cache, in their order."""
        seen = set()
        for position in np.flatnonzero(self._lookup(texts) < 0).tolist():
            text = texts[position]
            key = cache_key(text)
            if key not in seen:
                seen.add(key)
                yield text

    def _lookup(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the positions (n,) of the texts' rows over all shards, -1 for a text that is not in the cache."""
        keys = np.frombuffer(b"".join(map(cache_key, texts)), dtype=self._hashes.dtype)
        if not len(self):
            return np.full(len(keys), -1)
        nearest = np.searchsorted(self._hashes, keys).clip(max=len(self) - 1)
        return np.where(self._hashes[nearest] == keys, self._positions[nearest], -1)

    def _read_manifest(self) -> list[dict[str, Any]]:
        path = self.folder / MANIFEST
        if not path.is_file():
            return []
        try:
            fields = parse_json(path.read_bytes())
            head = {key: fields[key] for key in self._head}
            shards = [{key: shard[key] for key in ("name", "rows", "sha256")} for shard in fields["shards"]]
            for shard in shards:
                _shard_number(shard["name"])
        except (ValueError, KeyError, TypeError) as error:
            raise CacheError(f"{path}: expected the manifest of a cache, got {error!r}; remove {self.folder}") from None
        if head != self._head:
            raise CacheError(
                f"{path}: expected the embeddings of {self._head}, got {head}; choose another cache folder"
            )
        return shards

    def _open_shards(self, shards: Iterable[dict[str, Any]]) -> None:
        """Map the shards whose checksums match. The texts of any other shard will be embedded again."""
        hashes = [self._hashes]
        n_known = self._firsts[-1]
        for shard in shards:
            self._known.add(shard["name"])
            path = self.folder / shard["name"]
            if not path.is_file() or file_sha256(path) != shard["sha256"]:
                logger.warning("%s: missing or corrupt; its %s texts will be embedded again", path, shard["rows"])
                continue
            of_shard, embeddings = _map_shard(path)
            if embeddings.shape != (shard["rows"], self.dim):
                raise CacheError(f"{path}: expected shape {(shard['rows'], self.dim)}, got {embeddings.shape}")
            self._shards.append(shard)
            self._arrays.append(embeddings)
            self._firsts.append(self._firsts[-1] + len(embeddings))
            hashes.append(of_shard)
        positions = np.concatenate([self._positions, np.arange(n_known, self._firsts[-1])])
        self._hashes, kept = np.unique(np.concatenate(hashes), return_index=True)
        self._positions = positions[kept]

    def _collect_garbage(self, active: set[str]) -> None:
        """Delete unfinished files and the shards that the manifest does not name."""
        for path in [*self.folder.glob("*" + PARTIAL), *self.folder.glob("shard-*.safetensors")]:
            if path.name not in active:
                path.unlink(missing_ok=True)


def _shard_number(name: str) -> int:
    """Return the number of a shard. Any other name raises ValueError."""
    number = int(name.removeprefix("shard-").removesuffix(".safetensors"))
    if name != SHARD.format(number):
        raise ValueError(f"shard name {name!r}")
    return number


def _map_shard(path: Path) -> tuple[Hashes, npt.NDArray[np.float16]]:
    """Read the keys (rows,) of a shard, and memory-map its embeddings (rows, dim)."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = parse_json(file.read(length))
    parts = []
    for name, dtype in ((HASHES, np.uint8), (EMBEDDINGS, np.float16)):
        first = 8 + length + header[name]["data_offsets"][0]
        shape = tuple(header[name]["shape"])
        parts.append(np.memmap(path, dtype=dtype, mode="r", offset=first, shape=shape))
    return np.frombuffer(parts[0].tobytes(), dtype=f"S{HASH_BYTES}"), parts[1]
