"""A process that changes an index and dies: by a signal from outside, or by its own hand at a chosen moment."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import faiss
import states

from hpdsearch.catalog import CatalogWriter
from hpdsearch.encoder import Encoder
from hpdsearch.engine import Index
from hpdsearch.lexical import LexicalWriter
from hpdsearch.records import Document

INTERRUPTED = 130


def work(pipe: Connection, folder: Path, encoder_folder: Path, first: int, last: int, die_at: int = 0) -> None:
    """Perform the operations first..last and tell the pipe the number of each that is done.

    Before the first one the pipe gets None. With die_at, the process kills itself at that moment of `moments`.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        encoder = Encoder.load(encoder_folder, threads=1)
        faiss.omp_set_num_threads(1)
        if die_at:
            die_at_moment(die_at)
        pipe.send(None)
        for number in range(first, last + 1):
            states.perform(number, folder, encoder)
            pipe.send(number)
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(INTERRUPTED)


def die_at_moment(n: int) -> None:
    """Kill this process at the n-th moment at which it is about to change the disk, or has just committed."""
    left = n

    def tick() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def ticking(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            tick()
            result = function(*args, **kwargs)
            if function.__name__ == "commit":
                tick()
            return result

        return call

    for owner, name in (
        (os, "mkdir"),
        (os, "fsync"),
        (os, "replace"),
        (os, "unlink"),
        (os, "rmdir"),
        (CatalogWriter, "open"),
        (CatalogWriter, "insert"),
        (CatalogWriter, "commit"),
        (CatalogWriter, "close"),
        (LexicalWriter, "commit"),
        (LexicalWriter, "close"),
    ):
        setattr(owner, name, ticking(getattr(owner, name)))


def hold(pipe: Connection, folder: Path, encoder_folder: Path) -> None:
    """Begin to add documents, tell the pipe, and go on when it answers."""

    def documents() -> Iterator[Document]:
        yield Document("held", "cat moon")
        pipe.send("writing")
        pipe.recv()

    with Index.open(folder, encoder=Encoder.load(encoder_folder, threads=1)) as index:
        index.add(documents())
        pipe.send("done")
