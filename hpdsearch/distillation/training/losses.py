"""The loss terms of a student: distance to the targets, similarities within the batch, ranking within the batch."""

import torch
from torch import Tensor
from torch.nn import functional

from hpdsearch.distillation.spec import LossSpec

MSE, SIMILARITY, KL = "mse", "similarity", "kl"  # columns of the training log


def distillation_losses(vectors: Tensor, targets: Tensor, spec: LossSpec) -> dict[str, Tensor]:
    """Compute the weighted loss terms, by name.

    Args:
        vectors: of the student (n, dim) float32, rows of unit length.
        targets: in the space (n, dim) float32, rows of unit length.
        spec: weights, temperature and Matryoshka dimensions.

    Sources: MSE: HPD, Zhao et al. 2022, arXiv:2203.07687. Similarity: Tung & Mori 2019, arXiv:1907.09682. KL: listwise,
    as in ListNet, Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach". Truncated vectors:
    Kusupati et al. 2022, arXiv:2205.13147.
    """
    terms: dict[str, Tensor] = {}
    if spec.mse_weight:
        terms[MSE] = spec.mse_weight * (vectors - targets).square().sum(dim=1).mean()
    if not (spec.similarity_weight or spec.kl_weight):
        return terms
    dims = [vectors.shape[1], *(dim for dim in spec.matryoshka_dims if dim < vectors.shape[1])]
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    teacher_cosines = (targets @ targets.T)[others].view(len(vectors), -1)  # (n, n - 1): of a text with the others
    for dim in dims:
        rows = functional.normalize(vectors[:, :dim])
        cosines = (rows @ rows.T)[others].view_as(teacher_cosines)
        if spec.similarity_weight:
            squares = (cosines - teacher_cosines).square().mean()
            terms[SIMILARITY] = terms.get(SIMILARITY, 0) + spec.similarity_weight / len(dims) * squares
        if spec.kl_weight:
            log_student = (cosines / spec.temperature).log_softmax(dim=1)
            log_teacher = (teacher_cosines / spec.temperature).log_softmax(dim=1)
            divergence = functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
            terms[KL] = terms.get(KL, 0) + spec.kl_weight / len(dims) * divergence
    return terms
