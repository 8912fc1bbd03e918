"""A real distillation that takes a second: the tiny teacher into the tiny encoder, on 240 texts of a few words.

As a script it distills in child processes that are killed at each stage, one after the other. Its argument is a folder
with teacher/ and student/; the result of the killed runs is in killed/encoder.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_encoder import WORDS, make_tiny_encoder
from tiny_teacher import make_tiny_teacher

from hpdsearch.distillation.pipeline import Distilled, distill
from hpdsearch.distillation.spec import DistillSpec, LossSpec, ProjectionSpec, TrainingSpec

DIM = 16
TRAINING = TrainingSpec(
    epochs=6,
    batch_size=24,
    learning_rate=0.015,
    train_word_embeddings=True,
    loss=LossSpec(mse_weight=5.0),
    bfloat16=False,
    n_measurements=20,
)
SPEC = DistillSpec(training=TRAINING, projection=ProjectionSpec(dim=DIM))
OPTIONS = f"--dim {DIM} --epochs 6 --batch-size 24 --learning-rate 0.015 --train-word-embeddings --mse-weight 5".split()
# A child is killed when this file appears or changes, and up to so many seconds later.
MOMENTS = (
    ("cache", 0.0),
    ("encoder/training/settings.json", 0.1),
    ("encoder/training/log.csv", 0.3),
    ("encoder/training/checkpoint.bin", 0.1),
    ("encoder/training/staging/encoder.json", 0.1),
    ("encoder/training/staging/modules.json", 0.0),
)


def make_texts(n: int = 240, seed: int = 0) -> list[str]:
    """Return n different texts of two to six words."""
    rng = np.random.default_rng(seed)
    texts: dict[str, None] = {}
    while len(texts) < n:
        texts[" ".join(rng.choice(WORDS[7:], rng.integers(2, 7)))] = None
    return list(texts)


def make_models(folder: Path) -> Path:
    """Write teacher/ and student/ into a folder."""
    torch.set_num_threads(1)
    make_tiny_teacher(folder / "teacher")
    make_tiny_encoder(folder / "student")
    return folder


def run(models: Path, folder: Path, texts: list[str] | None = None, **options: Any) -> Distilled:
    """Distill into folder/encoder, with the teacher's embeddings in folder/cache."""
    torch.set_num_threads(1)
    arguments = {
        "teacher": models / "teacher",
        "student": models / "student",
        "spec": SPEC,
        "output": folder / "encoder",
    }
    return distill(texts or make_texts(), **(arguments | {"cache": folder / "cache"} | options))


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_mtime(path: Path) -> int:
    """Return a number that changes when a file appears or changes."""
    return path.stat().st_mtime_ns if path.exists() else 0


def fork_child(models: Path, folder: Path) -> int:
    """Distill in a child and return its process id."""
    number = os.fork()
    if not number:
        if not (
            folder / "encoder" / "encoder.json"
        ).exists():  # otherwise an earlier child finished before it was killed
            run(models, folder)
        os._exit(0)
    return number


def kill_at_each_moment(models: Path) -> None:
    """Distill in children that are killed at each moment, and print the exit code of each."""
    import matplotlib.figure  # noqa: F401  what every child would load again
    import transformers.models.bert.modeling_bert  # noqa: F401

    from hpdsearch.encoder.runtimes import import_onnxruntime

    import_onnxruntime()
    torch.optim.AdamW([torch.zeros(1)])
    rng = random.Random(4)
    (models / "killed").mkdir()
    for name, longest in (*MOMENTS, (None, 0.0)):
        path = models / "killed" / (name or "")
        seen, number = read_mtime(path), fork_child(models, models / "killed")
        ended, status = os.waitpid(number, os.WNOHANG if name else 0)
        while not ended and read_mtime(path) == seen:
            time.sleep(0.0005)
            ended, status = os.waitpid(number, os.WNOHANG)
        if not ended:
            time.sleep(rng.uniform(0, longest))
            os.kill(number, signal.SIGKILL)
            status = os.waitpid(number, 0)[1]
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    kill_at_each_moment(Path(sys.argv[1]))
