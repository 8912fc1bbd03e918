"""Build an index in shards on a Ray cluster: the same folder as without Ray."""

from pathlib import Path

from hpdsearch.cluster.ray.connection import connect
from hpdsearch.cluster.ray.runner import RayRunner
from hpdsearch.encoder import DEFAULT_ENCODER, Device
from hpdsearch.encoder.device import find_device
from hpdsearch.index.encoders import EncoderLike, load_encoder
from hpdsearch.index.shards.build import ShardedBuild, build_shards
from hpdsearch.index.shards.reading import Corpus
from hpdsearch.index.shards.sharded_index import ShardedIndex
from hpdsearch.indexer.merge_policy import DEFAULT_MERGE_POLICY


def build_on_ray(
    folder: Path,
    documents: Corpus,
    build: ShardedBuild,
    *,
    address: str = "auto",
    encoder: EncoderLike = DEFAULT_ENCODER,
    dim: int | None = None,
    device: str | Device = Device.AUTO,
    overwrite: bool = False,
    wait: float = 0,
    runner: RayRunner | None = None,
) -> ShardedIndex:
    """Index documents on a cluster and open the index in this process.

    Documents are read and checked in this process, once; those of a RemoteCorpus are read by tasks. Stopped at any
    moment, the same call goes on and encodes no block again that is on the storage.

    Args:
        folder: a folder on storage that all nodes see by the same path.
        documents: consumed once.
        build: how they are built; `n_processes` is the largest number of encoding actors. There are no drafts.
        address: as in `connect`.
        encoder: as in `Index.build`; the nodes load it by its location.
        dim: as in `Index.build`.
        device: as in `Index.build`; with "cuda" each encoding actor has a GPU.
        overwrite: as in `Index.build`.
        wait: as in `Index.build`.
        runner: runs the jobs; None: as `build` says.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: there is no cluster at the address, or it lost a job again and again.
        CorpusError, IndexFolderError, EncoderError, LockedError: as in `Index.build`.
    """
    with connect(address):
        wanted = find_device(device)
        loaded = load_encoder(encoder, wanted)
        if dim is not None:
            loaded = loaded.truncate(dim)
        runner = runner or RayRunner(build.n_processes)
        report = build_shards(folder, documents, loaded, build, overwrite=overwrite, wait=wait, runner=runner)
    index = ShardedIndex(folder, None, DEFAULT_MERGE_POLICY, None, wanted)
    index.report = report
    index.wait = wait
    return index
