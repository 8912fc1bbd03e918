"""The command `distill`: a compact encoder from a large teacher, on any texts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.corpus import Corpus, corpus_options
from hpdsearch.cli.output import echo_json, format_bytes, make_progress
from hpdsearch.cli.parameters import Command
from hpdsearch.errors import DistillError

if TYPE_CHECKING:
    from hpdsearch.distillation.pipeline import Distilled


class SpecOption(click.Option):
    """An option that changes one field of the spec; its default is read from there when the help is shown."""

    def __init__(self, *args: Any, path: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.path = path.split(".")

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and what it means."""
        record = super().get_help_record(ctx)
        default, static = (self._default(static=static) for static in (False, True))
        if record is None or default is None or self.is_flag:
            return record
        other = f"; static: {static}" if static != default else ""
        return record[0], f"{record[1]}  [default: {default}{other}]"

    def _default(self, *, static: bool) -> Any:
        from hpdsearch.distillation.recipe import default_spec

        value: Any = default_spec(static=static)
        for name in self.path:
            value = getattr(value, name)
        return value


def layers_of(value: str) -> int | tuple[int, ...]:
    """Read how many layers (6), or which (0,2,5)."""
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected a number of layers (6) or their numbers (0,2,5), got {value!r}") from None
    return numbers if "," in value else numbers[0]


def spec_option(*names: str, path: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return the decorator of an option that changes the field `path` of the spec."""
    return click.option(*names, cls=SpecOption, path=path, **attributes)


at_least_1 = click.IntRange(min=1)
weight = click.FloatRange(min=0)


@click.command()
@click.argument("texts", nargs=-1, required=True)
@click.option("--teacher", help="Model to learn from: a folder, or its name on the Hugging Face hub.")
@click.option("--student", help="What training begins from: a built-in encoder, a folder, or a BERT on the hub.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Encoder folder to make.")
@click.option("--recipe", help="Take all that is not given here from a recipe; TEXTS is the folder of its sources.")
@spec_option(
    "--layers", path="layers", type=layers_of, metavar="LAYERS", help="Layers to keep of the student: 6, or 0,2,5."
)
@spec_option("--static", path="static", is_flag=True, help="A table with a vector a token instead of a Transformer.")
@click.option("--space", help="Train into this space: a built-in one, a space folder, or that of an encoder folder.")
@spec_option("--dim", path="projection.dim", type=at_least_1, help="Width of a new space.")
@spec_option("--centred", path="projection.centred", is_flag=True, help="A new space's directions are those of PCA.")
@spec_option("--whitening", path="projection.whitening", type=click.FloatRange(0, 0.5), help="Of a new space.")
@spec_option("--epochs", path="training.epochs", type=click.FloatRange(0, min_open=True), help="Passes over the texts.")
@spec_option(
    "--learning-rate", path="training.learning_rate", type=click.FloatRange(0, min_open=True), help="Its peak."
)
@spec_option("--batch-size", path="training.batch_size", type=click.IntRange(min=2), help="Texts a training step.")
@spec_option("--max-tokens", path="training.max_tokens", type=at_least_1, help="Longer training texts are cut.")
@spec_option("--train-words", path="training.train_words", is_flag=True, help="Train the word embeddings too.")
@spec_option("--place", path="training.loss.place", type=weight, help="Weight of the distance to the teacher's vector.")
@spec_option("--similarity", path="training.loss.similarity", type=weight, help="Weight of cosines between texts.")
@spec_option("--ranking", path="training.loss.ranking", type=weight, help="Weight of the ranking of neighbours.")
@spec_option("--held-out", "n_held_out", path="n_held_out", type=at_least_1, help="Texts to judge by, at most a tenth.")
@spec_option("--variants", path="variants", type=click.IntRange(min=0), help="Variants to learn of each short text.")
@spec_option(
    "--teacher-texts", path="teacher_texts", type=at_least_1, help="Texts for the teacher, others: --assistant."
)
@click.option("--assistant", help="Encoder of the same space that embeds what --teacher-texts leaves over.")
@spec_option("--anchor", path="anchor", type=weight, help="Weight of the assistant's (or own) vector in the target.")
@spec_option(
    "--untrained-share", path="untrained_share", type=click.FloatRange(0, 1), help="Of its weights in the result."
)
@spec_option("--restored", path="restored", type=click.FloatRange(0, 1), help="How far shrunk numbers are scaled back.")
@spec_option("--trim-vocabulary", path="trim_vocabulary", is_flag=True, help="Leave out tokens that no text holds.")
@spec_option("--float32", "precision", path="precision", flag_value="float32", help="Store float32 instead of int8.")
@spec_option("--seed", path="seed", type=int, help="Of the split, the order, the variants and the training.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Keep the teacher's embeddings here for the next run.  [default: in your cache folder]",
)
@click.option("--overwrite", is_flag=True, help="Replace an encoder; it stays in force until the new one has passed.")
@click.option("--force", is_flag=True, help="Bring the encoder into force although its verdict failed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@corpus_options
def distill(
    texts: tuple[str, ...],
    teacher: str | None,
    student: str | None,
    output: Path,
    recipe: str | None,
    space: str | None,
    assistant: str | None,
    cache: Path | None,
    overwrite: bool,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Make an encoder of your own from a large teacher, on your own TEXTS.

    TEXTS are files and folders as for `hpdsearch index`, or the folder of a recipe's sources. Stopped or killed, the
    same command goes on where it was. A student that already leads into a space of this teacher stays in it, unless
    --space, --dim, --centred or --whitening ask for another.

    \b
    hpdsearch distill notes/ --teacher sentence-transformers/all-mpnet-base-v2 \\
        --student sentence-transformers/all-MiniLM-L6-v2 -o my-encoder
    hpdsearch distill notes/ --teacher my-teacher/ --student my-encoder --layers 3 -o my-small
    """
    from hpdsearch import distill as run
    from hpdsearch.distillation import recipe as recipes
    from hpdsearch.distillation.spec import Origin

    ctx = click.get_current_context()
    changes, origin, corpus = _changes(ctx, options), Origin(command=_command(ctx)), None
    if recipe:
        read = recipes.read_recipe(recipe)
        drawn = recipes.draw_texts(read, _sources_folder(texts))
        corpus, origin = drawn.texts, recipes.origin_of(read, drawn, origin.command)
        teacher, student, assistant = teacher or read.teacher, student or read.student, assistant or read.assistant
        changes, space = recipes.merged_with(read, changes, space)
    if not teacher or not student:
        raise click.UsageError("expected --teacher and --student, or a --recipe, which names them")
    try:
        made = run(
            Corpus(texts, **options) if corpus is None else corpus,
            teacher=teacher,
            student=student,
            output=output,
            spec=recipes.make_spec(changes),
            space=space,
            assistant=assistant,
            cache=cache,
            overwrite=overwrite,
            force=force,
            origin=origin,
            progress=make_progress(),
        )
    except KeyboardInterrupt:
        raise click.ClickException(f"{output}: stopped; the same command goes on where it was") from None
    if as_json:
        _echo_json(made)
    else:
        _echo(made, space_of_encoder=made.energy is None and space is None)
    if not made.in_force:
        raise click.ClickException(
            f"{output}: the verdict failed, so the new encoder is not in force; it lies in {made.folder}. Change "
            "what is said above, or run the same command with --force, which does not train again"
        )


def _changes(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Take the options that change the spec out of `options`; return those given, nested as the spec is."""
    changes: dict[str, Any] = {}
    for option in ctx.command.params:
        if not isinstance(option, SpecOption):
            continue
        assert option.name is not None
        value = options.pop(option.name)
        if value is None or value is False:
            continue
        *outer, last = option.path
        place = changes
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = value
    return changes


def _sources_folder(texts: tuple[str, ...]) -> Path:
    if len(texts) != 1 or not Path(texts[0]).is_dir():
        raise DistillError(f"TEXTS: expected the one folder with the sources of the recipe, got {' '.join(texts)}")
    return Path(texts[0])


def _command(ctx: click.Context) -> str:
    """Return the command line as the model card tells it: of paths the last part, nothing that does not decide."""
    words = ["hpdsearch distill"]
    undecisive = ("cache", "overwrite", "force", "as_json")
    for option in ctx.command.params:
        assert option.name is not None
        value, given = ctx.params[option.name], ctx.get_parameter_source(option.name)
        if option.name in undecisive or given is not click.core.ParameterSource.COMMANDLINE:
            continue
        if isinstance(option, click.Argument):
            words += [Path(text).name for text in value]
        elif isinstance(option, click.Option) and option.is_flag:
            words.append(option.opts[-1])
        else:
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value).removesuffix(".0")
            is_place = option.name in ("teacher", "student", "output", "recipe", "space", "assistant")
            words.append(f"{option.opts[-1]} {Path(shown).name if is_place else shown}")
    return " ".join(words)


def _echo(made: "Distilled", *, space_of_encoder: bool) -> None:
    width = f"{made.space.dim} of the {made.space.teacher_dim} directions of {made.space.teacher}"
    if made.energy is not None:
        which = f"new, {width}, {100 * made.energy:.1f} % of its summed squares"
    elif space_of_encoder:
        which = f"the student's own, {width}; --dim would have made a new one"
    else:
        which = f"as given, {width}"
    click.echo(f"texts:      {made.n_texts:,} learned from, {made.n_held_out:,} held out")
    click.echo(f"space:      {which}")
    for line in made.verdict.lines:
        click.echo(line)
    if not made.has_plot:
        click.echo('plot:       training/log.csv only; a picture needs: pip install "hpdsearch[plot]"')
    if made.in_force:
        from hpdsearch.encoder.folder import read_card

        size = sum((made.folder / name).stat().st_size for name in read_card(made.folder).sha256)
        forced = "" if made.verdict.passed else " (by --force)"
        click.echo(f"encoder:    {made.folder}, {format_bytes(size)}{forced}")
        click.echo(f"use it:     hpdsearch index corpus.txt --encoder {made.folder}")


def _echo_json(made: "Distilled") -> None:
    echo_json(
        {
            "folder": str(made.folder),
            "in_force": made.in_force,
            "space": made.space.id,
            "dim": made.space.dim,
            "energy": made.energy,
            "n_texts": made.n_texts,
            "n_held_out": made.n_held_out,
            "verdict": made.verdict.as_dict(),
        }
    )
