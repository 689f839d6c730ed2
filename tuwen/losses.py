"""Pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tuwen.distributed import gather


def contrastive(image: Tensor, text: Tensor, scale: Tensor, also: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE over the global batch: row i of `image` belongs to row i of `text`.

    image, text: (B, E), unit length.  scale: scalar that multiplies the cosine (not its logarithm).
    also: (N, N) bool, pictures down, texts across, N = B x processes: where a text is true of another row's picture as
    well; such pairs are not counted as each other's negatives. None counts every other pair, as the original does.
    Every process returns the same loss; averaging gradients over processes then gives the exact gradient.
    Chinese-CLIP, arXiv 2211.01335, `cn_clip/training/train.py`.
    """
    all_image, all_text = gather(image), gather(text)  # (N, E)
    logits = scale * all_image @ all_text.T  # (N, N), images down, texts across
    pairs = torch.arange(len(logits), device=logits.device)
    if also is not None:
        logits = logits.masked_fill(also & (pairs[:, None] != pairs), float("-inf"))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def distillation(teacher: Tensor, student: Tensor) -> Tensor:
    """1 - mean cosine between the rows of two feature matrices, (B, E') of the teacher and (B, E) of the student.

    Where the widths differ the student's matrix is resized to the teacher's as if it were a picture (bilinear), which
    is what
    Chinese-CLIP's `kd_loss` does.
    """
    if teacher.shape != student.shape:
        student = F.interpolate(student[None, None], size=teacher.shape, mode="bilinear", align_corners=False)[0, 0]
    return 1 - F.cosine_similarity(teacher, student, dim=1).mean()
