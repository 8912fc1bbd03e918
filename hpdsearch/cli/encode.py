"""Commands on encoders: encode, encoders."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.corpus import corpus_options, open_corpus
from hpdsearch.cli.options import device_option, dim_option, encoder_option
from hpdsearch.cli.output import echo, echo_json, format_bytes, is_terminal, make_progress
from hpdsearch.cli.output_file import describe_output, open_output_file, overwrite_option, uses_stdout
from hpdsearch.cli.parameters import OutputPath
from hpdsearch.errors import CorpusError

if TYPE_CHECKING:
    from hpdsearch.corpus import OnError
    from hpdsearch.encoder import Device
    from hpdsearch.records import Document

BLOCK_DOCUMENTS = 4096


@click.command()
@click.argument("corpus", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    metavar="FILE",
    help="Write the vectors to this .npy file, or to standard output (-).",
)
@click.option(
    "--ids",
    "ids_file",
    type=OutputPath(),
    metavar="FILE",
    help="Write the id of each row's document to this file, one a line.",
)
@overwrite_option
@encoder_option
@dim_option
@click.option("--queries", is_flag=True, help="Encode the texts as queries, with the query prompt and adapter.")
@device_option
@corpus_options
def encode(
    corpus: tuple[str, ...],
    output: Path | None,
    ids_file: Path | None,
    overwrite: bool,
    encoder: str | None,
    dim: int | None,
    queries: bool,
    device: "Device",
    **reading: Any,
) -> None:
    """Encode the texts of a corpus as vectors.

    The result is float32 (records, dim) with rows of unit length. Row i is record i: a blank line or text has the
    vector of the empty text, and their number is printed on stderr. Without -o each line is one JSON array. A title is
    encoded with its text. A long text is split into passages, and its vector is the mean of theirs.

    \b
    Examples:
      hpdsearch encode corpus.txt -o vectors.npy
      hpdsearch encode articles.jsonl -o vectors.npy --ids ids.txt
      echo "fear of spiders" | hpdsearch encode -
    """
    from contextlib import ExitStack, closing
    from itertools import islice
    from operator import length_hint

    from hpdsearch.cli.npy import NpyWriter
    from hpdsearch.encoder import DEFAULT_ENCODER, Encoder
    from hpdsearch.encoder.folder import find_folder

    encoder = encoder or DEFAULT_ENCODER
    _check_outputs(output, ids_file, reading["on_error"])
    documents = open_corpus(corpus, keep_empty=True, **reading)
    inputs = [*documents.files, find_folder(encoder)]
    with ExitStack() as stack:
        vectors_file, ids = [
            stack.enter_context(open_output_file(path, overwrite=overwrite, inputs=inputs)) if path else None
            for path in (output, ids_file)
        ]
        loaded = Encoder.load(encoder, dim=dim, device=device)
        encode_texts = loaded.encode_queries if queries else loaded.encode
        bar = stack.enter_context(closing(make_progress().phase("encoding", total=None, unit="text")))
        writer = stack.enter_context(NpyWriter(vectors_file, loaded.dim)) if vectors_file else None
        while block := list(islice(documents, BLOCK_DOCUMENTS)):
            if ids:
                ids.write("".join(map(_format_id, block)).encode())
            vectors = encode_texts([_text_to_encode(document) for document in block])
            if writer:
                writer.append(vectors)
            else:
                for vector in vectors:
                    echo_json([round(float(value), 6) for value in vector])
            bar.total = length_hint(documents, 0) or None
            bar.update(len(block))
    if writer and output:
        echo(f"{describe_output(output)}: {writer.n_rows:,} x {loaded.dim} float32", err=uses_stdout(output, ids_file))
    if n_blank := documents.stats.n_empty:
        echo(f"notes:      {n_blank:,} blank records have the vector of the empty text", err=True)


def _check_outputs(output: Path | None, ids_file: Path | None, on_error: "OnError") -> None:
    """Raise click.UsageError for options of the output that do not go together."""
    from hpdsearch.corpus import OnError

    if on_error is OnError.SKIP and ids_file is None:
        raise click.UsageError(
            "--on-error skip leaves out records, so that row i may not be record i; add --ids FILE, which names the "
            "document of each row"
        )
    if uses_stdout(ids_file) and (output is None or uses_stdout(output)):
        raise click.UsageError("--ids and the vectors both go to standard output; name a file for one of them")
    if uses_stdout(output) and is_terminal(sys.stdout):
        raise click.UsageError(f"-o {output}: standard output is a terminal; redirect it to a file or a program")


def _text_to_encode(document: "Document") -> str:
    from hpdsearch.corpus.headings import PassageTitles
    from hpdsearch.corpus.passages import title_and_text

    return title_and_text(PassageTitles(document).title, document.text)


def _format_id(document: "Document") -> str:
    """Return a line with the doc_id of a document.

    Raises:
        CorpusError: the doc_id has a line end.
    """
    if "\n" in document.doc_id or "\r" in document.doc_id:
        raise CorpusError(
            f"{document.source}: expected an id of one line for --ids, got {document.doc_id!r}; choose another "
            "--id-field, or leave out --ids: row i is record i"
        )
    return f"{document.doc_id}\n"


@click.command()
def encoders() -> None:
    """List the built-in encoders, each with the fastest backend here.

    \b
    Examples:
      hpdsearch encoders
    """
    from hpdsearch.encoder import DEFAULT_ENCODER, Encoder
    from hpdsearch.encoder.folder import find_folder, read_card

    for name in Encoder.names():
        folder = find_folder(name)
        card = read_card(folder)
        size_bytes = sum(path.stat().st_size for path in folder.iterdir())
        default = " (default)" if name == DEFAULT_ENCODER else ""
        size = f"{card.dim} dimensions, passages of up to {card.max_tokens} tokens, {format_bytes(size_bytes)}"
        loaded = Encoder.load(name)
        device = "" if loaded.device == "cpu" else f" on {loaded.device}"
        echo(f"{name}{default}: {size}, space {card.space}, backend {loaded.backend}{device}")
