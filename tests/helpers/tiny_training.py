"""A real training that takes half a second: the tiny Transformer learns the vectors of a table of tokens.

As a script it trains in child processes that are killed at random moments: ENCODER FOLDER KILLS.
"""

import multiprocessing
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tiny_encoder import MAX_TOKENS, make_tiny_encoder, tiny_table

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.distillation.data.texts import TrainingSet
from hpdsearch.distillation.spec import TrainingSpec
from hpdsearch.distillation.student.initial_model import load_initial_model
from hpdsearch.distillation.student.student import StaticStudent, TransformerStudent, tokenize
from hpdsearch.distillation.training.trainer import CHECKPOINT, LOG, train

SPEC = TrainingSpec(epochs=2.5, batch_size=16, learning_rate=3e-3, group_size=4, bfloat16=False, n_measurements=30)
DIM = 16
WORDS = np.array(["cat", "dog", "bird", "fish", "sun", "rain", "snow", "wind", "song", "war"])


def make_student(folder: Path) -> TransformerStudent:
    """Return the tiny encoder as a student; its folder is made if it is missing."""
    init_model = load_initial_model(folder if folder.is_dir() else make_tiny_encoder(folder, dim=DIM))
    return TransformerStudent(init_model, init_model.tensors)


def make_texts(student: TransformerStudent) -> tuple[TrainingSet, TrainingSet]:
    """Return 200 texts to train on and 50 held out; targets are the means of seeded token vectors."""
    rng = np.random.default_rng(0)
    texts = sorted({" ".join(rng.choice(WORDS, rng.integers(2, 8))) for _ in range(300)})
    assert len(texts) >= 250
    ids = tokenize(student.init_model, texts[:250], max_tokens=MAX_TOKENS)
    targets = StaticStudent(student.init_model, tiny_table(DIM)).embed(ids).numpy()
    held_out = np.arange(250) % 5 == 0
    return tuple(
        TrainingSet([ids[position] for position in np.flatnonzero(part)], targets[part])
        for part in (~held_out, held_out)
    )


def run(
    encoder: Path,
    folder: Path,
    spec: TrainingSpec = SPEC,
    *,
    checkpoint_minutes: float = 0.0,
    progress: Progress = SILENT,
) -> tuple[TransformerStudent, float]:
    """Start or resume the training in `folder`; return the student and its agreement."""
    torch.set_num_threads(1)
    student = make_student(encoder)
    texts, held_out = make_texts(student)
    best = train(student, texts, held_out, spec, folder, checkpoint_minutes=checkpoint_minutes, progress=progress)
    return student, best


def read_progress(folder: Path) -> int:
    """Return a number that changes whenever the training in a folder advances."""
    return (folder / LOG).stat().st_mtime_ns if (folder / LOG).exists() else 0


def train_and_kill(encoder: Path, folder: Path, kills: int) -> None:
    """Train in children, killing some; print for each killed one whether it left a checkpoint, then the exit code."""
    torch.optim.AdamW([torch.zeros(1)])  # imports modules for a second, which every child would import again
    moments = random.Random(3)
    for number in range(kills + 1):
        child = multiprocessing.get_context("fork").Process(target=run, args=(encoder, folder))
        child.start()
        for _ in range(moments.randint(1, 5) if number < kills else 0):
            seen = read_progress(folder)
            while child.is_alive() and read_progress(folder) == seen:
                time.sleep(0.001)
        if number < kills:
            time.sleep(moments.uniform(0, 0.03))
            child.kill()
        child.join()
        sys.stdout.write(f"{child.exitcode} {(folder / CHECKPOINT).is_file()}\n")


if __name__ == "__main__":
    train_and_kill(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
