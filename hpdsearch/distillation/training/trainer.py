"""The training loop: batches of neighbours, the best checkpoint by neighbour agreement, exact resume."""

import csv
import hashlib
import math
import time
from array import array
from dataclasses import dataclass, field
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
from hpdsearch.distillation.export.onnx_graph import WORDS
from hpdsearch.distillation.student.student import Ids, Student, student_vectors
from hpdsearch.distillation.teacher.teacher import fastest_dtype
from hpdsearch.distillation.training.losses import LossSpec, distillation_losses
from hpdsearch.distillation.workers import Workers
from hpdsearch.errors import DistillError
from hpdsearch.evaluation import neighbor_agreement

LOG = "log.csv"
CHECKPOINT = "checkpoint.bin"
MEASUREMENTS = 20  # of the held-out agreement in a training
DIVERGED = 0.5  # an agreement below this share of the best one has diverged; a loss of unit vectors hardly tells
AVERAGED = 50  # steps whose mean loss is logged


@dataclass(frozen=True)
class TrainingSpec:
    """How a student is trained.

    Attributes:
        epochs: passes over the training texts.
        batch_size: texts a step; similarities are compared within a batch.
        learning_rate: its peak; it rises over the warm-up and falls linearly to a twentieth.
        warmup: share of the steps.
        weight_decay: AdamW's.
        max_norm: longer gradients are scaled down to this length.
        max_tokens: longer training texts are cut.
        neighbours: texts of a batch that lie together in the teacher's space; 1 for batches at random.
        train_words: whether the word embeddings move.
        loss: weights of the terms.
        bfloat16: whether matrix products are taken in it; None: where a short measurement finds it clearly faster.
        seed: of the batches.
    """

    epochs: float = 2.0
    batch_size: int = 64
    learning_rate: float = 2e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    max_norm: float = 1.0
    max_tokens: int = 128
    neighbours: int = 8
    train_words: bool = False
    loss: LossSpec = field(default_factory=LossSpec)
    bfloat16: bool | None = None
    seed: int = 0


@dataclass(frozen=True)
class Texts:
    """Texts as training sees them.

    Attributes:
        ids: token ids of each, special tokens not included.
        targets: the teacher's vectors in the space (n, dim), rows of length 1.
    """

    ids: Ids
    targets: Matrix


def train(
    student: Student,
    texts: Texts,
    held_out: Texts,
    spec: TrainingSpec,
    folder: Path,
    *,
    checkpoint_minutes: float = 3.0,
    progress: Progress = SILENT,
) -> float:
    """Train a student in place and leave it at its best state.

    What a killed run left in `folder` is taken up at its last checkpoint, and leads to the same result.

    Args:
        student: its tensors are changed.
        texts: to train on.
        held_out: never trained on; the share of the teacher's 10 nearest neighbours among them that the student finds
            too decides which state is best.
        spec: how.
        folder: of this training alone: checkpoint and log.csv.
        checkpoint_minutes: time between checkpoints.
        progress: counts the texts.

    Returns:
        The best agreement, 0..1.

    Raises:
        DistillError: fewer texts than a batch, a training that diverged, or another one's checkpoint in `folder`.
    """
    if len(texts.ids) < spec.batch_size:
        raise DistillError(f"texts: expected at least {spec.batch_size} (a batch) to train on, got {len(texts.ids)}")
    with Workers() as workers:
        run = _Run(student, texts, held_out, spec, folder, workers)
        _go_on(run, checkpoint_minutes, progress)
    return run.leave_best()


def _go_on(run: "_Run", checkpoint_minutes: float, progress: Progress) -> None:
    """Train until the end."""
    spec = run.spec
    bar = progress.phase("train", total=run.n_steps * spec.batch_size, unit="text")
    bar.update(run.step * spec.batch_size)
    saved_at = time.monotonic()
    try:
        while run.step < run.n_steps:
            run.advance()
            bar.update(spec.batch_size)
            if run.step == run.n_steps or time.monotonic() - saved_at > 60 * checkpoint_minutes:
                run.save()
                saved_at = time.monotonic()
    finally:
        bar.close()


class _Run:
    """One training: what a checkpoint holds, and a step."""

    def __init__(
        self, student: Student, texts: Texts, held_out: Texts, spec: TrainingSpec, folder: Path, workers: Workers
    ) -> None:
        self.student, self.texts, self.held_out, self.spec, self.folder = student, texts, held_out, spec, folder
        self.workers = workers
        self.steps_an_epoch = len(texts.ids) // spec.batch_size
        self.n_steps = max(1, round(spec.epochs * self.steps_an_epoch))
        names = [name for name in sorted(student.tensors) if spec.train_words or name != WORDS]
        self.trained = {name: student.tensors[name].requires_grad_() for name in names}
        self.optimizer = torch.optim.AdamW(self.trained.values(), weight_decay=spec.weight_decay, betas=(0.9, 0.98))
        device = next(iter(self.trained.values())).device.type
        self.bfloat16 = fastest_dtype(device) is torch.bfloat16 if spec.bfloat16 is None else spec.bfloat16
        self.step, self.best = 0, -1.0
        self.best_tensors = {name: tensor.detach().clone() for name, tensor in self.trained.items()}
        self.losses: list[float] = []
        self.rows: list[dict[str, Any]] = []
        self.key = self._key()
        self._epoch: tuple[int, npt.NDArray[np.int64]] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        if not self.step:
            self._measure()

    def advance(self) -> None:
        """Train on one batch."""
        batch = self._batch()
        rate = self.spec.learning_rate * schedule(self.step, self.n_steps, warmup=self.spec.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        ids = [self.texts.ids[position] for position in batch]
        parts = self.student.parts(ids)
        found = self.workers.map(lambda part: self._embed([ids[place] for place in part]), parts)
        # The terms compare all texts of a batch: their gradients by the vectors first, then each part's by the tensors.
        vectors = torch.cat([part.detach() for part in found]).requires_grad_()
        order = np.concatenate(parts)
        targets = torch.from_numpy(self.texts.targets[batch[order]]).to(vectors.device)
        terms = distillation_losses(vectors, targets, self.spec.loss)
        loss = torch.stack(list(terms.values())).sum()
        (by_vectors,) = torch.autograd.grad(loss, [vectors])
        rows = torch.split(by_vectors, [len(part) for part in parts])
        gradients = self.workers.map(lambda part: self._gradients(*part), zip(found, rows, strict=True))
        for tensor, *of_parts in zip(self.trained.values(), *gradients, strict=True):
            tensor.grad = reduce(torch.Tensor.add_, of_parts)
        torch.nn.utils.clip_grad_norm_(self.trained.values(), self.spec.max_norm)
        self.optimizer.step()
        self.step += 1
        self.losses.append(loss.item())
        if not math.isfinite(self.losses[-1]):
            raise self._diverged(f"the loss is {self.losses[-1]}")
        if self.step % max(1, self.n_steps // MEASUREMENTS) == 0 or self.step == self.n_steps:
            shown = {name: round(term.item(), 6) for name, term in terms.items()}
            self._measure(loss=round(float(np.mean(self.losses[-AVERAGED:])), 6), rate=rate, **shown)

    def _embed(self, ids: Ids) -> Tensor:
        """Return the vectors of a part of the batch, in a thread of its own."""
        device = next(iter(self.trained.values())).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            return self.student.embed(ids).float()

    def _gradients(self, vectors: Tensor, by_vectors: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients by the trained tensors, in a thread of its own; one that has no part in it gets 0."""
        return torch.autograd.grad(vectors, list(self.trained.values()), by_vectors, materialize_grads=True)

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = dict(self.trained)
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_tensors.items()}
        for name, tensor in self.trained.items():
            tensors |= {f"{key}.{name}": value for key, value in self.optimizer.state[tensor].items()}
        state = {"key": self.key, "step": self.step, "best": self.best, "losses": self.losses[-AVERAGED:]}
        write_checkpoint(self.folder / CHECKPOINT, tensors, state | {"rows": self.rows, "bfloat16": self.bfloat16})

    def leave_best(self) -> float:
        """Put the best state into the student and return its agreement."""
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
                f"{self.folder}: there is a checkpoint of a training with other settings, texts or layers; give those "
                "again to go on with it, or remove the folder to begin anew"
            )
        self.step, self.best, self.losses, self.rows = (state[key] for key in ("step", "best", "losses", "rows"))
        # Measured anew, it could come out otherwise, and the rest of the training with it.
        self.bfloat16 = state.get("bfloat16", self.bfloat16)
        with torch.no_grad():
            for name, tensor in self.trained.items():
                tensor.copy_(tensors[name])
                self.best_tensors[name] = tensors[f"best.{name}"].to(tensor.device)
                self.optimizer.state[tensor] = {
                    key: tensors[f"{key}.{name}"].to(tensor.device if key != "step" else "cpu")
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }

    def _batch(self) -> npt.NDArray[np.int64]:
        """Return the positions of the texts of this step."""
        epoch, place = divmod(self.step, self.steps_an_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng([self.spec.seed, epoch])
            self._epoch = epoch, neighbour_order(self.texts.targets, self.spec.neighbours, rng)
        first = place * self.spec.batch_size
        return self._epoch[1][first : first + self.spec.batch_size]

    def _measure(self, **shown: float) -> None:
        """Take the held-out agreement, keep the state if it is the best, and log."""
        vectors = student_vectors(self.student, self.held_out.ids, workers=self.workers)
        if not np.isfinite(vectors).all():
            raise self._diverged("the student's vectors are not finite")
        agreement = neighbor_agreement(vectors, self.held_out.targets)
        if agreement < DIVERGED * self.best:
            raise self._diverged(f"the held-out agreement fell from {self.best:.3g} to {agreement:.3g}")
        if agreement > self.best:
            self.best = agreement
            self.best_tensors = {name: tensor.detach().clone() for name, tensor in self.trained.items()}
        self.rows.append({"step": self.step, "agreement": round(agreement, 6), **shown})
        with (self.folder / LOG).open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[-1]), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)

    def _diverged(self, what: str) -> DistillError:
        return DistillError(
            f"step {self.step} of {self.n_steps}: the training diverged: {what}; lower --learning-rate (now "
            f"{self.spec.learning_rate:g}) and remove {self.folder}"
        )

    def _key(self) -> str:
        """Return a sum of what decides the result: a checkpoint leads only to the end of the training it comes from."""
        digest = hashlib.sha256(repr(self.spec).encode())
        digest.update(repr([(name, tuple(tensor.shape)) for name, tensor in self.trained.items()]).encode())
        for texts in (self.texts, self.held_out):
            digest.update(str(len(texts.ids)).encode())
            for ids in texts.ids:
                digest.update(array("q", [len(ids), *ids]).tobytes())
        return digest.hexdigest()


def schedule(step: int, n_steps: int, *, warmup: float) -> float:
    """Return the share of the peak learning rate at a step: a linear rise over the warm-up, a linear fall to 0.05."""
    rise = max(1, round(warmup * n_steps))
    return min(1.0, (step + 1) / rise) * (1 - 0.95 * step / n_steps)


def neighbour_order(targets: Matrix, neighbours: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return all positions in random order, but with texts that are near in the space next to each other.

    The texts are halved along the line between two of them until at most `neighbours` are left; another rng gives
    other groups.

    Args:
        targets: unit vectors (n, dim).
        neighbours: largest group; 1 for a plain permutation.
        rng: chooses the lines and the order of the groups.
    """
    groups: list[npt.NDArray[np.int64]] = []
    waiting: list[npt.NDArray[np.int64]] = [rng.permutation(len(targets))]
    while waiting:
        group = waiting.pop()
        if len(group) <= neighbours or neighbours == 1:
            groups.append(group)
            continue
        one, other = targets[rng.choice(group, 2, replace=False)]
        order = group[np.argsort(targets[group] @ (one - other), kind="stable")]
        waiting += [order[: len(order) // 2], order[len(order) // 2 :]]
    return np.concatenate([groups[position] for position in rng.permutation(len(groups))])
