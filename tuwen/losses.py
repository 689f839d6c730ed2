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


def queue_logits(query: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """(B, 1 + K): each query against its own key, then against every entry of a queue (MoCo, arXiv 1911.05722).

    query, keys (B, E): row i belongs to row i; queue (K, E); all of unit length. temperature divides.
    """
    own = (query * keys).sum(dim=1, keepdim=True)  # (B, 1)
    return torch.cat([own, query @ queue.T], dim=1) / temperature


def positives_loss(logits: Tensor, also: Tensor | None = None) -> Tensor:
    """-log softmax at column 0 of logits (B, 1 + K), mean over B; `also` (B, K) bool adds further right columns.

    Over the right columns of a row it is summed, not averaged, as in BriVL (arXiv 2103.06561).
    """
    losses = -logits.log_softmax(dim=1)
    total = losses[:, 0].sum() if also is None else losses[:, 0].sum() + losses[:, 1:][also].sum()
    return total / len(logits)


# What follows lies in BriVL's repository (`utils/loss.py`), whose published training does not call it. States are made
# unit length first; masks are True where a token is real.


def position_loss(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """1 - the mean cosine of tokens in the same place: first, second (B, T, D), mask (B, T)."""
    return 1 - F.cosine_similarity(first, second, dim=-1)[mask].mean()


def margin_loss(scores: Tensor, margin: float = 0.2, back: Tensor | None = None) -> Tensor:
    """Hinge with the hardest negative of the batch, in both directions: scores (B, B), row i belongs to column i.

    back (B, B): what the columns are judged by, where a score depends on the direction: [i, j] as in `scores`.
    """
    back = scores if back is None else back
    pairs = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    by_row = (margin + scores - scores.diagonal()[:, None]).clamp(min=0).masked_fill(pairs, 0)
    by_column = (margin + back - back.diagonal()[None, :]).clamp(min=0).masked_fill(pairs, 0)
    return by_row.amax(dim=1).mean() + by_column.amax(dim=0).mean()


def late_scores(first: Tensor, second: Tensor, first_mask: Tensor, second_mask: Tensor) -> Tensor:
    """(A, B): the mean over the tokens of each first text of the best cosine among those of each second one.

    first (A, T, D), second (B, S, D), masks (A, T) and (B, S). `margin_loss` of it, with the texts exchanged and the
    result transposed as `back`, is their AlignTripLoss.
    """
    cosines = torch.einsum("atd,bsd->abts", F.normalize(first, dim=-1), F.normalize(second, dim=-1))
    best = cosines.masked_fill(~second_mask[None, :, None, :], float("-inf")).amax(dim=3)  # (A, B, T)
    kept = first_mask[:, None, :].to(best.dtype)
    return (best * kept).sum(dim=2) / kept.sum(dim=2)


def alignment_loss(first: Tensor, second: Tensor, first_mask: Tensor, second_mask: Tensor) -> Tensor:
    """1 - the mean over all tokens of the batch of the best cosine in the other text, averaged over both directions.

    first (B, T, D), second (B, S, D), masks (B, T) and (B, S).
    """
    cosines = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).transpose(1, 2)  # (B, T, S)
    nothing = float("-inf")
    forth = cosines.masked_fill(~second_mask[:, None, :], nothing).amax(dim=2)[first_mask].mean()
    back = cosines.masked_fill(~first_mask[:, :, None], nothing).amax(dim=1)[second_mask].mean()
    return 1 - (forth + back) / 2


def gated_alignment_loss(first: Tensor, second: Tensor, second_mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """1 - the mean of cosines, each times a linear layer of its two tokens' product, over all pairs of tokens.

    first (B, T, D), of which every token counts; second (B, S, D), of which those of second_mask (B, S) do;
    weight (1, D) and bias (1,) of the layer.
    """
    first, second = F.normalize(first, dim=-1), F.normalize(second, dim=-1)
    gate = torch.einsum("btd,bsd,d->bts", first, second, weight[0]) + bias
    products = (first @ second.transpose(1, 2) * gate).transpose(1, 2)[second_mask]  # (kept, T)
    return 1 - products.mean()
