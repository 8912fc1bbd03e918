"""Commands on encoders: encode, encoders, export."""

from pathlib import Path
from typing import Any

import click

from hpdsearch.cli.corpus import corpus_options, open_corpus
from hpdsearch.cli.options import dim_option, encoder_option
from hpdsearch.cli.output import echo, echo_json, format_bytes, make_progress
from hpdsearch.cli.parameters import UserPath, expand_home


@click.command()
@click.argument("corpus", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=UserPath(path_type=Path), metavar="FILE", help="Write the vectors to this .npy file."
)
@encoder_option
@dim_option
@corpus_options
def encode(corpus: tuple[str, ...], output: Path | None, encoder: str | None, dim: int | None, **reading: Any) -> None:
    """Encode the texts of a corpus as vectors.

    The result is float32 (documents, dim) with rows of unit length. Without -o each line is one JSON array. A title is
    encoded with its text. A long text is split into passages, and its vector is the mean of theirs.

    \b
    Examples:
      hpdsearch encode corpus.txt -o vectors.npy
      echo "fear of spiders" | hpdsearch encode -
    """
    from contextlib import closing, nullcontext
    from itertools import islice
    from operator import length_hint

    from hpdsearch.cli.npy import NpyWriter
    from hpdsearch.corpus.passages import title_and_text, title_before_text
    from hpdsearch.encoder import DEFAULT_ENCODER, Encoder

    loaded = Encoder.load(encoder or DEFAULT_ENCODER, dim=dim)
    documents = open_corpus(corpus, keep_empty=True, **reading)
    texts = (title_and_text(title_before_text(document), document.text) for document in documents)
    bar = make_progress().phase("encoding", total=None, unit="text")
    with closing(bar), NpyWriter(output, loaded.dim) if output else nullcontext() as writer:
        while block := list(islice(texts, 4096)):
            vectors = loaded.encode(block)
            if writer:
                writer.append(vectors)
            else:
                for vector in vectors:
                    echo_json([round(float(value), 6) for value in vector])
            bar.total = length_hint(documents, 0) or None
            bar.update(len(block))
    if writer:
        echo(f"{output}: {writer.n_rows:,} x {loaded.dim} float32")


@click.command()
def encoders() -> None:
    """List the built-in encoders.

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
        echo(f"{name}{default}: {size}, space {card.space}")


@click.command()
@click.argument("encoder", type=expand_home)
@click.argument("output", type=UserPath(path_type=Path))
@dim_option
def export(encoder: str, output: Path, dim: int | None) -> None:
    """Export an encoder for sentence-transformers.

    ENCODER is a built-in encoder or an encoder folder. OUTPUT is a new or empty folder. sentence-transformers reads it
    without hpdsearch and gives the same vectors. The weights are float32.

    \b
    Examples:
      hpdsearch export base my-model --dim 64
    """
    from hpdsearch.distillation.export.sentence_transformers import write_sentence_transformers

    write_sentence_transformers(encoder, output, dim=dim)
    echo(f'{output}: load it with sentence_transformers.SentenceTransformer("{output}")')
