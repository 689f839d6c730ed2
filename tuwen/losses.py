"""Pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tuwen.distributed import gather


def contrastive(image: Tensor, text: Tensor, scale: Tensor, same: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE over the global batch: row i of `image` belongs to row i of `text`.

    image, text: (B, E), unit length.  scale: scalar that multiplies the cosine (not its logarithm).
    same: (B,) int64, a number for each text: pairs whose texts have equal numbers are not counted as each other's
    negatives
    (several pictures of one thing); None counts every other pair as a negative, as the original does.
    Every process returns the same loss; averaging gradients over processes then gives the exact gradient.
    Chinese-CLIP, arXiv 2211.01335, `cn_clip/training/train.py`.
    """
    all_image, all_text = gather(image), gather(text)  # (N, E), N = B x processes
    logits = scale * all_image @ all_text.T  # (N, N), images down, texts across
    if same is not None:
        same = gather(same)  # (N,)
        twins = (same[:, None] == same[None, :]).fill_diagonal_(False)
        logits = logits.masked_fill(twins, float("-inf"))
    pairs = torch.arange(len(logits), device=logits.device)
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
