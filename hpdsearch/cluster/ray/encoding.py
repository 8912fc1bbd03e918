"""Encodes blocks of documents in a pool of actors by Ray Data. Each encoded block is a file on the shared storage."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpdsearch.encoder import Device
from hpdsearch.encoder.threads import THREADS
from hpdsearch.errors import HpdsearchError
from hpdsearch.index.shards.jobs import EncoderChoice
from hpdsearch.index.shards.spool import SpooledBlock, read_block
from hpdsearch.index.shards.worker import make_error
from hpdsearch.indexer.prepared import prepare_block

FORMAT = 1  # of the files of encoded blocks


@dataclass(frozen=True)
class BlockJob:
    """Encodes a block of spooled documents.

    Attributes:
        documents: the file of the documents of its shard.
        start: first byte of the block.
        end: byte behind the last one.
        n_documents: documents.
        path: the file of the encoded block.
    """

    documents: str
    start: int
    end: int
    n_documents: int
    path: str


@dataclass(frozen=True)
class EncodedBlock:
    """The result of a BlockJob.

    Attributes:
        n_documents: documents.
        n_passages: their passages.
        seconds: of splitting and encoding.
    """

    n_documents: int
    n_passages: int
    seconds: float


def name_block(block: SpooledBlock, choice: EncoderChoice) -> str:
    """Return the name of the file of an encoded block: a hash of its documents and of the encoder."""
    made_of = [FORMAT, block.digest, choice.sha256, choice.dim, choice.backend]
    return f"{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]}.npz"


class BlockEncoder:
    """An actor of the pool: loads the encoder once and encodes one block after the other."""

    def __init__(self, choice: dict[str, Any], n_cores: int) -> None:
        """Load the encoder; it may use so many cores."""
        os.environ[THREADS] = str(n_cores)
        self._choice = EncoderChoice(**choice)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Encode a block unless its file exists; an error of hpdsearch is a row too."""
        job = BlockJob(**row)
        start = time.perf_counter()
        path = Path(job.path)
        n_passages = 0
        try:
            if not path.exists():  # a node that was lost may have written it
                documents = read_block(Path(job.documents), job.start, job.end)
                n_passages = prepare_block(documents, self._choice.load(), path)
        except HpdsearchError as error:
            return {"error": type(error).__name__, "message": str(error)}
        return {"error": "", "message": "", **asdict(EncodedBlock(job.n_documents, n_passages, _since(start)))}


def _since(start: float) -> float:
    return time.perf_counter() - start


def encode_blocks(
    jobs: Sequence[BlockJob], choice: EncoderChoice, n_actors: int, n_cores: int = 1
) -> Iterator[EncodedBlock]:
    """Encode blocks in a pool of 1 to `n_actors` actors; yield each when its file is durable, in any order.

    Blocks whose node is lost are encoded by another actor. An actor has `n_cores` cores, or a GPU if the device of the
    encoder is one.

    Raises:
        HpdsearchError: the error of an actor.
    """
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=n_actors, max_tasks_in_flight_per_actor=2)
    resources = {"num_gpus": 1} if choice.device == Device.CUDA.value else {"num_cpus": n_cores}
    rows = [asdict(job) for job in jobs]
    encoded = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        BlockEncoder, fn_constructor_args=(asdict(choice), n_cores), compute=pool, **resources
    )
    for row in encoded.iter_rows():
        if row["message"]:
            raise make_error(row["error"], row["message"])
        yield EncodedBlock(row["n_documents"], row["n_passages"], row["seconds"])
