"""Teacher embeddings on disk: float16 shards, each text found by its hash, so that any later run uses them again.

    <folder>/manifest.json              teacher, width, and each shard's rows and sum; the one commit point
    <folder>/shard-000001.safetensors   embeddings float16 (rows, teacher_dim), hashes uint8 (rows, 16)

A shard is written beside its place and moved; the manifest that names it comes last. What is killed loses the shard
in work.
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

from hpdsearch.common.files import PARTIAL, atomic_write, file_sha256
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
    """Return the 16 bytes by which the cache knows a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:HASH_BYTES]


class EmbeddingCache:
    """The embeddings of one teacher; one process writes at a time, any may read what was there when it opened.

    Memory holds 24 bytes a text: its hash and its place. The embeddings stay on disk, mapped.

    Attributes:
        folder: where the shards lie.
        dim: width of the teacher's embeddings.
    """

    def __init__(self, folder: Path, *, teacher: str, teacher_hash: str, dim: int) -> None:
        """Open the cache, making the folder if there is none; a missing or altered shard is left out and logged.

        Raises:
            CacheError: the folder holds the embeddings of another teacher, or another format.
        """
        self.folder = folder
        self.dim = dim
        self._head = {"format": FORMAT, "teacher": teacher, "teacher_hash": teacher_hash, "dim": dim}
        self._shards: list[dict[str, Any]] = []  # those in force, as the manifest names them
        self._arrays: list[npt.NDArray[np.float16]] = []  # their embeddings, (rows, dim) each
        self._firsts: list[int] = [0]  # place of each shard's first row, and of the row after the last
        self._hashes: Hashes = np.empty(0, dtype=f"S{HASH_BYTES}")  # of every text, ascending
        self._places: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)  # of these texts' rows over all shards
        self._known: set[str] = set()  # names of all shards ever seen here, the damaged ones too
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / LOCK_NAME)
            self._open_shards(self._read_manifest())
        except OSError as error:
            raise CacheError(f"{folder}: cannot be opened ({error}); choose another cache folder") from error

    def __contains__(self, text: str) -> bool:
        return bool(self._find([text])[0] >= 0)

    def __len__(self) -> int:
        return len(self._hashes)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one writer until the block ends, beginning with what earlier writers left; may be nested.

        Raises:
            CacheError: another process is writing, or the folder cannot be written to.
        """
        outermost = not self._lock.is_locked
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise CacheError(
                f"{self.folder}: another process is writing to this cache; wait for its end and run the command again"
            ) from None
        except OSError as error:
            raise CacheError(f"{self.folder}: cannot be written to ({error})") from error
        try:
            if outermost:
                in_force = self._read_manifest()
                self._open_shards(shard for shard in in_force if shard["name"] not in self._known)
                self._sweep({shard["name"] for shard in in_force})
            yield
        finally:
            self._lock.release()

    def add(self, texts: Sequence[str], embeddings: Matrix) -> None:
        """Write one shard and bring it into force.

        Args:
            texts: n texts, none of them in the cache yet.
            embeddings: (n, dim), finite.

        Raises:
            ShapeError: the embeddings are not (n, dim), or not finite.
            CacheError: another process is writing, or the disk is full; the shards before stay in force.
        """
        require_matrix(embeddings, name="embeddings", dim=self.dim)
        if len(embeddings) != len(texts):
            raise ShapeError(f"embeddings: expected {len(texts)} rows, one a text, got {len(embeddings)}")
        from safetensors.numpy import save

        hashes = np.frombuffer(b"".join(map(cache_key, texts)), dtype=np.uint8).reshape(-1, HASH_BYTES)
        stored = save({EMBEDDINGS: embeddings.astype(np.float16), HASHES: hashes})
        with self.writing():
            # A name is never given twice: whoever still maps a damaged shard must not find other rows under its name.
            path = self.folder / SHARD.format(1 + max(map(_number, self._known), default=0))
            shard = {"name": path.name, "rows": len(texts), "sha256": hashlib.sha256(stored).hexdigest()}
            try:
                with atomic_write(path) as file:
                    file.write(stored)
                with atomic_write(self.folder / MANIFEST) as file:
                    file.write((json.dumps(self._head | {"shards": [*self._shards, shard]}, indent=1) + "\n").encode())
            except OSError as error:
                path.unlink(missing_ok=True)
                raise CacheError(
                    f"{path}: {len(stored)} bytes cannot be written ({error.strerror}); make room and run the command "
                    f"again: it goes on after the {len(self)} texts that are kept in {self.folder}"
                ) from error
            self._open_shards([shard])

    def embeddings(self, texts: Sequence[str]) -> Matrix:
        """Return the embeddings float32 (n, dim) of texts that are all in the cache.

        Raises:
            CacheError: some are not.
        """
        places = self._find(texts)
        if (absent := int((places < 0).sum())) > 0:
            raise CacheError(f"{self.folder}: {absent} of {len(texts)} texts have no embedding yet; embed them first")
        found = np.empty((len(texts), self.dim), dtype=np.float32)
        order = np.argsort(places)
        shards = np.split(order, np.searchsorted(places[order], self._firsts[1:-1]))
        for positions, first, array in zip(shards, self._firsts, self._arrays, strict=False):
            found[positions] = array[places[positions] - first]
        return found

    def missing(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield the texts that are not in the cache, each once, in their order."""
        seen = set()
        for position in np.flatnonzero(self._find(texts) < 0).tolist():
            text = texts[position]
            key = cache_key(text)
            if key not in seen:
                seen.add(key)
                yield text

    def _find(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the places (n,) of the texts' rows over all shards, -1 for a text that is not there."""
        keys = np.frombuffer(b"".join(map(cache_key, texts)), dtype=self._hashes.dtype)
        if not len(self):
            return np.full(len(keys), -1)
        nearest = np.searchsorted(self._hashes, keys).clip(max=len(self) - 1)
        return np.where(self._hashes[nearest] == keys, self._places[nearest], -1)

    def _read_manifest(self) -> list[dict[str, Any]]:
        path = self.folder / MANIFEST
        if not path.is_file():
            return []
        try:
            fields = json.loads(path.read_bytes())
            head = {key: fields[key] for key in self._head}
            shards = [{key: shard[key] for key in ("name", "rows", "sha256")} for shard in fields["shards"]]
            for shard in shards:
                _number(shard["name"])
        except (ValueError, KeyError, TypeError) as error:
            raise CacheError(f"{path}: expected the manifest of a cache, got {error!r}; remove {self.folder}") from None
        if head != self._head:
            raise CacheError(
                f"{path}: expected the embeddings of {self._head}, got {head}; choose another cache folder"
            )
        return shards

    def _open_shards(self, shards: Iterable[dict[str, Any]]) -> None:
        """Map the shards that are what was written; leave out any other, so that its texts are embedded again."""
        hashes, n_placed = [self._hashes], self._firsts[-1]
        for shard in shards:
            self._known.add(shard["name"])
            path = self.folder / shard["name"]
            if not path.is_file() or file_sha256(path) != shard["sha256"]:
                logger.warning("%s: missing or altered; its %s texts will be embedded again", path, shard["rows"])
                continue
            of_shard, embeddings = _mapped(path)
            if embeddings.shape != (shard["rows"], self.dim):
                raise CacheError(f"{path}: expected shape {(shard['rows'], self.dim)}, got {embeddings.shape}")
            self._shards.append(shard)
            self._arrays.append(embeddings)
            self._firsts.append(self._firsts[-1] + len(embeddings))
            hashes.append(of_shard)
        places = np.concatenate([self._places, np.arange(n_placed, self._firsts[-1])])
        self._hashes, kept = np.unique(np.concatenate(hashes), return_index=True)
        self._places = places[kept]

    def _sweep(self, in_force: set[str]) -> None:
        """Remove what dead writers left: unfinished files, and shards that no manifest names."""
        for path in [*self.folder.glob("*" + PARTIAL), *self.folder.glob("shard-*.safetensors")]:
            if path.name not in in_force:
                path.unlink(missing_ok=True)


def _number(name: str) -> int:
    """Return the number of a shard; ValueError if the name is none of ours."""
    number = int(name.removeprefix("shard-").removesuffix(".safetensors"))
    if name != SHARD.format(number):
        raise ValueError(f"shard name {name!r}")
    return number


def _mapped(path: Path) -> tuple[Hashes, npt.NDArray[np.float16]]:
    """Return a shard's hashes (rows,), and its embeddings as a map of the file, which hold no memory of their own."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    parts = []
    for name, dtype in ((HASHES, np.uint8), (EMBEDDINGS, np.float16)):
        first, shape = 8 + length + header[name]["data_offsets"][0], tuple(header[name]["shape"])
        parts.append(np.memmap(path, dtype=dtype, mode="r", offset=first, shape=shape))
    return np.frombuffer(parts[0].tobytes(), dtype=f"S{HASH_BYTES}"), parts[1]
