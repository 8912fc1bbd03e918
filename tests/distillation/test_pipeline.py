import csv
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_distillation
from safetensors.numpy import load_file
from tiny_distillation import DIM, MOMENTS, SPEC, TRAINING, make_models, make_texts, read_files, run
from tiny_encoder import WORDS, make_tiny_encoder, make_tiny_static, tiny_tokenizer
from tiny_teacher import make_plain_teacher, make_tiny_teacher
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import BertProcessing

import hpdsearch
from hpdsearch import Encoder, Index, WeightedTeacher
from hpdsearch.common.files import file_sha256
from hpdsearch.distillation.data.parallel import Pair
from hpdsearch.distillation.data.split import split_texts
from hpdsearch.distillation.pipeline import Distilled
from hpdsearch.distillation.spec import DistillSpec, GateSpec, LossSpec, Precision, ProjectionSpec
from hpdsearch.distillation.staging import RESUMABLE
from hpdsearch.distillation.teacher.ensemble import TeacherEnsemble
from hpdsearch.distillation.teacher.teacher import Teacher
from hpdsearch.encoder import read_space
from hpdsearch.encoder.query_adapter import fit_query_adapter
from hpdsearch.errors import DistillError, EncoderError
from hpdsearch.records import Document

pytestmark = pytest.mark.slow

UNREACHABLE = GateSpec(min_relative_agreement=1.5)
QUICK = replace(SPEC, training=replace(TRAINING, epochs=0.2))  # for tests in which the learned weights do not matter


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def distilled(models: Path) -> Distilled:
    """Return a distillation without interruption, in models/uninterrupted/encoder. Tests must not change it."""
    return run(models, models / "uninterrupted")


@pytest.fixture
def work_folder(models: Path, distilled: Distilled, tmp_path: Path) -> Path:
    """Return a folder with a copy of the cache."""
    shutil.copytree(models / "uninterrupted" / "cache", tmp_path / "cache")
    return tmp_path


def read_agreements(folder: Path) -> list[float]:
    """Return the held-out agreements of a training, the untrained student's first."""
    with (folder / "training" / "log.csv").open(newline="") as file:
        return [float(row["agreement"]) for row in csv.DictReader(file)]


def test_the_encoder_approaches_the_projected_teacher(models, distilled):
    texts = make_texts(n=100, seed=9)
    space = read_space(distilled.folder / "space")
    wanted = space.project(Teacher.load(models / "teacher").encode(texts))
    encoder, before = Encoder.load(distilled.folder), Encoder.load(models / "student")
    assert (distilled.promoted, distilled.folder, encoder.name) == (
        True,
        models / "uninterrupted" / "encoder",
        "encoder",
    )
    assert encoder.space == space.id == distilled.space.id
    assert (encoder.encode(texts) * wanted).sum(axis=1).mean() > 0.8
    assert abs((before.encode(texts) * wanted).sum(axis=1).mean()) < 0.5


def test_the_explained_energy_is_that_of_the_fitted_texts(models, distilled):
    fitted = split_texts(make_texts(), SPEC).fitted
    squares = np.linalg.svd(Teacher.load(models / "teacher").encode(fitted), compute_uv=False) ** 2
    assert distilled.explained_energy == pytest.approx(squares[:DIM].sum() / squares.sum(), abs=1e-3)


def test_another_seed_gives_another_encoder_and_an_equal_one_equal_bytes(models, distilled, work_folder):
    hashes = [
        Encoder.load(
            run(models, work_folder, spec=replace(QUICK, seed=seed), output=work_folder / name / "x", force=True).folder
        ).sha256
        for name, seed in (("one", 0), ("again", 0), ("other", 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_training_leaves_only_the_log_and_the_settings(distilled):
    left = {path.name for path in (distilled.folder / "training").iterdir()}
    assert left == {"log.csv", "loss.svg", "settings.json", "write.lock"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it kills processes")
def test_a_distillation_killed_at_any_stage_resumes_to_the_same_bytes(models, distilled):
    script = [sys.executable, tiny_distillation.__file__, str(models)]
    paths = os.pathsep.join([*sys.path])
    done = subprocess.run(script, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths})
    codes = done.stdout.split()
    assert len(codes) == len(MOMENTS) + 1, done.stderr
    assert {*codes} == {"-9", "0"}, done.stderr
    assert codes.index("0") >= len(MOMENTS) - 1, "all but the last, which comes within milliseconds of the end"
    found, expected = read_files(models / "killed" / "encoder"), read_files(distilled.folder)
    # The last kill may come after the promotion, which removes these files at its very end.
    left = {name for name in found.keys() - expected.keys() if Path(name).parts[1] in RESUMABLE}
    assert {name: content for name, content in found.items() if name not in left} == expected


def test_a_corrupt_cache_shard_is_embedded_again_to_equal_bytes(models, distilled, work_folder, caplog):
    (shard,) = (work_folder / "cache").rglob("shard-*.safetensors")
    damaged = bytearray(shard.read_bytes())
    damaged[-100] ^= 1
    shard.write_bytes(damaged)
    run(models, work_folder)
    assert "missing or corrupt" in caplog.text
    assert read_files(work_folder / "encoder") == read_files(distilled.folder)


def test_a_full_disk_is_a_clear_error_and_the_run_resumes_with_free_space(models, distilled, work_folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (1000, 20_000, 60_000):  # bytes: space, exported encoder or checkpoint, float32 modules
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(
                DistillError, match=r"cannot be (read or )?written .*free disk space and run the command"
            ):
                run(models, work_folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not (work_folder / "encoder" / "encoder.json").exists()
    run(models, work_folder)
    assert read_files(work_folder / "encoder") == read_files(distilled.folder)


def test_changed_texts_start_a_new_training(models, distilled, work_folder, caplog):
    spec, texts = replace(QUICK, gates=UNREACHABLE), make_texts(n=250, seed=5)
    first = Encoder.load(run(models, work_folder, spec=spec).folder).sha256  # this run leaves its checkpoint
    again, fresh = (
        run(models, folder, texts, spec=spec, cache=work_folder / "cache")
        for folder in (work_folder, work_folder / "new")
    )
    assert read_files(again.folder) == read_files(fresh.folder)
    assert caplog.text.count("checkpoint.bin: has other settings or texts") == 1
    assert Encoder.load(again.folder).sha256 != first


def test_after_a_failed_gate_the_old_encoder_stays_and_nothing_is_trained_again(models, distilled, work_folder):
    old = shutil.copytree(distilled.folder, work_folder / "encoder")
    worse = replace(QUICK, gates=UNREACHABLE)
    failed = run(models, work_folder, spec=worse, overwrite=True)
    assert not failed.promoted
    assert Encoder.load(old).sha256 == Encoder.load(distilled.folder).sha256 != Encoder.load(failed.folder).sha256
    trained = file_sha256(old / "training" / "checkpoint.bin"), (old / "training" / "checkpoint.bin").stat().st_mtime_ns
    precise = run(models, work_folder, spec=replace(worse, precision=Precision.FLOAT32), overwrite=True)
    checkpoint = old / "training" / "checkpoint.bin"
    assert (file_sha256(checkpoint), checkpoint.stat().st_mtime_ns) == trained
    forced = run(models, work_folder, spec=replace(worse, precision=Precision.FLOAT32), overwrite=True, force=True)
    assert forced.promoted
    assert not forced.quality.passed
    assert precise.quality == forced.quality
    assert not checkpoint.exists()
    assert Encoder.load(old).sha256 != Encoder.load(distilled.folder).sha256


def test_a_student_of_a_space_of_the_teacher_stays_in_that_space(models, distilled, work_folder):
    spec = replace(QUICK, projection=None)
    first = run(models, work_folder, spec=replace(SPEC, precision=Precision.FLOAT32))
    warm = run(models, work_folder, spec=spec, student=first.folder, output=work_folder / "warm", force=True)
    assert (warm.explained_energy, warm.space.id) == (None, distilled.space.id)
    assert read_agreements(warm.folder)[0] == pytest.approx(max(read_agreements(first.folder)), abs=1e-6)
    narrow = replace(QUICK, projection=ProjectionSpec(dim=8))
    other = run(models, work_folder, spec=narrow, student=first.folder, output=work_folder / "narrow")
    assert other.space.dim == 8
    make_tiny_teacher(work_folder / "other-teacher", seed=1)
    with pytest.raises(DistillError, match=r"space: expected one of teacher other-teacher .* got one of teacher"):
        run(
            models,
            work_folder,
            spec=spec,
            teacher=work_folder / "other-teacher",
            space=distilled.folder,
            output=work_folder / "x",
        )


def test_encoders_of_one_space_search_each_others_indexes(models, distilled, work_folder):
    spec = DistillSpec(training=TRAINING)
    small = run(
        models,
        work_folder,
        spec=replace(spec, layers=(0,)),
        space=distilled.folder,
        output=work_folder / "small",
        force=True,
    )
    quick = replace(TRAINING, learning_rate=0.05, epochs=15)
    static = run(
        models,
        work_folder,
        spec=DistillSpec(static=True, training=quick),
        student=distilled.folder,
        output=work_folder / "static",
    )
    texts = make_texts(n=40, seed=3)
    documents = [Document(text, text) for text in texts]
    Index.build(work_folder / "index", documents, encoder=distilled.folder).close()
    for member in (small.folder, static.folder):
        with Index.open(work_folder / "index", encoder=member) as index:
            hits = index.search(texts, 3, mode="dense")
        assert np.mean([text in [hit.doc_id for hit in found] for text, found in zip(texts, hits, strict=True)]) > 0.7
    foreign = make_tiny_encoder(work_folder / "foreign")
    with (
        Index.open(work_folder / "index", encoder=foreign) as index,
        pytest.raises(EncoderError, match=r"index again with --overwrite --encoder .*foreign"),
    ):
        index.search("cat")


def test_several_teachers_make_one_space_and_one_target(models, work_folder):
    make_tiny_teacher(work_folder / "second", seed=3)
    teachers = [models / "teacher", WeightedTeacher(work_folder / "second", 0.7)]
    done = run(models, work_folder, teacher=teachers, spec=replace(SPEC, precision=Precision.FLOAT32), force=True)
    ensemble = TeacherEnsemble.load(teachers)
    assert (done.space.teacher, done.space.teacher_hash) == ("teacher + 0.7 second", ensemble.sha256)
    texts = make_texts(n=100, seed=9)
    wanted = done.space.project(ensemble.encode(texts))
    assert (Encoder.load(done.folder).encode(texts) * wanted).sum(axis=1).mean() > 0.75
    card = (done.folder / "README.md").read_text()
    assert "- teacher\n- second\n" in card
    assert "| second |" in card
    with pytest.raises(DistillError, match=r"space: expected one of teacher teacher .* got one of teacher \+ 0\.7"):
        run(models, work_folder, space=done.folder, spec=replace(SPEC, projection=None), output=work_folder / "x")


def test_the_teacher_assistant_embeds_the_remaining_texts(models, distilled, work_folder):
    spec = replace(QUICK, projection=None, n_teacher_texts=100)
    with pytest.raises(DistillError, match="expected a teacher assistant for the other 116 texts, got none"):
        run(models, work_folder, spec=spec, space=distilled.folder)
    with pytest.raises(DistillError, match="teacher assistant: expected an encoder of the space"):
        run(models, work_folder, spec=spec, space=distilled.folder, teacher_assistant=models / "student")
    shorter = replace(spec, min_teacher_words=1000)
    with pytest.raises(DistillError, match="min_teacher_words: expected training texts of at least 1000 words"):
        run(models, work_folder, spec=shorter, space=distilled.folder, teacher_assistant=distilled.folder)
    cache = work_folder / "empty"
    done = run(
        models,
        work_folder,
        spec=spec,
        space=distilled.folder,
        teacher_assistant=distilled.folder,
        cache=cache,
        force=True,
    )
    assert done.n_texts == 216
    (manifest,) = cache.rglob("manifest.json")
    assert '"rows": 124' in manifest.read_text()  # 100 texts and the 24 held-out ones


def test_a_larger_ensemble_weight_moves_the_student_towards_the_assistant(models, distilled, work_folder):
    texts = make_texts(n=60, seed=4)
    spec = replace(SPEC, projection=None, precision=Precision.FLOAT32)
    teacher = distilled.space.project(Teacher.load(models / "teacher").encode(texts))
    quick = replace(QUICK, projection=None, seed=5)
    other = run(models, work_folder, spec=quick, output=work_folder / "other", space=distilled.folder, force=True)
    assistant = Encoder.load(other.folder).encode(texts)
    nearness = []  # to the teacher, to the assistant
    for anchor in (0.0, 1.0, 3.0):
        options = {
            "space": distilled.folder,
            "teacher_assistant": other.folder,
            "output": work_folder / f"{anchor:g}",
            "force": True,
        }
        vectors = Encoder.load(
            run(models, work_folder, spec=replace(spec, ensemble_weight=anchor), **options).folder
        ).encode(texts)
        nearness.append([float((vectors * wanted).sum(axis=1).mean()) for wanted in (teacher, assistant)])
    to_teacher, to_assistant = np.transpose(nearness)
    assert to_teacher[0] > to_teacher[1] > to_teacher[2]
    assert to_assistant[0] < to_assistant[1] < to_assistant[2]


def test_with_a_large_ensemble_weight_of_itself_the_student_hardly_changes(models, distilled, work_folder):
    training = replace(TRAINING, learning_rate=1e-4)  # Adam makes steps even of gradients that are almost 0
    spec = replace(SPEC, projection=None, training=training, ensemble_weight=1000.0, precision=Precision.FLOAT32)
    first = run(models, work_folder, spec=replace(SPEC, precision=Precision.FLOAT32), output=work_folder / "first")
    again = run(models, work_folder, spec=spec, student=first.folder, output=work_folder / "again", force=True)
    texts = make_texts(n=60, seed=4)
    vectors = [Encoder.load(done.folder).encode(texts) for done in (first, again)]
    assert (vectors[0] * vectors[1]).sum(axis=1).mean() > 0.99


def test_interpolation_averages_initial_and_final_weights_without_training_again(models, distilled, work_folder):
    spec = replace(SPEC, gates=UNREACHABLE, precision=Precision.FLOAT32)
    weights, written = [], set()
    for share in (0.0, 1.0, 0.25):
        failed = run(models, work_folder, spec=replace(spec, interpolate_init=share))
        weights.append(load_file(failed.folder / "model.safetensors"))
        written.add((work_folder / "encoder" / "training" / "checkpoint.bin").stat().st_mtime_ns)
    assert len(written) == 1
    for name, mixed in weights[2].items():
        np.testing.assert_allclose(mixed, 0.75 * weights[0][name] + 0.25 * weights[1][name], atol=1e-6)
    assert any(np.abs(weights[0][name] - weights[1][name]).max() > 1e-3 for name in weights[0])


@pytest.mark.parametrize("static", [False, True])
def test_match_variance_gives_dimensions_the_teachers_mean_squares(models, distilled, work_folder, static):
    spec = replace(SPEC if not static else DistillSpec(static=True, training=TRAINING), precision=Precision.FLOAT32)
    texts = split_texts(make_texts(), spec).fitted
    wanted = distilled.space.project(Teacher.load(models / "teacher").encode(texts))
    distances = []
    for restored in (0.0, 0.5, 1.0):
        done = run(
            models,
            work_folder,
            spec=replace(spec, projection=None, match_variance=restored),
            space=distilled.folder,
            output=work_folder / f"{restored:g}",
            force=True,
        )
        found = Encoder.load(done.folder).encode(texts)
        distances.append(np.abs(np.log((found**2).mean(axis=0) / (wanted**2).mean(axis=0))).mean())
    assert distances[0] > distances[1] > distances[2]


def test_a_trimmed_vocabulary_holds_the_tokens_of_the_training_texts(models, distilled, work_folder):
    texts = [text for text in make_texts() if "queen" not in text.split()]
    trimmed = run(models, work_folder, texts, spec=replace(QUICK, trim_vocabulary=True), force=True)
    sizes = [len(Encoder.load(folder).token_spans(["queen"])[0]) for folder in (trimmed.folder, distilled.folder)]
    assert sizes == [5, 1]  # split into pieces


def test_a_vocabulary_size_keeps_the_most_frequent_tokens(models, distilled, work_folder):
    texts = [*make_texts(), *(f"the king of {text}" for text in make_texts())]
    n_words = len(Encoder.load(models / "student").token_spans([" ".join(WORDS)])[0])
    small = run(models, work_folder, texts, spec=replace(QUICK, vocabulary_size=90), force=True)
    encoder = Encoder.load(small.folder)
    assert Tokenizer.from_file(str(small.folder / "tokenizer.json")).get_vocab_size() == 90
    assert len(encoder.token_spans(["the king of"])[0]) == 3
    assert len(encoder.token_spans([" ".join(WORDS)])[0]) > n_words


def test_translations_get_the_vectors_of_their_texts(models, distilled, work_folder):
    half = len(WORDS) // 2
    foreign = dict(zip(WORDS[:half], WORDS[half : 2 * half], strict=True))
    rng = np.random.default_rng(1)
    texts = list(dict.fromkeys(" ".join(rng.choice(WORDS[:half], rng.integers(2, 6))) for _ in range(500)))
    pairs = [Pair(text, " ".join(foreign[word] for word in text.split()), "xx") for text in texts[100:]]
    made = run(models, work_folder, texts[:200], parallel=pairs, force=True)
    n_held_out_pairs = made.quality.translations.n_pairs
    assert made.n_texts + made.n_held_out + n_held_out_pairs == len(texts) + len(pairs)
    space, encoder = read_space(made.folder / "space"), Encoder.load(made.folder)
    new = [" ".join(rng.choice(WORDS[:half], 4)) for _ in range(80)]
    translations = [" ".join(foreign[word] for word in text.split()) for text in new]
    wanted = space.project(Teacher.load(models / "teacher").encode(new))
    assert (encoder.encode(new) * wanted).sum(axis=1).mean() > 0.8
    assert (encoder.encode(translations) * wanted).sum(axis=1).mean() > 0.8
    assert made.quality.translations.found["xx"] > 0.7
    assert json.loads((made.folder / "quality.json").read_text())["translations"]["mean"] > 0.7
    card = (made.folder / "README.md").read_text()
    assert "\n- xx\n" in card
    assert "% of held-out translations nearest to their own text among" in card


def test_queries_give_the_encoder_an_adapter_and_change_nothing_else(models, distilled, work_folder):
    queries = [f"{one} {other} {one}" for one in WORDS[:10] for other in WORDS[10:20]]
    made = run(models, work_folder, queries=queries)
    encoder, plain = Encoder.load(made.folder), Encoder.load(distilled.folder)
    np.testing.assert_array_equal(encoder.encode(queries), plain.encode(queries))
    training = split_texts(make_texts(), SPEC, ()).training
    expected = fit_query_adapter(plain.encode(queries), plain.encode([t for t in training if t not in queries]))
    np.testing.assert_allclose(encoder.encode_queries(queries), expected(plain.encode(queries)), atol=1e-6)
    assert "| query adapter | fitted to 100 queries and" in (made.folder / "README.md").read_text()
    assert "query adapter" not in (distilled.folder / "README.md").read_text()


def test_documents_are_split_into_passages_and_strings_are_not(models, distilled, work_folder):
    documents = [Document(str(number), " ".join([text] * 5)) for number, text in enumerate(make_texts())]
    cut = run(models, work_folder, documents, spec=QUICK, force=True)
    assert cut.n_texts + cut.n_held_out > 240
    strings = run(models, work_folder, [*make_texts(), make_texts()[0]], spec=QUICK, output=work_folder / "strings")
    assert strings.n_texts + strings.n_held_out == 240


def test_hpdsearch_distill_is_the_function(models, work_folder):
    with pytest.raises(DistillError, match="one string"):
        hpdsearch.distill("text", teacher=models / "teacher", student=models / "student", output=work_folder / "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": Path("no-such-teacher")}, "no-such-teacher: there is no such folder"),
        ({"texts": make_texts(n=100)}, "texts: expected at least 200 different passages"),
        ({"texts": [Document("1", " ")]}, "expected documents with text"),
        ({"texts": [Document("1", "a"), "b"]}, "expected strings alone or documents alone, got a str"),
        ({"texts": ["b", Document("1", "a")]}, "expected strings alone or documents alone, got a Document"),
        ({"teacher": "wide", "spec": DistillSpec()}, "texts: expected at least 256 .dim. to fit the space to, got 225"),
        ({"spec": DistillSpec()}, "dim: expected at most 32 .the teacher's width., got 256"),
        ({"teacher": "wide", "spec": replace(SPEC, projection=ProjectionSpec(dim=40))}, "at most 32 .width of student"),
        ({"spec": replace(SPEC, static=True, training=None)}, "at least 512 .a batch. to train on, got 225"),
        ({"student": "static"}, "expected a Transformer as the student, got a static encoder"),
        ({"student": "mpnet"}, "expected a BERT-like model .* got mpnet"),
        ({"student": "unframed"}, "one special token before a text and one after, got 0"),
        ({"space": "no-such-space"}, "space no-such-space: expected a space folder"),
        ({"space": "static"}, "space .*: expected a space folder"),
        ({"output": "teacher"}, "expected a new or empty folder, found other files"),
        ({"output": "student", "student": "student"}, "is made from the one in this folder"),
        ({"spec": replace(SPEC, training=replace(TRAINING, learning_rate=1e4))}, "diverged: .*lower --learning-rate"),
    ],
)
def test_an_impossible_distillation_is_an_error_before_any_work(
    models, distilled, work_folder, invalid_models, options, message
):
    options = {"texts": make_texts(n=250), **options}
    for key in options.keys() & {"teacher", "student", "space", "output"}:
        options[key] = invalid_models / options[key] if (invalid_models / str(options[key])).exists() else options[key]
    if "space" in options:
        options["spec"] = replace(SPEC, projection=None)
    with pytest.raises((DistillError, EncoderError), match=message):
        run(models, work_folder, **options)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(SPEC, layers=0), "layers: expected 1..2"),
        (
            replace(SPEC, training=replace(TRAINING, loss=LossSpec(mse_weight=0, similarity_weight=0))),
            "loss: expected a weight above",
        ),
        (replace(SPEC, trim_vocabulary=True), "only a WordPiece or Unigram tokenizer can be trimmed, got WordLevel"),
    ],
)
def test_an_impossible_training_is_an_error_before_the_teacher_embeds_texts(models, tmp_path, spec, message):
    student = make_plain_teacher(tmp_path / "student")
    if spec.trim_vocabulary:
        tokenizer = Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}, unk_token="[UNK]"))
        tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        tokenizer.save(str(student / "tokenizer.json"))
    with pytest.raises(DistillError, match=message):
        run(models, tmp_path, spec=spec, student=student)
    assert not [*(tmp_path / "cache").rglob("shard-*")]


@pytest.fixture(scope="module")
def invalid_models(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """Return the models, with further ones that are invalid."""
    folder = tmp_path_factory.mktemp("invalid")
    make_tiny_teacher(folder / "wide", dense=(300, "activation.Tanh"))
    make_plain_teacher(folder / "mpnet", mpnet=True)
    make_tiny_static(folder / "static")
    unframed = make_plain_teacher(folder / "unframed")
    tokenizer = tiny_tokenizer()
    tokenizer.post_processor = None
    tokenizer.save(str(unframed / "tokenizer.json"))
    for name in ("teacher", "student"):
        shutil.copytree(models / name, folder / name)
    return folder
