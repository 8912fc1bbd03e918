"""What a student is scored by: its place in the space, and its likeness to the batch's other texts."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class LossSpec:
    """Weights of the terms; one of weight 0 is not calculated.

    Attributes:
        place: squared distance to the teacher's vector in the space (the paper's loss).
        similarity: squared error of the cosines between the batch's texts.
        ranking: divergence of the softmax over a text's cosines to the others, at `temperature`, from the teacher's.
        temperature: of ranking; lower looks at nearer neighbours only.
        prefixes: widths at which similarity and ranking are also taken, from the first numbers of the vectors, so that
            truncated vectors stay good.
    """

    place: float = 2.0
    similarity: float = 20.0
    ranking: float = 0.0
    temperature: float = 0.05
    prefixes: tuple[int, ...] = (128,)


def distillation_losses(vectors: Tensor, targets: Tensor, spec: LossSpec) -> dict[str, Tensor]:
    """Return each term, weighted, by name.

    Args:
        vectors: the student's (n, dim), rows of length 1.
        targets: the teacher's in the space (n, dim), rows of length 1.
        spec: weights.
    """
    terms: dict[str, Tensor] = {}
    if spec.place:
        terms["place"] = spec.place * (vectors - targets).square().sum(dim=1).mean()
    widths = [vectors.shape[1], *(width for width in spec.prefixes if width < vectors.shape[1])]
    cosines = targets @ targets.T
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    wanted = cosines[others].view(len(vectors), -1)  # (n, n - 1): a text's cosines to the others
    for width in widths if spec.similarity or spec.ranking else ():
        rows = functional.normalize(vectors[:, :width])
        found = (rows @ rows.T)[others].view_as(wanted)
        if spec.similarity:
            squares = (found - wanted).square().mean()
            terms["similarity"] = terms.get("similarity", 0) + spec.similarity / len(widths) * squares
        if spec.ranking:
            logs = [(cosines / spec.temperature).log_softmax(dim=1) for cosines in (found, wanted)]
            divergence = functional.kl_div(logs[0], logs[1], reduction="batchmean", log_target=True)
            terms["ranking"] = terms.get("ranking", 0) + spec.ranking / len(widths) * divergence
    return terms
