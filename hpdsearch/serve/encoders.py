"""The encoders of the service: each is loaded once, by the backend that encodes many queries fastest."""

import threading
import time
from collections.abc import Sequence

from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder import Device, Encoder, built_in_names
from hpdsearch.index import Index


class EncodingTime(threading.local):
    """The seconds that this thread has spent on encoding."""

    seconds = 0.0


encoding_time = EncodingTime()


class TimedEncoder(Encoder):
    """An encoder that adds the time of each call to `encoding_time`."""

    def _encode(self, texts: Sequence[str], prompt: str, progress: Progress) -> Matrix:
        start = time.perf_counter()
        try:
            return super()._encode(texts, prompt, progress)
        finally:
            encoding_time.seconds += time.perf_counter() - start


class LoadedEncoders:
    """Encoders by the location that an index names. Several threads may use it at once."""

    def __init__(self) -> None:
        self._loaded: dict[str, Encoder] = {}
        self._loading = threading.Lock()

    def load(self, location: str) -> Encoder:
        """Return an encoder; the first call loads it, on the CPU.

        Raises:
            EncoderError: it cannot be loaded.
        """
        with self._loading:
            if location not in self._loaded:
                self._loaded[location] = TimedEncoder.load(location, device=Device.CPU)
            return self._loaded[location]

    def fits(self, index: Index) -> bool:
        """Return whether the loaded encoder is still that of the index."""
        location, sha256 = index.stored_encoder
        loaded = self._loaded.get(location)
        return loaded is not None and loaded.sha256 == sha256

    def names(self) -> list[str]:
        """Return the names that a request may use: the encoders of the indexes, and those that ship."""
        return sorted({encoder.name for encoder in self._loaded.values()} | set(built_in_names()))

    def find(self, name: str) -> Encoder | None:
        """Return the encoder of a name that `names` lists, else None. A name is never taken for a folder."""
        for encoder in list(self._loaded.values()):
            if encoder.name == name:
                return encoder
        return self.load(name) if name in built_in_names() else None
