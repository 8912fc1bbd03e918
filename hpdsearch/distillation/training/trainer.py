"""The training loop: batches of similar texts, selection of the best checkpoint, and exact resume."""

import csv
import hashlib
import math
import re
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hpdsearch.common.progress import SILENT, Progress, skip
from hpdsearch.distillation.checkpoint import read_checkpoint, write_checkpoint
from hpdsearch.distillation.data.texts import Ids, TrainingSet
from hpdsearch.distillation.spec import TrainingSpec
from hpdsearch.distillation.student.student import Student, embed_ids
from hpdsearch.distillation.teacher.runtime import fastest_dtype
from hpdsearch.distillation.training.batches import group_near_texts
from hpdsearch.distillation.training.losses import distillation_losses
from hpdsearch.distillation.training.schedule import Schedule
from hpdsearch.distillation.workers import Workers
from hpdsearch.encoder.bert import HEAD, WORD_EMBEDDINGS, count_layers
from hpdsearch.encoder.static_backend import TABLE
from hpdsearch.errors import DistillError
from hpdsearch.evaluation import nearest_neighbors, neighbor_overlap

LOG = "log.csv"
CHECKPOINT = "checkpoint.bin"
# Below this share of the best agreement a training has diverged. The loss of unit vectors is bounded, so it shows less.
DIVERGENCE_RATIO = 0.5
LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
LOG_WINDOW = 50  # steps; their mean loss is logged


def train(
    student: Student,
    texts: TrainingSet,
    held_out: TrainingSet,
    spec: TrainingSpec,
    folder: Path,
    *,
    checkpoint_minutes: float = 3.0,
    progress: Progress = SILENT,
) -> float:
    """Train a student in place and restore its best checkpoint.

    A run that was killed continues at the last checkpoint in `folder`. It ends with the same result, unless
    spec.minutes limits its time.

    Args:
        student: its tensors are changed.
        texts: the training texts.
        held_out: texts that are not trained on. The best checkpoint is the one with the highest agreement: the mean
            share of the teacher's 10 nearest neighbors among these texts that are also among the student's.
        spec: settings.
        folder: of this training alone. It holds the checkpoint and log.csv.
        checkpoint_minutes: time between checkpoints.
        progress: counts the texts, those of measurements by their share of the time.

    Returns:
        The best agreement, 0..1.

    Raises:
        DistillError: there are fewer texts than batch_size, the training diverged, or `folder` holds the checkpoint of
            another training.
    """
    n_texts = len(texts.token_ids)
    if n_texts < spec.batch_size:
        raise DistillError(f"texts: expected at least {spec.batch_size} (a batch) to train on, got {n_texts}")
    with Workers.of_device(student.device) as workers:
        trainer = _Trainer(student, texts, held_out, spec, folder, workers)
        _train_loop(trainer, checkpoint_minutes, progress)
    return trainer.restore_best()


def _train_loop(trainer: "_Trainer", checkpoint_minutes: float, progress: Progress) -> None:
    """Run the remaining steps."""
    schedule = trainer.schedule
    done = schedule.done_texts()
    bar = progress.phase("train", total=schedule.all_texts(), unit="text")
    skip(bar, done)
    saved_at = time.monotonic()
    try:
        while not trainer.has_ended:
            trainer.step()
            bar.total = schedule.all_texts()
            bar.update(schedule.done_texts() - done)
            done = schedule.done_texts()
            if trainer.has_ended or time.monotonic() - saved_at > 60 * checkpoint_minutes:
                trainer.save()
                saved_at = time.monotonic()
    finally:
        bar.close()


def trained_names(tensors: Mapping[str, Tensor], spec: TrainingSpec) -> list[str]:
    """Return the names of the tensors that are trained, sorted.

    Args:
        tensors: of the student.
        spec: its train_word_embeddings and n_trained_layers are used.
    """
    names = [name for name in sorted(tensors) if spec.train_word_embeddings or name != WORD_EMBEDDINGS]
    if spec.n_trained_layers is None:
        return names
    first = count_layers(tensors) - spec.n_trained_layers
    always = (HEAD, TABLE, WORD_EMBEDDINGS)
    layers = {name: LAYER.match(name) for name in names}
    return [name for name, found in layers.items() if name in always or (found and int(found[1]) >= first)]


class _Trainer:
    """The state of a training, which a checkpoint holds, and its steps."""

    def __init__(
        self,
        student: Student,
        texts: TrainingSet,
        held_out: TrainingSet,
        spec: TrainingSpec,
        folder: Path,
        workers: Workers,
    ) -> None:
        self.student = student
        self.texts = texts
        self.held_out = held_out
        self.spec = spec
        self.folder = folder
        self.workers = workers
        self.steps_per_epoch = len(texts.token_ids) // spec.batch_size
        self.schedule = Schedule(spec, n_texts=len(texts.token_ids), n_held_out=len(held_out.token_ids))
        self.has_ended = False
        self.nearest = nearest_neighbors(held_out.targets)
        names = trained_names(student.tensors, spec)
        self.trained = {name: student.tensors[name].requires_grad_() for name in names}
        groups = [
            {"params": [tensor], "share": spec.word_embedding_rate if name == WORD_EMBEDDINGS else 1.0}
            for name, tensor in self.trained.items()
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=spec.weight_decay, betas=(0.9, 0.98))
        self.bfloat16 = fastest_dtype(student.device) is torch.bfloat16 if spec.bfloat16 is None else spec.bfloat16
        self.averages = {name: tensor.detach().clone() for name, tensor in self.trained.items() if spec.ema_decay}
        self.best = -1.0
        self.best_tensors = {name: tensor.detach().clone() for name, tensor in self.trained.items()}
        self.losses: list[float] = []
        self.rows: list[dict[str, Any]] = []
        self.key = self._key()
        self._epoch: tuple[int, npt.NDArray[np.int64]] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        if not self.schedule.n_done:
            self._measure()

    def step(self) -> None:
        """Train on one batch."""
        batch = self._batch()
        rate = self.schedule.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        ids = [self.texts.token_ids[position] for position in batch]
        micro_batches = self.student.micro_batches(ids)
        embedded = self.workers.map(lambda part: self._embed([ids[row] for row in part]), micro_batches)
        # The loss compares all texts of a batch. So its gradient with respect to the vectors is computed first, and
        # from it the gradient of each micro-batch with respect to the tensors.
        vectors = torch.cat([part.detach() for part in embedded]).requires_grad_()
        order = np.concatenate(micro_batches)
        targets = torch.from_numpy(self.texts.targets[batch[order]].astype(np.float32)).to(vectors.device)
        terms = distillation_losses(vectors, targets, self.spec.loss)
        loss = torch.stack(list(terms.values())).sum()
        (grad_vectors,) = torch.autograd.grad(loss, [vectors])
        grad_parts = torch.split(grad_vectors, [len(part) for part in micro_batches])
        gradients = self.workers.map(lambda part: self._gradients(*part), zip(embedded, grad_parts, strict=True))
        for tensor, *of_parts in zip(self.trained.values(), *gradients, strict=True):
            tensor.grad = reduce(torch.Tensor.add_, of_parts)
        torch.nn.utils.clip_grad_norm_(self.trained.values(), self.spec.max_norm)
        self.optimizer.step()
        self.schedule.n_done += 1
        self._average()
        self.losses.append(loss.item())
        if not math.isfinite(self.losses[-1]):
            raise self._divergence_error(f"the loss is {self.losses[-1]}")
        self.has_ended = self.schedule.has_ended()
        if self.has_ended or self.schedule.is_measurement_due():
            shown = {name: round(term.item(), 6) for name, term in terms.items()}
            self._measure(loss=round(float(np.mean(self.losses[-LOG_WINDOW:])), 6), rate=rate, **shown)

    def _average(self) -> None:
        """Update the moving averages of the tensors."""
        # With a fixed decay the initial tensors would weigh too much in the averages of a short training.
        decay = min(self.spec.ema_decay, (1 + self.schedule.n_done) / (10 + self.schedule.n_done))
        with torch.no_grad():
            for name, average in self.averages.items():
                average.lerp_(self.trained[name], 1 - decay)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Give the student the moving averages of its tensors until the block ends."""
        current = {name: self.trained[name].detach().clone() for name in self.averages}
        self._copy(self.averages)
        yield
        self._copy(current)

    @torch.no_grad()
    def _copy(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.trained[name].copy_(tensor)

    def _embed(self, ids: Ids) -> Tensor:
        """Return the vectors of a micro-batch. A worker calls this."""
        with torch.autocast(torch.device(self.student.device).type, dtype=torch.bfloat16, enabled=self.bfloat16):
            return self.student.embed(ids).float()

    def _gradients(self, vectors: Tensor, grad_vectors: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients with respect to the trained tensors, 0 for unused ones. A worker calls this."""
        return torch.autograd.grad(vectors, list(self.trained.values()), grad_vectors, materialize_grads=True)

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = dict(self.trained)
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_tensors.items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in self.averages.items()}
        for name, tensor in self.trained.items():
            tensors |= {f"{key}.{name}": value for key, value in self.optimizer.state[tensor].items()}
        state = {"key": self.key, "step": self.schedule.n_done, "best": self.best, "losses": self.losses[-LOG_WINDOW:]}
        state |= {"rows": self.rows, "bfloat16": self.bfloat16, "ended": self.has_ended}
        if self.spec.minutes:
            state |= {"seconds": self.schedule.seconds, "measured_at": self.schedule.measured_at}
        write_checkpoint(self.folder / CHECKPOINT, tensors, state)

    def restore_best(self) -> float:
        """Restore the student's best tensors and return their agreement."""
        for name, tensor in self.trained.items():
            tensor.requires_grad_(False).copy_(self.best_tensors[name])
        return self.best

    def _resume(self) -> None:
        found = read_checkpoint(self.folder / CHECKPOINT)
        if found is None:
            return
        tensors, state = found
        if state["key"] != self.key:
            raise DistillError(
                f"{self.folder}: expected the checkpoint of a training with these settings, texts and layers, got one "
                "of another training; repeat its settings to continue it, or remove the folder to start again"
            )
        self.schedule.n_done = state["step"]
        self.schedule.seconds = state.get("seconds", 0.0)
        self.schedule.measured_at = state.get("measured_at", 0.0)
        self.has_ended = state["ended"]
        self.best = state["best"]
        self.losses = state["losses"]
        self.rows = state["rows"]
        # Another measurement could choose another precision, which would change the rest of the training.
        self.bfloat16 = state["bfloat16"]
        with torch.no_grad():
            for name, tensor in self.trained.items():
                tensor.copy_(tensors[name])
                self.best_tensors[name] = tensors[f"best.{name}"].to(tensor.device)
                if name in self.averages:
                    self.averages[name] = tensors[f"ema.{name}"].to(tensor.device)
                self.optimizer.state[tensor] = {
                    key: tensors[f"{key}.{name}"].to(tensor.device if key != "step" else "cpu")
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }

    def _batch(self) -> npt.NDArray[np.int64]:
        """Return the positions of the texts of the next step."""
        epoch, step = divmod(self.schedule.n_done, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng([self.spec.seed, epoch])
            self._epoch = (epoch, group_near_texts(self.texts.targets, self.spec.group_size, rng))
        first = step * self.spec.batch_size
        return self._epoch[1][first : first + self.spec.batch_size]

    def _measure(self, **shown: float) -> None:
        """Measure the held-out agreement, copy the tensors if it is the best, and write the log."""
        begin = self.schedule.seconds
        with self._averaged():
            vectors = embed_ids(self.student, self.held_out.token_ids, workers=self.workers)
        if not np.isfinite(vectors).all():
            raise self._divergence_error("the student's vectors are not finite")
        agreement = float(neighbor_overlap(nearest_neighbors(vectors), self.nearest).mean())
        if agreement < DIVERGENCE_RATIO * self.best:
            raise self._divergence_error(f"the held-out agreement fell from {self.best:.3g} to {agreement:.3g}")
        if agreement > self.best:
            self.best = agreement
            self.best_tensors = {
                name: tensor.detach().clone() for name, tensor in (self.trained | self.averages).items()
            }
        self.rows.append({"step": self.schedule.n_done, "agreement": round(agreement, 6), **shown})
        with (self.folder / LOG).open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[-1]), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)
        self.schedule.measured_at = self.schedule.seconds
        self.schedule.measuring = self.schedule.measured_at - begin

    def _divergence_error(self, reason: str) -> DistillError:
        of_all = f" of {self.schedule.n_steps}" if self.schedule.n_steps else ""
        return DistillError(
            f"step {self.schedule.n_done}{of_all}: the training diverged: {reason}; lower --learning-rate (now "
            f"{self.spec.learning_rate:g}) and remove {self.folder}"
        )

    def _key(self) -> str:
        """Return a hash of the settings, shapes and token ids, so that a checkpoint continues only its own training."""
        digest = hashlib.sha256(repr(self.spec).encode())
        digest.update(repr([(name, tuple(tensor.shape)) for name, tensor in self.trained.items()]).encode())
        for texts in (self.texts, self.held_out):
            digest.update(str(len(texts.token_ids)).encode())
            for ids in texts.token_ids:
                digest.update(array("q", [len(ids), *ids]).tobytes())
        return digest.hexdigest()
