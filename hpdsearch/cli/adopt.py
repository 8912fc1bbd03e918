"""The command `adopt`: make an encoder of an embedding model, without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.corpus import corpus_options, open_corpus
from hpdsearch.cli.options import device_option
from hpdsearch.cli.output import echo, echo_json, format_bytes, make_progress
from hpdsearch.cli.parameters import EnumChoice, UserPath, expand_home

if TYPE_CHECKING:
    from hpdsearch.distillation.adoption import Adopted
    from hpdsearch.distillation.spec import Precision
    from hpdsearch.encoder import Device


@click.command()
@click.argument("model", type=expand_home)
@click.option(
    "-o",
    "--output",
    type=UserPath(path_type=Path),
    metavar="FOLDER",
    show_default="encoders/NAME, after MODEL",
    help="Write the encoder folder here.",
)
@click.option(
    "--dim",
    type=click.IntRange(min=1),
    metavar="DIM",
    show_default="the model's",
    help="Make vectors of this width: project them on the leading directions of the texts of --texts. Without texts, "
    "a model that is known to be trained for truncated vectors is truncated.",
)
@click.option(
    "--texts",
    type=expand_home,
    multiple=True,
    metavar="CORPUS",
    show_default="a sample of English definitions, to compare on",
    help="Fit the projection to these files or folders, as for hpdsearch index, and compare on others of their texts. "
    "Repeat it for more.",
)
@click.option(
    "--space",
    type=expand_home,
    metavar="SPACE",
    help="Map into this space of the model: a built-in one, a space folder, or the one of an encoder. Its encoders can "
    "then query what this one encodes.",
)
@click.option(
    "--matryoshka",
    is_flag=True,
    help="Truncate to the first --dim dimensions instead of projecting: the model was trained for it.",
)
@click.option(
    "--query-prompt",
    metavar="TEXT",
    show_default="as the model states",
    help="Set this before every query.",
)
@click.option(
    "--document-prompt",
    metavar="TEXT",
    show_default="as the model states",
    help="Set this before every passage.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    default=256,
    help="Encode passages of at most this many tokens, or the model's limit if that is smaller.",
)
@click.option(
    "--precision",
    type=EnumChoice("hpdsearch.distillation.spec", "Precision"),
    default="int8",
    help="Store the weights in int8, a quarter of the size, or in float32.",
)
@click.option(
    "--n-texts",
    type=click.IntRange(min=1),
    metavar="N",
    default=10_000,
    help="Fit the projection to at most this many of the texts.",
)
@click.option(
    "--cache",
    type=UserPath(path_type=Path),
    metavar="FOLDER",
    show_default="in your cache folder",
    help="Store the model's embeddings here for the next run, of hpdsearch distill too.",
)
@click.option("--overwrite", is_flag=True, help="Replace an encoder. It stays active until the new one is checked.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@corpus_options
def adopt(
    model: str,
    output: Path | None,
    dim: int | None,
    texts: tuple[str, ...],
    space: str | None,
    matryoshka: bool,
    query_prompt: str | None,
    document_prompt: str | None,
    max_tokens: int,
    precision: "Precision",
    n_texts: int,
    cache: Path | None,
    overwrite: bool,
    device: "Device",
    as_json: bool,
    **reading: Any,
) -> None:
    """Make an encoder of an embedding model, without training.

    MODEL is the folder of a sentence-transformers or transformers model, or its name on the Hugging Face hub, from
    which it is downloaded. The encoder gives the model's vectors: it is compared with the model, and an encoder that
    differs too much is not written.

    \b
    Examples:
      hpdsearch adopt sentence-transformers/all-MiniLM-L6-v2
      hpdsearch adopt BAAI/bge-base-en-v1.5 --dim 256 --texts notes/ -o my-encoder
      hpdsearch adopt sentence-transformers/all-mpnet-base-v2 --space base
    """
    from hpdsearch import adopt as run
    from hpdsearch.distillation.spec import AdoptSpec

    spec = AdoptSpec(
        dim=dim,
        matryoshka=matryoshka,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        max_tokens=max_tokens,
        precision=precision,
        n_texts=n_texts,
    )
    adopted = run(
        model,
        output,
        texts=open_corpus(texts, **reading) if texts else None,
        spec=spec,
        space=space,
        cache=cache,
        overwrite=overwrite,
        device=device,
        progress=make_progress(),
    )
    if as_json:
        _echo_json(adopted)
    else:
        _echo(adopted)


def _echo(adopted: "Adopted") -> None:
    from hpdsearch.distillation.gates import format_percent

    encoder = adopted.encoder
    compared = adopted.comparison
    space = adopted.space
    directions = f"{space.dim} of the {space.teacher_dim} directions"
    if adopted.explained_energy is not None:
        described = f"new, {directions}, which explain {100 * adopted.explained_energy:.1f} % of the summed squares"
    elif adopted.is_matryoshka:
        described = f"new, the first {space.dim} of the model's {space.teacher_dim} dimensions"
    elif adopted.is_given_space:
        described = f"as given, {directions}"
    else:
        described = f"the model's own, {space.dim} dimensions"
    prompts = [f"query {encoder.query_prompt!r}", f"document {encoder.document_prompt!r}"]
    has_prompts = encoder.query_prompt or encoder.document_prompt
    echo(f"model:      {adopted.model} ({adopted.architecture}, {adopted.pooling} pooling)")
    echo(f"prompts:    {', '.join(prompts) if has_prompts else 'none'}")
    echo(f"space:      {described}")
    lowest = f"lowest {compared.lowest_cosine:.4f}"
    others = [f"queries {compared.query_cosine:.4f}"] if compared.query_cosine is not None else []
    others += [f"products in int8 {compared.int8_cosine:.4f}"] if compared.int8_cosine is not None else []
    echo(f"cosine:     {compared.cosine:.4f} to the model in the space ({', '.join([lowest, *others])})")
    kept = f"{format_percent(compared.neighbors)} % of the model's {compared.k} nearest"
    alone = f", the projection alone {format_percent(compared.neighbors_of_space)} %"
    is_projected = space.dim < space.teacher_dim
    echo(f"neighbors:  {kept} among {compared.n_texts:,} {adopted.texts}{alone if is_projected else ''}")
    echo(f"encoder:    {adopted.folder}, {encoder.dim} dimensions, {format_bytes(adopted.size_bytes)}")
    echo(f"use it:     hpdsearch index corpus.txt --encoder {adopted.folder}")


def _echo_json(adopted: "Adopted") -> None:
    encoder = adopted.encoder
    echo_json(
        {
            "folder": str(adopted.folder),
            "model": adopted.model,
            "architecture": adopted.architecture,
            "pooling": adopted.pooling,
            "query_prompt": encoder.query_prompt,
            "document_prompt": encoder.document_prompt,
            "space": encoder.space,
            "dim": encoder.dim,
            "max_tokens": encoder.max_tokens,
            "explained_energy": adopted.explained_energy,
            "size_bytes": adopted.size_bytes,
            "comparison": adopted.comparison.as_dict(),
        }
    )
