"""The training loop: batches of similar texts, selection of the best checkpoint, and exact resume."""

import csv
import hashlib
import math
import time
from array import array
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.checkpoint import read_checkpoint, write_checkpoint
from hpdsearch.distillation.data.texts import Ids, TrainingSet
from hpdsearch.distillation.spec import TrainingSpec
from hpdsearch.distillation.student.student import Student, embed_ids
from hpdsearch.distillation.teacher.runtime import fastest_dtype
from hpdsearch.distillation.training.losses import distillation_losses
from hpdsearch.distillation.workers import Workers
from hpdsearch.encoder.bert import WORD_EMBEDDINGS
from hpdsearch.errors import DistillError
from hpdsearch.evaluation import neighbor_agreement

LOG = "log.csv"
CHECKPOINT = "checkpoint.bin"
N_MEASUREMENTS = 20  # of the held-out agreement during a training
# Below this share of the best agreement a training has diverged. The loss of unit vectors is bounded, so it shows less.
DIVERGENCE_RATIO = 0.5
PART = 2**16  # texts whose targets are in memory at once while batches are made
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

    A run that was killed continues at the last checkpoint in `folder` and ends with the same result.

    Args:
        student: its tensors are changed.
        texts: the training texts.
        held_out: texts that are not trained on. The best checkpoint is the one with the highest agreement: the mean
            share of the teacher's 10 nearest neighbors among these texts that are also among the student's.
        spec: settings.
        folder: of this training alone. It holds the checkpoint and log.csv.
        checkpoint_minutes: time between checkpoints.
        progress: counts the texts.

    Returns:
        The best agreement, 0..1.

    Raises:
        DistillError: there are fewer texts than batch_size, the training diverged, or `folder` holds the checkpoint of
            another training.
    """
    n_texts = len(texts.token_ids)
    if n_texts < spec.batch_size:
        raise DistillError(f"texts: expected at least {spec.batch_size} (a batch) to train on, got {n_texts}")
    with Workers() as workers:
        trainer = _Trainer(student, texts, held_out, spec, folder, workers)
        _train_loop(trainer, checkpoint_minutes, progress)
    return trainer.restore_best()


def _train_loop(trainer: "_Trainer", checkpoint_minutes: float, progress: Progress) -> None:
    """Run the remaining steps."""
    batch_size = trainer.spec.batch_size
    bar = progress.phase("train", total=trainer.n_steps * batch_size, unit="text")
    bar.update(trainer.n_done * batch_size)
    saved_at = time.monotonic()
    try:
        while trainer.n_done < trainer.n_steps:
            trainer.step()
            bar.update(batch_size)
            if trainer.n_done == trainer.n_steps or time.monotonic() - saved_at > 60 * checkpoint_minutes:
                trainer.save()
                saved_at = time.monotonic()
    finally:
        bar.close()


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
        self.n_steps = max(1, round(spec.epochs * self.steps_per_epoch))
        names = [name for name in sorted(student.tensors) if spec.train_word_embeddings or name != WORD_EMBEDDINGS]
        self.trained = {name: student.tensors[name].requires_grad_() for name in names}
        self.optimizer = torch.optim.AdamW(self.trained.values(), weight_decay=spec.weight_decay, betas=(0.9, 0.98))
        device = next(iter(self.trained.values())).device.type
        self.bfloat16 = fastest_dtype(device) is torch.bfloat16 if spec.bfloat16 is None else spec.bfloat16
        self.n_done = 0
        self.best = -1.0
        self.best_tensors = {name: tensor.detach().clone() for name, tensor in self.trained.items()}
        self.losses: list[float] = []
        self.rows: list[dict[str, Any]] = []
        self.key = self._key()
        self._epoch: tuple[int, npt.NDArray[np.int64]] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        if not self.n_done:
            self._measure()

    def step(self) -> None:
        """Train on one batch."""
        batch = self._batch()
        rate = self.spec.learning_rate * learning_rate_factor(self.n_done, self.n_steps, warmup=self.spec.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
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
        self.n_done += 1
        self.losses.append(loss.item())
        if not math.isfinite(self.losses[-1]):
            raise self._divergence_error(f"the loss is {self.losses[-1]}")
        if self.n_done % max(1, self.n_steps // N_MEASUREMENTS) == 0 or self.n_done == self.n_steps:
            shown = {name: round(term.item(), 6) for name, term in terms.items()}
            self._measure(loss=round(float(np.mean(self.losses[-LOG_WINDOW:])), 6), rate=rate, **shown)

    def _embed(self, ids: Ids) -> Tensor:
        """Return the vectors of a micro-batch. A worker calls this."""
        device = next(iter(self.trained.values())).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            return self.student.embed(ids).float()

    def _gradients(self, vectors: Tensor, grad_vectors: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients with respect to the trained tensors, 0 for unused ones. A worker calls this."""
        return torch.autograd.grad(vectors, list(self.trained.values()), grad_vectors, materialize_grads=True)

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = dict(self.trained)
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_tensors.items()}
        for name, tensor in self.trained.items():
            tensors |= {f"{key}.{name}": value for key, value in self.optimizer.state[tensor].items()}
        state = {"key": self.key, "step": self.n_done, "best": self.best, "losses": self.losses[-LOG_WINDOW:]}
        write_checkpoint(self.folder / CHECKPOINT, tensors, state | {"rows": self.rows, "bfloat16": self.bfloat16})

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
        self.n_done = state["step"]
        self.best = state["best"]
        self.losses = state["losses"]
        self.rows = state["rows"]
        # Another measurement could choose another precision, which would change the rest of the training.
        self.bfloat16 = state["bfloat16"]
        with torch.no_grad():
            for name, tensor in self.trained.items():
                tensor.copy_(tensors[name])
                self.best_tensors[name] = tensors[f"best.{name}"].to(tensor.device)
                self.optimizer.state[tensor] = {
                    key: tensors[f"{key}.{name}"].to(tensor.device if key != "step" else "cpu")
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }

    def _batch(self) -> npt.NDArray[np.int64]:
        """Return the positions of the texts of the next step."""
        epoch, step = divmod(self.n_done, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng([self.spec.seed, epoch])
            self._epoch = (epoch, group_near_texts(self.texts.targets, self.spec.group_size, rng))
        first = step * self.spec.batch_size
        return self._epoch[1][first : first + self.spec.batch_size]

    def _measure(self, **shown: float) -> None:
        """Measure the held-out agreement, copy the tensors if it is the best, and write the log."""
        vectors = embed_ids(self.student, self.held_out.token_ids, workers=self.workers)
        if not np.isfinite(vectors).all():
            raise self._divergence_error("the student's vectors are not finite")
        agreement = neighbor_agreement(vectors, self.held_out.targets)
        if agreement < DIVERGENCE_RATIO * self.best:
            raise self._divergence_error(f"the held-out agreement fell from {self.best:.3g} to {agreement:.3g}")
        if agreement > self.best:
            self.best = agreement
            self.best_tensors = {name: tensor.detach().clone() for name, tensor in self.trained.items()}
        self.rows.append({"step": self.n_done, "agreement": round(agreement, 6), **shown})
        with (self.folder / LOG).open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[-1]), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)

    def _divergence_error(self, reason: str) -> DistillError:
        return DistillError(
            f"step {self.n_done} of {self.n_steps}: the training diverged: {reason}; lower --learning-rate (now "
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


def learning_rate_factor(step: int, n_steps: int, *, warmup: float) -> float:
    """Return the factor of the peak learning rate: a linear rise during the warm-up, then a linear fall to 0.05."""
    rise = max(1, round(warmup * n_steps))
    return min(1.0, (step + 1) / rise) * (1 - 0.95 * step / n_steps)


def group_near_texts(
    targets: np.ndarray, group_size: int, rng: np.random.Generator, *, part_size: int = PART
) -> npt.NDArray[np.int64]:
    """Return all positions in random order, but with texts that are near in the space next to each other.

    The texts are split in half along the line between two random ones until no group is larger than group_size.

    Args:
        targets: unit vectors (n, dim), in memory or memory-mapped.
        group_size: size of the largest group; 1 for a plain permutation.
        rng: draws the lines and the order of the groups.
        part_size: more texts than this are first divided into random parts, of which one is in memory at once.
    """
    order = rng.permutation(len(targets))
    if group_size == 1:
        return order
    groups: list[npt.NDArray[np.int64]] = []
    for part in np.array_split(order, -(-len(order) // part_size)):
        ascending = np.sort(part)  # a file is read from its beginning to its end
        rows = np.asarray(targets[ascending], dtype=np.float32)
        groups += [ascending[group] for group in _split_near(rows, np.searchsorted(ascending, part), group_size, rng)]
    return np.concatenate([groups[position] for position in rng.permutation(len(groups))])


def _split_near(
    rows: Matrix, order: npt.NDArray[np.int64], group_size: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the groups of texts that are near, as positions in (n, dim) rows, from a random order of all positions."""
    unsplit = [order]
    while unsplit:
        group = unsplit.pop()
        if len(group) <= group_size:
            yield group
            continue
        one, other = rows[rng.choice(group, 2, replace=False)]
        order = group[np.argsort(rows[group] @ (one - other), kind="stable")]
        unsplit += [order[: len(order) // 2], order[len(order) // 2 :]]
