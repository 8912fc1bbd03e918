"""The encoders of an index: load them, and check that their vectors can be compared with those of the index."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hpdsearch.common.forks import PerProcess
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder import Backend, Device, Encoder, EncoderType, built_in_names
from hpdsearch.encoder.backends import choose_for_device
from hpdsearch.encoder.folder import find_folder, read_card, read_encoder_type
from hpdsearch.errors import EncoderError
from hpdsearch.search.snapshot import Snapshot

logger = logging.getLogger(__name__)

BACKEND = "backend"  # key of the index's settings: the backend that encoded its first documents

EncoderLike = str | Path | Encoder
QUERY_ADVICE = (
    "name its folder, or another encoder of its space, with --query-encoder; "
    "--mode lexical without --explain needs none"
)
DOCUMENT_ADVICE = "if it has moved, name its folder with --encoder (in Python: Index.open(document_encoder=...))"


def load_encoder(encoder: EncoderLike, device: Device) -> Encoder:
    """Return a loaded encoder as it is, or load one for documents by built-in name or folder.

    Raises:
        EncoderError: there is no such encoder or device, or the encoder's files are corrupt.
    """
    return encoder if isinstance(encoder, Encoder) else Encoder.load(encoder, device=device)


def load_query_encoder(encoder: EncoderLike) -> Encoder:
    """Return a loaded encoder as it is, or load one that is ready soon and runs on the CPU, as queries are short.

    Raises:
        EncoderError: there is no such encoder, or its files are corrupt.
    """
    return encoder if isinstance(encoder, Encoder) else Encoder.load(encoder, backend=Backend.QUICK, device=Device.CPU)


def fit_encoder(encoder: Encoder, meta: Mapping[str, Any], folder: Path) -> Encoder:
    """Return the encoder truncated to the dimensions of the index.

    Args:
        encoder: any encoder.
        meta: the settings of the index.
        folder: the index folder, named in errors.

    Raises:
        EncoderError: the encoder is of another space, or has fewer dimensions than the index.
    """
    if encoder.space != meta["space"]:
        # An encoder that was replaced, as a release replaces the built-in ones, is not that of the documents any more.
        was_replaced = encoder.location == meta["encoder"]
        advice = "the encoder was replaced; " if was_replaced else f"query with --query-encoder {meta['encoder']}, or "
        raise EncoderError(
            f"{folder}: holds vectors of space {meta['space']} (encoder {meta['encoder']}), but encoder {encoder.name} "
            f"is of space {encoder.space}; {advice}index again with --overwrite --encoder {encoder.location}"
        )
    if encoder.model_dim < meta["dim"]:
        raise EncoderError(
            f"{folder}: holds vectors of {meta['dim']} dimensions (encoder {meta['encoder']}), but encoder "
            f"{encoder.name} has only {encoder.model_dim}; query with --query-encoder {meta['encoder']}"
        )
    return encoder.truncate(meta["dim"])


def require_same_encoder(encoder: Encoder, meta: Mapping[str, Any], folder: Path) -> None:
    """Check that an encoder is the one of the documents, wherever its folder is.

    Args:
        encoder: any encoder.
        meta: the settings of the index.
        folder: the index folder, named in errors.

    Raises:
        EncoderError: the encoder has another checksum.
    """
    if encoder.sha256 == meta["encoder_hash"]:
        return
    space = "the same" if encoder.space == meta["space"] else "another"
    raise EncoderError(
        f"{folder}: its documents were encoded by {meta['encoder']} ({meta['encoder_hash']}), but {encoder.location} "
        f"is another encoder ({encoder.sha256}) of {space} space; name a folder that holds the encoder of the "
        f"documents, or index again with --overwrite --encoder {encoder.location}"
    )


def load_stored_encoder(
    meta: Mapping[str, Any], folder: Path, advice: str, load: Callable[[EncoderLike], Encoder]
) -> Encoder:
    """Load the encoder that an index names; if it cannot be loaded, the error ends with the advice."""
    try:
        return load(meta["encoder"])
    except EncoderError as error:
        raise EncoderError(f"{folder}: the encoder of its documents cannot be loaded: {error}; {advice}") from error


def find_draft_encoder(encoder: Encoder) -> Encoder | None:
    """Return the built-in static encoder of the same space, as wide as this one; None if there is no faster one."""
    if encoder.kind is EncoderType.STATIC:
        return None
    for name in built_in_names():
        folder = find_folder(name)
        if read_encoder_type(folder) is EncoderType.STATIC and read_card(folder).space == encoder.space:
            fast = Encoder.load(name)
            return fast.truncate(encoder.dim) if fast.model_dim >= encoder.dim else None
    return None


class IndexEncoders:
    """The query encoder and the document encoder of an open index. Several threads may use them at once.

    The encoder is loaded by the first query or change that needs it.

    Attributes:
        device: encodes documents, unless a loaded encoder was given.
    """

    def __init__(
        self,
        folder: Path,
        choice: EncoderLike | None,
        document_encoder: EncoderLike | None = None,
        device: Device = Device.AUTO,
    ) -> None:
        """Choose the encoders.

        Args:
            folder: the index folder, named in errors.
            choice: the query encoder; None: the encoder of the documents.
            document_encoder: the encoder of the documents, at another place than the index names; None: as named.
            device: encodes documents.
        """
        choice = document_encoder if choice is None else choice
        self.device = device
        self._folder = folder
        self._document_encoder = document_encoder
        self._choice = choice
        self._loaded = choice if isinstance(choice, Encoder) else None
        self._loaded_for_documents: Encoder | None = None
        self._loading = PerProcess(threading.Lock)

    @property
    def finds_documents_encoder(self) -> bool:
        """Whether the user named the place of the documents' encoder."""
        return self._document_encoder is not None

    def encode_queries(self, snapshot: Snapshot, texts: Sequence[str]) -> Matrix:
        """Return the vectors (n, dim) of queries of a snapshot of the index.

        Raises:
            EncoderError: the query encoder cannot be loaded, is of another space or has too few dimensions.
        """
        return self._fitting_query_encoder(snapshot).encode_queries(texts)

    def encode_sentences(self, snapshot: Snapshot, texts: Sequence[str]) -> Matrix:
        """Return the vectors (n, dim) of parts of documents, by the query encoder; see `encode_queries`."""
        return self._fitting_query_encoder(snapshot).encode(texts)

    def known_words(self, snapshot: Snapshot, text: str) -> set[str]:
        """Return the words of a query that the query encoder has whole; see `encode_queries` for the errors."""
        return self._fitting_query_encoder(snapshot).known_words(text)

    def _fitting_query_encoder(self, snapshot: Snapshot) -> Encoder:
        meta = snapshot.catalog.meta()
        with self._loading.get():
            # Another process may have overwritten the index with another space before a change through this object.
            is_foreign = self._loaded is not None and self._loaded.space != meta["space"]
            if self._loaded is None or (is_foreign and self._choice is None):
                self._loaded = self._load_query_encoder(meta)
            encoder = self._loaded
        return fit_encoder(encoder, meta, self._folder)

    def _load_query_encoder(self, meta: Mapping[str, Any]) -> Encoder:
        if self._choice is not None:
            return load_query_encoder(self._choice)
        return load_stored_encoder(meta, self._folder, QUERY_ADVICE, load_query_encoder)

    def for_documents(self, meta: Mapping[str, Any]) -> Encoder:
        """Return the encoder of the documents of an index with these settings.

        Raises:
            EncoderError: the encoder cannot be loaded, is not that of the documents, or does not fit the index.
        """
        if self._document_encoder is not None:
            encoder = self._document_encoder = load_encoder(self._document_encoder, self.device)
            require_same_encoder(encoder, meta, self._folder)
        elif (found := self._find_loaded(meta["encoder_hash"])) is not None:
            encoder = found
        else:
            load = partial(load_encoder, device=self.device)
            encoder = self._loaded_for_documents = load_stored_encoder(meta, self._folder, DOCUMENT_ADVICE, load)
        if meta.get(BACKEND, encoder.backend) != encoder.backend:
            logger.warning(
                "%s: the backend %s encoded the index, and %s encodes the new documents; their cosines may differ by "
                "0.001 (choose with --device or HPDSEARCH_BACKEND)",
                self._folder,
                meta[BACKEND],
                encoder.backend,
            )
        return fit_encoder(encoder, meta, self._folder)

    def keep_for_documents(self, encoder: Encoder) -> None:
        """Use this loaded encoder for documents as long as it is that of the index."""
        self._loaded_for_documents = encoder

    def _find_loaded(self, sha256: str) -> Encoder | None:
        """Return a loaded encoder for documents; that of queries only if it was given or documents need no GPU."""
        if self._loaded_for_documents is not None and self._loaded_for_documents.sha256 == sha256:
            return self._loaded_for_documents
        if self._loaded is None or self._loaded.sha256 != sha256:
            return None
        if self._loaded is self._choice or not choose_for_device(Backend.AUTO, self.device).needs_torch:
            return self._loaded
        return None
