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


def answer_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Visual question answering with several right answers: binary cross entropy, times the number of answers.

    logits (B, K) and targets (B, K), each target the score of an answer from 0 to 1. Its mean runs over all B x K
    entries, so the factor K makes it a sum over answers; BridgeTower and VLE after METER, arXiv 2111.02387.
    """
    return F.binary_cross_entropy_with_logits(logits, targets) * logits.shape[1]


def match_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of one class per row: logits (B, classes), labels (B,); of a matching head, 1 means a true pair."""
    return F.cross_entropy(logits, labels)


def word_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over the vocabulary where a word was masked: logits (B, T, V), labels (B, T), -100 elsewhere."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def patch_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each patch belongs to the text: cross entropy of logits (B, P, 2) against labels (B, P) of 0 and 1.

    VLE's own call gives (B, P, 2) to the loss as it is, so that the patches become the classes and labels of this
    shape fail; this is what its description says.
    """
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def contrast_loss_three(text: Tensor, image: Tensor, cross: Tensor, scale: Tensor) -> Tensor:
    """Mean of text against image, text against cross and image against cross, each in one direction only.

    text, image, cross: (B, E), unit length; row i of each belongs to pair i. scale multiplies the cosine.
    BridgeTower in transformers, `BridgeTowerForContrastiveLearning`.
    """
    pairs = torch.arange(len(text), device=text.device)
    sides = ((text, image), (text, cross), (image, cross))
    losses = [F.cross_entropy(scale * one @ other.T, pairs) for one, other in sides]
    return torch.stack(losses).mean()


def soft_contrastive(image: Tensor, text: Tensor, scale: Tensor, image_ids: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE in which every text of a picture is right for each of that picture's rows.

    image, text: (B, E), unit length; scale multiplies the cosine. image_ids (B,): rows of equal ids show one picture,
    and the target of a row is spread evenly over its n right rows, 1 / n each; None: every row is a picture of its
    own. After ALBEF (arXiv 2107.07651), as BridgeTower finetunes for retrieval.
    """
    logits = scale * image @ text.T  # (B, B), images down, texts across
    ids = torch.arange(len(image), device=image.device) if image_ids is None else image_ids
    same = (ids[:, None] == ids[None, :]).to(logits.dtype)
    targets = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def negative_weights(logits: Tensor, image_ids: Tensor | None = None) -> Tensor:
    """How likely each column is drawn as the hard negative of a row: logits (B, B) -> (B, B), rows not summing to 1.

    The softmax of each row with 0 for the row's own picture: image_ids (B,) as in `soft_contrastive`.
    """
    ids = torch.arange(len(logits), device=logits.device) if image_ids is None else image_ids
    return logits.softmax(dim=1).masked_fill(ids[:, None] == ids[None, :], 0)


def hard_pairs(image_for_text: Tensor, text_for_image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of texts, rows of images and labels of the 3 B pairs that train matching with hard negatives.

    image_for_text (B,): the wrong picture drawn for each text; text_for_image (B,): the wrong text for each picture.
    First the B true pairs (label 1), then every text with its wrong picture, then every picture with its wrong text
    (label 0). `match_loss` of their scores is the loss.
    """
    own = torch.arange(len(image_for_text), device=image_for_text.device)
    texts = torch.cat([own, own, text_for_image])
    images = torch.cat([own, image_for_text, own])
    return texts, images, torch.cat([torch.ones_like(own), torch.zeros_like(own), torch.zeros_like(own)])
