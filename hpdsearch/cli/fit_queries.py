"""The command `fit-queries`: give an encoder a query adapter that fits one's own queries and texts."""

from itertools import islice
from pathlib import Path
from typing import Any

import click

from hpdsearch.cli.corpus import corpus_options, open_corpus
from hpdsearch.cli.options import encoder_output_option
from hpdsearch.cli.output import echo, echo_json, make_progress
from hpdsearch.cli.parameters import expand_home

N_READ = 50_000  # documents of each corpus at most: some may be blank, or equal to others


@click.command("fit-queries")
@click.argument("encoder", type=expand_home)
@click.option(
    "--queries",
    type=expand_home,
    multiple=True,
    required=True,
    metavar="CORPUS",
    help="Fit to the queries in these files: one a line, or any other format of hpdsearch index. Repeatable.",
)
@click.option(
    "--texts",
    type=expand_home,
    multiple=True,
    required=True,
    metavar="CORPUS",
    help="Fit to the texts of these files or folders, as for hpdsearch index. Repeatable.",
)
@encoder_output_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@corpus_options
def fit_queries(
    encoder: str, queries: tuple[str, ...], texts: tuple[str, ...], output: Path, as_json: bool, **reading: Any
) -> None:
    """Fit an encoder to your queries, without training.

    Questions resemble other questions more than the texts that answer them. The new encoder moves the mean of queries
    onto that of texts, and encodes documents as ENCODER does, so it can query every index of ENCODER at once. ENCODER
    is a built-in encoder or an encoder folder; the encoders that ship are fitted to questions already.

    \b
    Example:
      hpdsearch fit-queries base --queries asked.txt --texts notes/ -o my-base
      hpdsearch query --index indexes/notes --query-encoder my-base
    """
    from hpdsearch import fit_queries as run

    read = [
        [document.text for document in islice(open_corpus(corpus, **reading), N_READ)] for corpus in (queries, texts)
    ]
    fitted = run(encoder, output, queries=read[0], texts=read[1], progress=make_progress())
    if as_json:
        echo_json(
            {
                "folder": str(fitted.folder),
                "n_queries": fitted.n_queries,
                "n_texts": fitted.n_texts,
                "offset": round(fitted.offset, 6),
            }
        )
        return
    echo(f"fitted to:  {fitted}")
    echo(f"offset:     {fitted.offset:.3f} of a vector's length")
    echo(f"encoder:    {fitted.folder}")
    echo(f"use it:     hpdsearch query --query-encoder {fitted.folder}")
