"""Commands on encoders: encode, encoders, export."""

from pathlib import Path
from typing import Any

import click

from hpdsearch.cli.options import Corpus, bars, bytes_text, corpus_options, dim_option, echo_json, encoder_option


@click.command()
@click.argument("corpus", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the vectors to this .npy file.")
@encoder_option
@dim_option
@corpus_options
def encode(corpus: tuple[str, ...], output: Path | None, encoder: str | None, dim: int | None, **reading: Any) -> None:
    """Encode the texts of a corpus: unit vectors, float32 (documents, dim).

    Without -o each line is one JSON array. A title is encoded with its text; a long text gives the mean of its parts.

    \b
    hpdsearch encode corpus.txt -o vectors.npy
    echo "fear of spiders" | hpdsearch encode -
    """
    from contextlib import closing, nullcontext
    from itertools import islice
    from operator import length_hint

    from hpdsearch.cli.npy import NpyWriter
    from hpdsearch.corpus.passages import encoded_text, title_before_text
    from hpdsearch.encoder import DEFAULT_ENCODER, Encoder

    loaded = Encoder.load(encoder or DEFAULT_ENCODER, dim=dim)
    documents = Corpus(corpus, **reading)
    texts = (encoded_text(title_before_text(document), document.text) for document in documents)
    bar = bars().phase("encoding", total=None, unit="text")
    with closing(bar), NpyWriter(output, loaded.dim) if output else nullcontext() as writer:
        while block := list(islice(texts, 4096)):
            vectors = loaded.encode(block)
            if writer:
                writer.append(vectors)
            else:
                for vector in vectors:
                    echo_json([round(float(number), 6) for number in vector])
            bar.total = length_hint(documents, 0) or None
            bar.update(len(block))
    if writer:
        click.echo(f"{output}: {writer.n_rows:,} x {loaded.dim} float32")


@click.command()
def encoders() -> None:
    """List the built-in encoders."""
    from hpdsearch.encoder import DEFAULT_ENCODER, Encoder
    from hpdsearch.encoder.folder import find_folder, read_card

    for name in Encoder.names():
        folder = find_folder(name)
        card, size_bytes = read_card(folder), sum(path.stat().st_size for path in folder.iterdir())
        default = " (default)" if name == DEFAULT_ENCODER else ""
        size = f"{card.dim} numbers a vector, {card.max_tokens} tokens a passage, {bytes_text(size_bytes)}"
        click.echo(f"{name}{default}: {size}, space {card.space}")


@click.command()
@click.argument("encoder")
@click.argument("output", type=click.Path(path_type=Path))
@dim_option
def export(encoder: str, output: Path, dim: int | None) -> None:
    """Write ENCODER (a built-in name or a folder) as a folder that sentence-transformers opens to the same vectors.

    OUTPUT must be new or empty. It holds float32 weights and needs no hpdsearch to be opened.

    \b
    hpdsearch export base my-model --dim 64
    python -c 'from sentence_transformers import SentenceTransformer; SentenceTransformer("my-model")'
    """
    from hpdsearch.distillation.export.sentence_transformers import write_sentence_transformers

    write_sentence_transformers(encoder, output, dim=dim)
    click.echo(f'{output}: open it with sentence_transformers.SentenceTransformer("{output}")')
