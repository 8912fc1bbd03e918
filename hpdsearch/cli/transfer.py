"""Commands that pass indexes and encoders on to other programs, and take vectors from them: export, import."""

import sys
from pathlib import Path
from typing import Any

import click

from hpdsearch.cli.corpus import choose_folder
from hpdsearch.cli.index_argument import find_named_index, wait_option
from hpdsearch.cli.options import dim_option, language_option, spec_options, take_spec
from hpdsearch.cli.output import echo, format_count, is_terminal, make_progress
from hpdsearch.cli.output_file import describe_output, open_output_file, overwrite_option, uses_stdout
from hpdsearch.cli.parameters import UserPath, expand_home

SENTENCE_TRANSFORMERS = "sentence-transformers"
INDEX_FORMATS = ("parquet", "jsonl", "qdrant-jsonl", "opensearch-bulk")


@click.command()
@click.argument("source", type=expand_home)
@click.argument("output", type=UserPath(path_type=Path))
@click.option(
    "--to",
    type=click.Choice((SENTENCE_TRANSFORMERS, *INDEX_FORMATS)),
    default=SENTENCE_TRANSFORMERS,
    help="Write this format.",
)
@dim_option
@overwrite_option
def export(source: str, output: Path, to: str, dim: int | None, overwrite: bool) -> None:
    """Export an index, or an encoder for sentence-transformers.

    With --to parquet, jsonl, qdrant-jsonl or opensearch-bulk SOURCE is an index, and OUTPUT is a file, or - for
    standard output. It gets ids, texts, metadata and vectors. hpdsearch import reads parquet and jsonl.

    Without --to SOURCE is a built-in encoder or an encoder folder, and OUTPUT is a new or empty folder, which
    sentence-transformers reads without hpdsearch. It gives the same vectors of documents, and has no query adapter. The
    weights are float32.

    \b
    Examples:
      hpdsearch export indexes/news news.parquet --to parquet
      hpdsearch export news - --to jsonl | gzip > news.jsonl.gz
      hpdsearch export base my-model --dim 64
    """
    if to == SENTENCE_TRANSFORMERS:
        if overwrite:
            raise click.UsageError("--overwrite goes with the formats of an index; OUTPUT is a new or empty folder")
        _export_encoder(source, output, dim)
        return
    if dim is not None:
        raise click.UsageError("--dim goes with an encoder; vectors of an index are exported in full")
    if to == "parquet" and uses_stdout(output) and is_terminal(sys.stdout):
        raise click.UsageError("standard output is a terminal; redirect it to a file or a program")
    _export_index(find_named_index(source), output, to, overwrite)


def _export_encoder(encoder: str, output: Path, dim: int | None) -> None:
    from hpdsearch.distillation.export.sentence_transformers import write_sentence_transformers
    from hpdsearch.encoder.folder import QUERY_ADAPTER, find_folder, read_card

    write_sentence_transformers(encoder, output, dim=dim)
    echo(f'{output}: load it with sentence_transformers.SentenceTransformer("{output}")')
    if QUERY_ADAPTER in read_card(find_folder(encoder)).sha256:
        echo("note: it encodes queries as documents; hpdsearch encode --queries applies the query adapter", err=True)


def _export_index(folder: Path, output: Path, to: str, overwrite: bool) -> None:
    from hpdsearch.index import Index

    with Index.open(folder) as index, open_output_file(output, overwrite=overwrite, inputs=[folder]) as file:
        n_documents = index.export(file, to, progress=make_progress())
    echo(f"{describe_output(output)}: {format_count(n_documents, 'document')}", err=uses_stdout(output))


@click.command("import")
@click.argument("file", type=UserPath(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=UserPath(path_type=Path),
    metavar="FOLDER",
    show_default="indexes/NAME, after FILE",
    help="Write the index to this folder.",
)
@click.option(
    "--encoder",
    type=expand_home,
    metavar="ENCODER",
    show_default="the one that FILE names, else base",
    help="Encode queries and later documents with this encoder, which must be of the space of the vectors.",
)
@click.option(
    "--space",
    "space_id",
    metavar="ID",
    help="The space of the vectors, if FILE does not name it (hpdsearch encoders).",
)
@spec_options
@language_option
@click.option("--overwrite", is_flag=True, help="Replace an index.")
@wait_option
def import_vectors(
    file: Path,
    output: Path | None,
    encoder: str | None,
    space_id: str | None,
    language: str,
    overwrite: bool,
    wait: float,
    **options: Any,
) -> None:
    """Make an index of a file of documents with vectors.

    FILE is .parquet or .jsonl, as hpdsearch export writes it, or made by another program: docs/export.md says which
    fields it has.

    \b
    Examples:
      hpdsearch import news.parquet -o indexes/copy
    """
    from hpdsearch.corpus.encoded import read_encoded
    from hpdsearch.encoder import DEFAULT_ENCODER
    from hpdsearch.errors import CorpusError
    from hpdsearch.index import Index

    spec = take_spec(options)
    folder = output or choose_folder(str(file))
    documents = read_encoded(file, space=space_id)
    if documents.dim and not documents.space:
        raise CorpusError(f"{file}: does not name the space of its vectors; name it with --space (hpdsearch encoders)")
    with Index.build(
        folder,
        documents,
        encoder=encoder or documents.encoder or DEFAULT_ENCODER,
        dim=documents.dim or None,
        spec=spec,
        overwrite=overwrite,
        wait=wait,
        language=language,
        progress=make_progress(),
    ) as built:
        assert built.report is not None
        count = format_count(built.report.n_documents, "document")
        echo(f"{folder}: imported {count}, {format_count(built.report.n_passages, 'passage')}")
    echo(f"search it:  hpdsearch query -i {folder}")
