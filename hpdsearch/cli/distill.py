"""The command `distill`: train a compact encoder to reproduce a large teacher."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hpdsearch.cli.corpus import corpus_options, open_corpus
from hpdsearch.cli.options import device_option, encoder_output_option
from hpdsearch.cli.output import echo, echo_json, format_bytes, make_progress
from hpdsearch.cli.parameters import Command, RenamedOption, UserPath, expand_home
from hpdsearch.errors import DistillError

if TYPE_CHECKING:
    from hpdsearch.distillation.pipeline import Distilled
    from hpdsearch.encoder import Device


class SpecOption(RenamedOption):
    """An option that changes one field of the spec. Help reads the default from the spec.

    Args:
        arguments: the names, as for click.Option.
        path: of the field, as in "training.loss.kl_weight".
        former: names of earlier releases.
        attributes: as for click.Option.
    """

    def __init__(self, *arguments: Any, path: str, former: tuple[str, ...] = (), **attributes: Any) -> None:
        super().__init__(*arguments, former=former, **attributes)
        self.path = path.split(".")

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names and the help with the default of each student type."""
        record = super().get_help_record(ctx)
        default, static = (self._read_default(static=static) for static in (False, True))
        if record is None or default is None or self.is_flag:
            return record
        other = f"; static: {static}" if static != default else ""
        return record[0], f"{record[1]}  [default: {default}{other}]"

    def _read_default(self, *, static: bool) -> Any:
        from hpdsearch.distillation.recipe import default_spec

        value: Any = default_spec(static=static)
        for name in self.path:
            value = getattr(value, name)
        return value


def parse_layers(value: str) -> int | tuple[int, ...]:
    """Parse a count of layers (6) or layer numbers (0,2,5)."""
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected a count of layers (6) or layer numbers (0,2,5), got {value!r}") from None
    return numbers if "," in value else numbers[0]


def spec_option(*names: str, path: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return the decorator of an option that changes the field `path` of the spec."""
    return click.option(*names, cls=SpecOption, path=path, **attributes)


positive = click.IntRange(min=1)
weight = click.FloatRange(min=0)
share = click.FloatRange(0, 1)


@click.command()
@click.argument("texts", nargs=-1, required=True, type=expand_home)
@click.option(
    "--teacher",
    "teachers",
    type=expand_home,
    multiple=True,
    metavar="MODEL[:WEIGHT]",
    help="Learn from this model: a folder, or a name on the Hugging Face hub. Repeat it to learn from several.",
)
@click.option(
    "--student",
    type=expand_home,
    metavar="MODEL",
    help="Start from this model: a built-in encoder, a folder, or a BERT on the hub.",
)
@encoder_output_option
@click.option(
    "--recipe",
    type=expand_home,
    metavar="RECIPE",
    help="Read the other settings from a recipe. TEXTS is then the folder of its sources.",
)
@click.option(
    "--parallel",
    type=UserPath(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Learn the translations in this file too: TEXT<TAB>TRANSLATION[<TAB>LANGUAGE], or JSON lines. Repeatable.",
)
@spec_option(
    "--layers",
    path="layers",
    type=parse_layers,
    metavar="LAYERS",
    help="Keep these layers of the student: 6, or 0,2,5.",
)
@spec_option("--static", path="static", is_flag=True, help="Make a table of token vectors instead of a Transformer.")
@click.option(
    "--space",
    type=expand_home,
    metavar="SPACE",
    help="Train into this space: a built-in one, a space folder, or the one of an encoder folder.",
)
@spec_option("--dim", path="projection.dim", type=positive, metavar="DIM", help="Make a new space of this width.")
@spec_option(
    "--centered",
    path="projection.centered",
    former=("--centred",),
    is_flag=True,
    help="Make a new space with the directions of PCA.",
)
@spec_option(
    "--whitening",
    path="projection.whitening",
    type=click.FloatRange(0, 0.5),
    metavar="X",
    help="Scale the directions of a new space by variance ** -X: 0 not at all, 0.5 fully.",
)
@spec_option(
    "--ridge",
    path="ridge",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="Regularize the initial head this much.",
)
@spec_option(
    "--epochs",
    path="training.epochs",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Make this many passes over the training texts.",
)
@spec_option(
    "--minutes",
    path="training.minutes",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Train for this time instead of a number of epochs.",
)
@spec_option(
    "--learning-rate",
    path="training.learning_rate",
    type=click.FloatRange(0, min_open=True),
    metavar="RATE",
    help="Set the peak learning rate.",
)
@spec_option(
    "--batch-size",
    path="training.batch_size",
    type=click.IntRange(min=2),
    metavar="N",
    help="Train on this many texts per step.",
)
@spec_option(
    "--max-tokens",
    path="training.max_tokens",
    type=positive,
    metavar="N",
    help="Truncate training texts to this many tokens.",
)
@spec_option(
    "--train-word-embeddings",
    path="training.train_word_embeddings",
    former=("--train-words",),
    is_flag=True,
    help="Train the word embeddings too.",
)
@spec_option(
    "--trained-layers",
    "n_trained_layers",
    path="training.n_trained_layers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Train the head and only this many of the last layers, not all of them.",
)
@spec_option(
    "--word-embedding-rate",
    path="training.word_embedding_rate",
    type=share,
    metavar="SHARE",
    help="Train the word embeddings, if at all, with this share of the learning rate.",
)
@spec_option(
    "--ema-decay",
    path="training.ema_decay",
    type=share,
    metavar="X",
    help="Average the weights over the steps, with this decay a step: 0 not at all, 0.999 over some thousand steps.",
)
@spec_option(
    "--mse-weight",
    path="training.loss.mse_weight",
    former=("--place",),
    type=weight,
    metavar="WEIGHT",
    help="Weight the squared distance to the target vector.",
)
@spec_option(
    "--similarity-weight",
    path="training.loss.similarity_weight",
    former=("--similarity",),
    type=weight,
    metavar="WEIGHT",
    help="Weight the squared error of the cosines within a batch.",
)
@spec_option(
    "--kl-weight",
    path="training.loss.kl_weight",
    former=("--ranking",),
    type=weight,
    metavar="WEIGHT",
    help="Weight the KL divergence of the ranking within a batch.",
)
@spec_option(
    "--held-out",
    "n_held_out",
    path="n_held_out",
    type=positive,
    metavar="N",
    help="Hold out this many texts for the quality report, at most a tenth.",
)
@spec_option(
    "--n-augmented",
    path="n_augmented",
    former=("--variants",),
    type=click.IntRange(min=0),
    metavar="N",
    help="Add this many augmented texts per short text.",
)
@spec_option(
    "--n-teacher-texts",
    path="n_teacher_texts",
    former=("--teacher-texts",),
    type=positive,
    metavar="N",
    help="Embed only this many texts with the teacher, the others with the teacher assistant.",
)
@spec_option(
    "--min-teacher-words",
    path="min_teacher_words",
    type=click.IntRange(min=0),
    metavar="N",
    help="Embed only texts of at least this many words with the teacher, the others with the teacher assistant.",
)
@click.option(
    "--teacher-assistant",
    cls=RenamedOption,
    former=("--assistant",),
    type=expand_home,
    metavar="ENCODER",
    help="Embed texts with this encoder of the same space too.",
)
@spec_option(
    "--ensemble-weight",
    path="ensemble_weight",
    former=("--anchor",),
    type=weight,
    metavar="WEIGHT",
    help="Add the vector of the teacher assistant, or of the untrained student, to the target with this weight.",
)
@spec_option(
    "--interpolate-init",
    path="interpolate_init",
    former=("--untrained-share",),
    type=share,
    metavar="SHARE",
    help="Average the final weights with this share of the initial ones.",
)
@spec_option(
    "--match-variance",
    path="match_variance",
    former=("--restored",),
    type=share,
    metavar="SHARE",
    help="Rescale each dimension towards the teacher's variance: 0 not at all, 1 fully.",
)
@spec_option(
    "--trim-vocabulary", path="trim_vocabulary", is_flag=True, help="Remove the tokens that no training text contains."
)
@spec_option(
    "--vocabulary-size",
    path="vocabulary_size",
    type=positive,
    metavar="N",
    help="Keep only this many tokens: single characters, and the most frequent ones in the training texts.",
)
@spec_option(
    "--float32", "precision", path="precision", flag_value="float32", help="Store float32 weights instead of int8."
)
@spec_option(
    "--seed", path="seed", type=int, metavar="N", help="Seed the split, the order, the augmentation and the training."
)
@click.option(
    "--cache",
    type=UserPath(path_type=Path),
    metavar="FOLDER",
    show_default="in your cache folder",
    help="Store the teacher's embeddings here for the next run.",
)
@click.option("--overwrite", is_flag=True, help="Replace an encoder. It stays active until the new one is promoted.")
@click.option("--force", is_flag=True, help="Promote the encoder although a quality gate failed.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@corpus_options
def distill(
    texts: tuple[str, ...],
    parallel: tuple[Path, ...],
    teachers: tuple[str, ...],
    student: str | None,
    output: Path,
    recipe: str | None,
    space: str | None,
    teacher_assistant: str | None,
    cache: Path | None,
    overwrite: bool,
    force: bool,
    device: "Device",
    as_json: bool,
    **options: Any,
) -> None:
    """Distill an encoder from a large teacher, on your TEXTS.

    TEXTS are files and folders as for `hpdsearch index`, or the folder of a recipe's sources. If the command is stopped
    or killed, the same command continues where it stopped. If the student already maps into a space of this teacher, it
    keeps that space, unless --space, --dim, --centered or --whitening is given.

    Several teachers are learned together: their unit vectors are multiplied by their weights (1 unless given) and
    concatenated. Each keeps its own cache.

    With --parallel the encoder becomes multilingual: the vector of a translation is to be the teacher's vector of its
    text. It needs a student with a multilingual vocabulary.

    \b
    Examples:
      hpdsearch distill notes/ --teacher sentence-transformers/all-mpnet-base-v2 \\
          --student sentence-transformers/all-MiniLM-L6-v2 -o my-encoder
      hpdsearch distill notes/ --teacher my-teacher/ --student my-encoder --layers 3 -o my-small
      hpdsearch distill notes/ --teacher my-teacher/ --teacher all-MiniLM-L6-v2/:0.7 \\
          --student all-MiniLM-L6-v2/ -o my-encoder
      hpdsearch distill notes/ --parallel de.tsv.gz --parallel fr.tsv.gz --teacher my-teacher/ \\
          --student multilingual-e5-small/ --vocabulary-size 45000 --space base -o my-multilingual
    """
    from hpdsearch import distill as run
    from hpdsearch.distillation import recipe as recipes
    from hpdsearch.distillation.data.parallel import read_pairs
    from hpdsearch.distillation.export.model_card import Provenance
    from hpdsearch.distillation.spec import WeightedTeacher

    ctx = click.get_current_context()
    changes = _take_changes(ctx, options)
    provenance = Provenance(command=_describe_command(ctx))
    corpus = None
    pairs = read_pairs(parallel)
    queries: list[str] = []
    if recipe:
        read = recipes.read_recipe(recipe)
        drawn = recipes.draw_texts(read, _require_sources(texts))
        corpus, queries = drawn.texts, drawn.queries
        pairs = [*drawn.pairs, *pairs]
        provenance = recipes.describe_provenance(read, drawn, provenance.command)
        teachers = teachers or read.teachers
        student = student or read.student
        teacher_assistant = teacher_assistant or read.teacher_assistant
        changes, space = recipes.merge_recipe(read, changes, space)
    if not teachers or not student:
        raise click.UsageError("expected --teacher and --student, or a --recipe, which names them")
    try:
        made = run(
            open_corpus(texts, **options) if corpus is None else corpus,
            parallel=pairs,
            queries=queries,
            teacher=[WeightedTeacher.parse(name) for name in teachers],
            student=student,
            output=output,
            spec=recipes.make_spec(changes),
            space=space,
            teacher_assistant=teacher_assistant,
            cache=cache,
            overwrite=overwrite,
            force=force,
            device=device,
            provenance=provenance,
            progress=make_progress(),
        )
    except KeyboardInterrupt:
        raise click.ClickException(f"{output}: stopped; the same command continues where it stopped") from None
    if as_json:
        _echo_json(made)
    else:
        _echo(made, keeps_space=made.explained_energy is None and space is None)
    if not made.promoted:
        raise click.ClickException(
            f"{output}: a quality gate failed, so the new encoder was not promoted; it is in {made.folder}. Follow the "
            "recommendation above, or run the same command with --force, which does not train again"
        )


def _take_changes(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of the spec from `options`. Return those that were given, nested as the spec is."""
    changes: dict[str, Any] = {}
    for option in ctx.command.params:
        if not isinstance(option, SpecOption):
            continue
        assert option.name is not None
        value = options.pop(option.name)
        if value is None or value is False:
            continue
        *outer, last = option.path
        inner = changes
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return changes


def _require_sources(texts: tuple[str, ...]) -> Path:
    if len(texts) != 1 or not Path(texts[0]).is_dir():
        raise DistillError(f"TEXTS: expected one folder, the sources of the recipe, got {' '.join(texts)}")
    return Path(texts[0])


def _describe_command(ctx: click.Context) -> str:
    """Return the command line for the model card: the last part of each path, without options of no influence."""
    command = ["hpdsearch distill"]
    ignored = ("cache", "overwrite", "force", "device", "as_json")
    paths = ("parallel", "teachers", "student", "output", "recipe", "space", "teacher_assistant")
    for option in ctx.command.params:
        if not option.expose_value:  # -v and -q
            continue
        assert option.name is not None
        value = ctx.params[option.name]
        if option.name in ignored or ctx.get_parameter_source(option.name) is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(option, click.Argument):
            command += [Path(text).name for text in value]
        elif isinstance(option, click.Option) and option.is_flag:
            command.append(option.opts[-1])
        else:
            for each in value if option.multiple else (value,):
                shown = ",".join(map(str, each)) if isinstance(each, tuple) else str(each).removesuffix(".0")
                command.append(f"{option.opts[-1]} {Path(shown).name if option.name in paths else shown}")
    return " ".join(command)


def _echo(made: "Distilled", *, keeps_space: bool) -> None:
    width = f"{made.space.dim} of the {made.space.teacher_dim} directions of {made.space.teacher}"
    if made.explained_energy is not None:
        space = f"new, {width}, which explain {100 * made.explained_energy:.1f} % of its summed squares"
    elif keeps_space:
        space = f"the student's own, {width}; --dim makes a new one"
    else:
        space = f"as given, {width}"
    echo(f"texts:      {made.n_texts:,} to train on, {made.n_held_out:,} held out")
    echo(f"space:      {space}")
    for line in made.quality.summary:
        echo(line)
    if not made.has_plot:
        echo('plot:       not drawn (training/log.csv has the data); it needs: pip install "hpdsearch[plot]"')
    if made.promoted:
        from hpdsearch.encoder.folder import read_card

        size = sum((made.folder / name).stat().st_size for name in read_card(made.folder).sha256)
        forced = "" if made.quality.passed else " (by --force)"
        echo(f"encoder:    {made.folder}, {format_bytes(size)}{forced}")
        echo(f"use it:     hpdsearch index corpus.txt --encoder {made.folder}")


def _echo_json(made: "Distilled") -> None:
    echo_json(
        {
            "folder": str(made.folder),
            "promoted": made.promoted,
            "space": made.space.id,
            "dim": made.space.dim,
            "explained_energy": made.explained_energy,
            "n_texts": made.n_texts,
            "n_held_out": made.n_held_out,
            "quality": made.quality.as_dict(),
        }
    )
