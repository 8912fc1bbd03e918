"""A process that changes an index: until a signal ends it, or under a supervisor who may stop each of its calls."""

import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path

import disk
import faiss
import states

from hpdsearch.encoder import Encoder
from hpdsearch.errors import HpdsearchError
from hpdsearch.index import Index
from hpdsearch.records import Document

INTERRUPTED = 130
DONE, ERROR, BUG = "done", "error", "bug"


def perform_until_killed(pipe: Connection, folder: Path, encoder_folder: Path, first: int, last: int) -> None:
    """Perform the operations first..last; send None before the first, and the number of each when it is done."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    states.set_limits()
    try:
        encoder = _load_encoder(encoder_folder)
        pipe.send(None)
        for number in range(first, last + 1):
            states.perform(number, folder, encoder)
            pipe.send(number)
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(INTERRUPTED)


def perform_on_request(pipe: Connection, encoder_folder: Path) -> None:
    """Send the supervisor's descriptor; then perform each (number, folder) received and send (outcome, message)."""
    states.set_limits()
    encoder = _load_encoder(encoder_folder)
    send_handle(pipe, disk.start_supervision(), os.getppid())
    while True:
        number, folder = pipe.recv()
        try:
            states.perform(number, folder, encoder)
            answer = (DONE, "")
        except HpdsearchError as error:
            answer = (ERROR, f"{type(error).__name__}: {error}")
        except Exception as error:
            answer = (BUG, repr(error))
        pipe.send(answer)


def hold_lock(pipe: Connection, folder: Path, encoder_folder: Path) -> None:
    """Begin to add documents, send "writing", and continue when an answer comes."""

    def documents() -> Iterator[Document]:
        yield Document("locked", "cat moon")
        pipe.send("writing")
        pipe.recv()

    states.set_limits()
    encoder = Encoder.load(encoder_folder, threads=1)
    with Index.open(folder, encoder=encoder, merge_policy=states.POLICY) as index:
        index.add(documents())
        pipe.send("done")


def _load_encoder(encoder_folder: Path) -> Encoder:
    """Load an encoder and let faiss run one thread."""
    encoder = Encoder.load(encoder_folder, threads=1)
    faiss.omp_set_num_threads(1)
    return encoder
