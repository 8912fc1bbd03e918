"""A build on a Ray cluster of several nodes makes the index of one machine."""

import numpy as np
import pytest
from ray_clusters import import_ray, start_cluster
from sharding import EXACT, make_corpus, stored_values
from tiny_encoder import make_tiny_static

import_ray()

from hpdsearch import Encoder, Index  # noqa: E402
from hpdsearch.cluster.ray.build import build_on_ray  # noqa: E402
from hpdsearch.cluster.ray.runner import RayRunner  # noqa: E402
from hpdsearch.dense import Codec, IndexSpec, Kind  # noqa: E402
from hpdsearch.index.shards.build import BLOCKS, ShardedBuild  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with start_cluster(1, 1) as started:
        yield started


@pytest.fixture(scope="module")
def static(tmp_path_factory) -> Encoder:
    return Encoder.load(make_tiny_static(tmp_path_factory.mktemp("encoders") / "static"))


@pytest.mark.parametrize("spec", [EXACT, IndexSpec(Kind.IVF, Codec.PQ, nlist=4)], ids=["exact", "trained"])
def test_the_index_is_that_of_one_machine(cluster, static, tmp_path, spec) -> None:
    documents = make_corpus(300)
    build = ShardedBuild(3, 2, spec)
    with (
        build_on_ray(tmp_path / "ray", documents, build, encoder=static, runner=RayRunner(2, 1, 40)) as on_ray,
        Index.build(tmp_path / "one", documents, encoder=static, spec=spec, shards=3, processes=1) as alone,
    ):
        assert stored_values(on_ray) == stored_values(alone)
        queries = [document.text for document in documents[:20]]
        assert on_ray.search(queries) == alone.search(queries)
        for name in ("n_documents", "n_passages", "n_split", "n_duplicates", "n_truncated_titles", "n_reused"):
            assert getattr(on_ray.report, name) == getattr(alone.report, name), name
        assert on_ray.cluster == alone.cluster
    assert not (tmp_path / "ray" / BLOCKS).exists()


def test_a_block_of_ingestion_gets_the_bits_of_one_machine_from_a_transformer(cluster, tmp_path) -> None:
    documents = make_corpus(80)
    with (
        build_on_ray(tmp_path / "ray", documents, ShardedBuild(2, 2, EXACT), encoder="small") as on_ray,
        Index.build(tmp_path / "one", documents, encoder="small", spec=EXACT, shards=2, processes=2) as alone,
    ):
        for (one, _), (other, _) in zip(stored_values(on_ray).values(), stored_values(alone).values(), strict=True):
            assert one == other
            np.testing.assert_allclose(one.vectors, other.vectors, atol=2e-3)  # float16 of values below 1


def test_an_error_in_a_task_is_that_of_one_machine(cluster, static, tmp_path) -> None:
    documents = [*make_corpus(20), make_corpus(20)[3]]
    messages = []
    for build in (
        lambda folder: build_on_ray(folder, documents, ShardedBuild(2, 2, EXACT), encoder=static),
        lambda folder: Index.build(folder, documents, encoder=static, spec=EXACT, shards=2, processes=1),
    ):
        with pytest.raises(Exception, match="doc_id 'doc-3' came before") as caught:
            build(tmp_path / "index")
        messages.append((caught.type, str(caught.value)))
    assert messages[0] == messages[1]
