"""How figures are called and written: short names for people, per cent, which way is better, which come first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

NAMES = {
    "text_to_image": "t2i",
    "image_to_text": "i2t",
    "mean_recall": "MR",
    "median_rank": "MedR",
    "map": "mAP",
    "mrr": "MRR",
    "ndcg10": "NDCG@10",
    "top1": "top-1",
    "top5": "top-5",
    "mean_per_class": "per class",
    "accuracy": "accuracy",
    "accuracy_top5": "top-5",
    "accuracy_yes_no": "yes/no",
    "accuracy_number": "number",
    "accuracy_other": "other",
    "accuracy_entailment": "entailment",
    "accuracy_neutral": "neutral",
    "accuracy_contradiction": "contradiction",
    "target_score": "target score",
    "target_score_yes_no": "yes/no",
    "target_score_number": "number",
    "target_score_other": "other",
    "accuracy_thing": "thing",
    "accuracy_count": "count",
    "accuracy_background": "background",
    "accuracy_position": "position",
    "q_a": "Q→A",
    "qa_r": "QA→R",
    "q_ar": "Q→AR",
    "consistency": "consistency",
    "pointing": "pointing",
    "share": "share",
    "chance": "chance",
}
CHINESE = {  # of the names that are words
    "mean_per_class": "各类平均",
    "accuracy": "准确率",
    "accuracy_yes_no": "是/否",
    "accuracy_number": "数字",
    "accuracy_other": "其他",
    "accuracy_entailment": "蕴含",
    "accuracy_neutral": "中立",
    "accuracy_contradiction": "矛盾",
    "target_score": "目标得分",
    "target_score_yes_no": "目标得分 是/否",
    "target_score_number": "目标得分 数字",
    "target_score_other": "目标得分 其他",
    "accuracy_thing": "东西",
    "accuracy_count": "数量",
    "accuracy_background": "背景",
    "accuracy_position": "位置",
    "consistency": "一致率",
    "pointing": "指点准确率",
    "share": "得分占比",
    "chance": "随机水平",
}
TASKS = {  # in Chinese and English
    "retrieval": ("检索", "retrieval"),
    "two_stage": ("两阶段检索", "two-stage retrieval"),
    "zeroshot": ("零样本分类", "zero-shot classification"),
    "vqa": ("视觉问答", "visual questions"),
    "vcr": ("视觉常识推理", "visual commonsense"),
    "nlvr2": ("图对陈述判断", "statements on two pictures"),
    "snli_ve": ("视觉蕴含", "visual entailment"),
    "fill": ("遮盖词填空", "masked words"),
    "ground": ("定位", "grounding"),
    "match": ("图文匹配", "matching"),
}
DIRECTIONS = ("text_to_image", "image_to_text")
SIDES = ("t2i", "i2t")  # their short names
# The figures that stand for a task in one line, those that it has.
MAIN = {
    "retrieval": (
        *(f"text_to_image_{name}" for name in ("r1", "r5", "r10", "mean_recall")),
        *(f"image_to_text_{name}" for name in ("r1", "r5", "r10", "mean_recall")),
        "mean_recall",
    ),
    "zeroshot": ("top1", "top5", "mean_per_class"),
    "vqa": ("accuracy", "target_score", "accuracy_yes_no", "accuracy_number", "accuracy_other"),
    "vcr": ("q_a", "qa_r", "q_ar"),
    "nlvr2": ("accuracy", "consistency"),
    "snli_ve": ("accuracy",),
    "fill": ("accuracy", "accuracy_top5"),
    "ground": ("pointing", "share", "chance"),
}
MAIN["two_stage"] = MAIN["retrieval"]
# The one figure that stands for a task among others.
FIRST = {
    "retrieval": "mean_recall",
    "two_stage": "mean_recall",
    "zeroshot": "top1",
    "vqa": "accuracy",
    "ground": "pointing",
}


def task(name: str) -> tuple[str, str]:
    """A task in Chinese and English, one that is not known by its own name."""
    return TASKS.get(name, (name.replace("_", " "),) * 2)


def of_set(set: str, split: str) -> str:
    """A set and its split; once, where a file on its own is called as its split."""
    return set if split in ("", set) else f"{set} {split}"


def of_options(options: Mapping[str, object]) -> str:
    """{"depth": [0, 16], "seed": 3} -> "depth 0 16, seed 3"."""
    values = {name: value if isinstance(value, list | tuple) else [value] for name, value in options.items()}
    return ", ".join(f"{name} {' '.join(map(str, some))}" for name, some in values.items())


def chinese_title(name: str) -> str:
    """As `title`, with Chinese words where it has words: "准确率"."""
    return CHINESE.get(name) or title(name).replace(", depth ", "，深度 ")


def title(name: str) -> str:
    """text_to_image_r1@32 -> "t2i R@1, depth 32"."""
    plain, _, depth = name.partition("@")
    for direction in DIRECTIONS:
        if plain.startswith(f"{direction}_"):
            said = f"{NAMES[direction]} {_short(plain.removeprefix(f'{direction}_'))}"
            break
    else:
        said = _short(plain)
    return f"{said}, depth {depth}" if depth else said


def _short(name: str) -> str:
    recall = re.fullmatch(r"r(\d+)", name)
    return f"R@{recall[1]}" if recall else NAMES.get(name, name.replace("_", " "))


def is_rank(name: str) -> bool:
    """Whether a figure counts from 1, smaller being better; all others are shares."""
    return "median_rank" in name


def is_merit(name: str) -> bool:
    """Whether a model is the better for it; not so of what pointing at random would reach."""
    return name != "chance"


def written(name: str, value: float, sign: bool = False) -> str:
    """A share in per cent, a rank as it is, one digit after the point."""
    number = value if is_rank(name) else 100 * value
    rounded = round(number, 1) + 0.0  # no -0.0
    return f"{rounded:+.1f}" if sign and rounded else f"{rounded:.1f}"


def better(name: str, value: float, other: float) -> bool:
    """Whether a value is better than another."""
    return value < other if is_rank(name) else value > other


def main_figures(task: str, names: Iterable[str]) -> list[str]:
    """Those that stand for a task, of the ones that are there; all of them for a task that names none."""
    there = list(names)
    chosen = [name for name in MAIN.get(task, ()) if name in there]
    return chosen or there


def first_figure(task: str, names: Iterable[str]) -> str | None:
    """The one that stands for a task, of the ones that are there."""
    there = list(names)
    name = FIRST.get(task)
    return name if name in there else next(iter(main_figures(task, there)), None)
