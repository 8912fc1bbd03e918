import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_distillation import OPTIONS, make_models, make_texts
from tiny_teacher import make_tiny_teacher

from hpdsearch import Encoder
from hpdsearch.cli import main
from hpdsearch.cli.distill import _take_changes
from hpdsearch.distillation.gates import format_percent
from hpdsearch.distillation.spec import STATIC_TRAINING, LossSpec, TrainingSpec
from hpdsearch.encoder import read_space

pytestmark = pytest.mark.slow

FEW = ["--epochs", "0.2", "--learning-rate", "1e-9"]


def distill(folder: Path, *arguments: object) -> Result:
    """Run the command on the texts of a folder, with its models and its cache; bugs are raised."""
    fixed = ["--teacher", folder / "teacher", "--student", folder / "student", "--cache", folder / "cache"]
    words = ["distill", *fixed, *arguments]
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models, texts.txt and the sources of a recipe."""
    folder = make_models(tmp_path_factory.mktemp("models"))
    (folder / "texts.txt").write_text("\n".join(make_texts()) + "\n")
    (folder / "sources").mkdir()
    for name, part in (("one", make_texts()[:150]), ("two", make_texts()[150:])):
        with gzip.open(folder / "sources" / f"{name}.txt.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(part) + "\n")
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Path, Result]:
    """Return the encoder folder that the command made, and its output."""
    result = distill(folder, folder / "texts.txt", *OPTIONS, "-o", folder / "mine")
    return folder / "mine", result


def test_the_command_makes_an_encoder_and_says_how_to_use_it(made):
    encoder_folder, result = made
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "texts:      216 to train on, 24 held out"
    assert lines[1].startswith("space:      new, 16 of the 32 directions of teacher, which explain 9")
    assert sum(line.startswith("passed: ") for line in lines) == 3
    assert lines[-1] == f"use it:     hpdsearch index corpus.txt --encoder {encoder_folder}"
    assert Encoder.load(encoder_folder).space == read_space(encoder_folder / "space").id


def test_the_folder_holds_card_quality_report_log_plot_and_modules(made, folder):
    encoder_folder, result = made
    card = (encoder_folder / "README.md").read_text()
    command = " ".join(["distill --teacher teacher --student student texts.txt", *OPTIONS, "-o mine"])
    found, *_ = [line for line in card.splitlines() if line.startswith("hpdsearch distill")]
    assert sorted(found.split()) == sorted(f"hpdsearch {command}".replace("-o mine", "--output mine").split())
    assert str(folder) not in card
    report = json.loads((encoder_folder / "quality.json").read_text())
    assert f", encoder | {format_percent(report['agreement']['encoder'])} |" in card
    assert all(line in result.output for line in report["summary"])
    assert (encoder_folder / "training" / "log.csv").read_text().startswith("step,agreement,")
    assert "<svg" in (encoder_folder / "training" / "loss.svg").read_text()
    assert len(json.loads((encoder_folder / "modules.json").read_text())) == 4


def test_an_encoder_is_replaced_only_with_overwrite(made, folder):
    result = distill(folder, folder / "texts.txt", *OPTIONS, "-o", made[0])
    assert result.exit_code == 1
    assert "there is an encoder already; choose another folder, or give --overwrite" in result.output


def test_a_failed_gate_exits_1_and_force_promotes_the_encoder(made, folder):
    failing = (folder / "texts.txt", *OPTIONS, *FEW, "--dim", 1, "-o", folder / "failed")
    result = distill(folder, *failing)
    assert result.exit_code == 1
    assert "\nFAILED: the encoder is -" in result.output
    assert "points above BM25, at least 1 required" in result.output
    assert "failed/training/staging" in result.output
    assert not (folder / "failed" / "encoder.json").exists()
    forced = distill(folder, *failing, "--force", "--json")
    assert forced.exit_code == 0
    said = json.loads(forced.output.splitlines()[-1])
    encoder = Encoder.load(folder / "failed")
    assert (said["folder"], said["promoted"], said["quality"]["passed"]) == (str(folder / "failed"), True, False)
    assert (said["dim"], said["space"]) == (encoder.dim, encoder.space)
    assert said["n_texts"] == 216


def test_a_student_of_a_known_space_stays_in_it_and_the_output_says_so(made, folder):
    arguments = (folder / "texts.txt", *OPTIONS[2:], *FEW, "--student", made[0], "--force")
    result = distill(folder, *arguments, "-o", folder / "warm")
    assert "the student's own, 16 of the 32 directions of teacher" in result.output
    assert Encoder.load(folder / "warm").space == Encoder.load(made[0]).space
    result = distill(folder, *arguments, "--static", "--space", made[0], "-o", folder / "warm", "--overwrite")
    assert "as given, 16 of the 32 directions of teacher" in result.output
    assert Encoder.load(folder / "warm").kind.value == "static"
    assert not {"model.onnx", "0_Transformer"} & {path.name for path in (folder / "warm").iterdir()}
    result = distill(folder, *arguments, "--space", made[0], "--dim", 8, "-o", folder / "both")
    assert result.exit_code == 1
    assert "expected either a space or the projection" in result.output


def test_a_recipe_sets_the_options_that_the_command_line_omits(made, folder):
    loss = {"mse_weight": 5}
    training = {"epochs": 0.1, "batch_size": 24, "train_word_embeddings": True, "loss": loss, "learning_rate": 1e-9}
    recipe = {
        "name": "r",
        "teacher": "nobody/none",
        "student": str(folder / "student"),
        "mix": {"one": 1, "two": 2},
        "n_texts": 220,
        "seed": 5,
        "license": "Apache-2.0",
        "licenses": {"one": "CC0-1.0"},
        "spec": {"projection": {"dim": 16}, "layers": 1, "training": training},
    }
    (folder / "r.json").write_text(json.dumps(recipe))
    arguments = (folder / "sources", "--recipe", folder / "r.json", "--force", "--dim", 12)
    result = distill(folder, *arguments, "-o", folder / "cooked")
    assert result.exit_code == 0, result.output
    assert "texts:      198 to train on, 22 held out\nspace:      new, 12 of the 32" in result.output
    assert json.loads((folder / "cooked" / "config.json").read_text())["num_hidden_layers"] == 1
    card = (folder / "cooked" / "README.md").read_text()
    assert "| CC0-1.0 |" in card
    assert "| two |" in card
    settings = json.loads((folder / "cooked" / "training" / "settings.json").read_text())["spec"]
    assert (settings["seed"], settings["shuffle"], settings["training"]["epochs"]) == (5, False, 0.1)
    result = distill(folder, folder / "texts.txt", "--recipe", folder / "r.json", "-o", folder / "x")
    assert "expected one folder, the sources of the recipe" in result.output


def test_several_teachers_are_learned_together(folder):
    second = make_tiny_teacher(folder / "second", seed=3)
    arguments = (folder / "texts.txt", *OPTIONS, *FEW, "--teacher", f"{second}:0.7", "--force", "-o", folder / "both")
    result = distill(folder, *arguments)
    assert result.exit_code == 0, result.output
    assert "new, 16 of the 64 directions of teacher + 0.7 second, which" in result.output
    assert " --teacher teacher --teacher second:0.7 " in (folder / "both" / "README.md").read_text()
    result = distill(folder, folder / "texts.txt", "--teacher", f"{second}:0", "-o", folder / "x")
    assert result.exit_code == 1
    assert "second: expected a weight above 0, got 0" in result.output


def test_bad_input_is_a_one_line_error(folder):
    (folder / "empty.txt").write_text("\n")
    for arguments, message in (
        ((folder / "empty.txt", *OPTIONS), "expected documents, got only empty ones"),
        ((folder / "texts.txt", "--teacher", folder / "none"), "none: there is no such folder"),
        ((folder / "texts.txt", "--layers", "three"), "expected a count of layers (6) or layer numbers (0,2,5)"),
        ((folder / "texts.txt", *OPTIONS, "--layers", "0,7"), "layers: expected numbers in 0..1"),
        ((folder / "texts.txt", "--recipe", "no-such-recipe"), "recipe no-such-recipe: expected a JSON file or"),
    ):
        result = distill(folder, *arguments, "-o", folder / "nothing")
        assert result.exit_code in (1, 2)
        assert message in " ".join(result.output.split())
    result = CliRunner().invoke(main, ["distill", str(folder / "texts.txt"), "-o", "x", "--teacher", "y"])
    assert "expected --teacher and --student, or a --recipe" in result.output


def test_help_shows_the_defaults_of_the_specs():
    text = " ".join(CliRunner().invoke(main, ["distill", "--help"]).output.split())
    assert f"[default: {TrainingSpec().epochs}; static: {STATIC_TRAINING.epochs}]" in text
    assert f"[default: {LossSpec().similarity_weight}]" in text


def test_former_options_set_the_same_fields_and_help_hides_them(folder):
    renamed = {
        "--centred": ("projection.centered", None),
        "--train-words": ("training.train_word_embeddings", None),
        "--place": ("training.loss.mse_weight", 3.0),
        "--similarity": ("training.loss.similarity_weight", 2.0),
        "--ranking": ("training.loss.kl_weight", 1.0),
        "--variants": ("n_augmented", 2),
        "--teacher-texts": ("n_teacher_texts", 9),
        "--anchor": ("ensemble_weight", 0.5),
        "--untrained-share": ("interpolate_init", 0.25),
        "--restored": ("match_variance", 0.75),
    }
    given = [word for name, (_, value) in renamed.items() for word in (name, value) if word is not None]
    arguments = ["texts", "-o", "x", "--assistant", "base", *map(str, given)]
    command = main.get_command(None, "distill")
    with command.make_context("distill", arguments) as ctx:
        options = dict(ctx.params)
        changes = _take_changes(ctx, options)
    for path, value in renamed.values():
        found = changes
        for name in path.split("."):
            found = found[name]
        assert found == (True if value is None else value), path
    assert options["teacher_assistant"] == "base"
    text = CliRunner().invoke(main, ["distill", "--help"]).output
    assert not {*renamed, "--assistant"} & {*text.replace(",", " ").split()}


def test_parallel_texts_are_learned_and_their_quality_is_reported(folder):
    with gzip.open(folder / "pairs.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{text}\t{text[::-1]}\txx\n" for text in make_texts(n=300, seed=3))
    options = (*OPTIONS, *FEW, "--parallel", folder / "pairs.tsv.gz", "--vocabulary-size", 100, "--force")
    result = distill(folder, folder / "texts.txt", *options, "-o", folder / "translating")
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("translated: ")]
    assert "held-out translations are nearest to their own text among 5" in line
    card = (folder / "translating" / "README.md").read_text()
    assert "--parallel pairs.tsv.gz" in card
    assert str(folder) not in card
    wrong = distill(folder, folder / "texts.txt", "--parallel", folder / "texts.txt", "-o", folder / "wrong")
    assert wrong.exit_code == 1
    assert "texts.txt: expected parallel texts in a file .tsv" in wrong.output


def test_a_recipe_with_parallel_texts_learns_them(folder):
    with gzip.open(folder / "sources" / "talks.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{text}\t{text[::-1]}\txx\n" for text in make_texts(n=300, seed=4))
    recipe = {"name": "r", "teacher": "x", "student": "x", "mix": {"one": 1}, "n_texts": 150, "parallel": ["talks"]}
    (folder / "parallel.json").write_text(json.dumps(recipe))
    options = (*OPTIONS, *FEW, "--force", "--recipe", folder / "parallel.json", "-o", folder / "talking")
    result = distill(folder, folder / "sources", *options)
    assert result.exit_code == 0, result.output
    assert "| talks | 300 | not stated |" in (folder / "talking" / "README.md").read_text()
