"""Where the command `index` builds: in this process, or on a Ray cluster, which also reads files at URLs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.corpus import take_read_options
from hpdsearch.cli.output import make_progress

if TYPE_CHECKING:
    from hpdsearch.cluster.ray.remote_corpus import RemoteCorpus
    from hpdsearch.corpus import CorpusReader
    from hpdsearch.dense import IndexSpec
    from hpdsearch.index import Index


def find_remote(names: tuple[str, ...], *, strict: bool, **reading: Any) -> "RemoteCorpus":
    """Return the files at the URLs of a command line."""
    from hpdsearch.cluster.ray.remote_corpus import find_files, is_url

    if local := [name for name in names if not is_url(name)]:
        raise click.UsageError(f"expected URLs only, got {local[0]} too; write file:///folder for storage of all nodes")
    return find_files(names, take_read_options(strict, reading), strict)


def build_index(
    ray: str | None,
    folder: Path,
    documents: "CorpusReader | RemoteCorpus",
    *,
    encoder: str | None,
    spec: "IndexSpec | None",
    draft: bool,
    language: str,
    shards: int,
    processes: int,
    **settings: Any,
) -> "Index":
    """Build an index in this process, or on a cluster."""
    from hpdsearch.encoder import DEFAULT_ENCODER

    settings |= {"encoder": encoder or DEFAULT_ENCODER}
    if ray is None:
        from hpdsearch.corpus import CorpusReader
        from hpdsearch.index import Index

        assert isinstance(documents, CorpusReader)
        return Index.build(
            folder,
            documents,
            spec=spec,
            strict=documents.strict,
            on_error=documents.on_error,
            draft=draft,
            language=language,
            shards=shards,
            processes=processes,
            progress=make_progress(),
            **settings,
        )
    from hpdsearch.cluster.ray.build import build_on_ray
    from hpdsearch.dense import IndexSpec
    from hpdsearch.index.shards.build import ShardedBuild
    from hpdsearch.lexical import parse_languages

    build = ShardedBuild(
        shards,
        processes,
        spec or IndexSpec(),
        strict=documents.strict,
        on_error=documents.on_error,
        languages=parse_languages(language),
        progress=make_progress(),
    )
    return build_on_ray(folder, documents, build, address=ray, **settings)
