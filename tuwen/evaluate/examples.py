"""The queries of a run that went worst and best, as a page shows them: what was asked, found, and right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuwen.evaluate.scored import Table

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.evaluate.runs import Run

Array = np.ndarray[Any, Any]

WORST, BEST = 12, 6  # queries of each part
SIDES = (("text_to_image", "以文搜图", "Texts find pictures"), ("image_to_text", "以图搜文", "Pictures find texts"))
FOUND = 6  # of what each query found


@dataclass(frozen=True)
class Hit:
    """A picture by its id, or a text. right: whether it belongs to the query; rank: its place, 0 of one that is shown
    because it was wanted."""

    rank: int
    image: str = ""
    text: str = ""
    score: float | None = None
    right: bool = False


@dataclass(frozen=True)
class Example:
    """One query. images: ids of its pictures; lines: (zh, en, value) below it; good: whether it went well; hits: what
    was found, where that is a list of pictures or texts; point, boxes: to draw into the picture, in its pixels."""

    text: str
    images: tuple[str, ...] = ()
    lines: tuple[tuple[str, str, str], ...] = ()
    good: bool = False
    hits: tuple[Hit, ...] = ()
    point: tuple[float, float] | None = None
    boxes: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Part:
    """The examples of one table."""

    zh: str
    en: str
    worst: list[Example] = field(default_factory=list)
    best: list[Example] = field(default_factory=list)


def parts(run: Run, queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    """What there is to show, none of tasks whose tables name neither pictures nor texts."""
    make = _MAKE.get(run.task)
    return [part for part in make(queries, dataset) if part.worst or part.best] if make else []


def _chosen(badness: Array, good: Array) -> tuple[list[int], list[int]]:
    """(rows that went worst, worst first; rows that went best, best first), wrong and right ones each."""
    order = np.argsort(-badness, kind="stable")
    worst = [int(row) for row in order if not good[row]][:WORST]
    best = [int(row) for row in order[::-1] if good[row]][:BEST]
    return worst, best


# -- retrieval --------------------------------------------------------------------------------------------------------


def _retrieval(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    said = {text.id: text.text for text in dataset.texts}
    found = []
    for name, zh, en in SIDES:
        table = queries.get(name, {})
        if not len(table.get("id", [])) or "rank" not in table or "found" not in table:
            continue
        ranks = np.asarray(table["rank"])
        margins = np.array([_margin(table, row) for row in range(len(ranks))])
        worst, best = _chosen(ranks - margins / 4, ranks == 1)
        by_text = name == "text_to_image"
        rows = [[_searched(table, row, said, by_text) for row in some] for some in (worst, best)]
        found.append(Part(zh, en, *rows))
    return found


def _margin(table: Table, row: int) -> float:
    """How far the best right answer stands above the best wrong one, of those that were kept."""
    right = set(table["right"][row])
    scores = list(zip(table["found"][row], table["scores"][row], strict=True))
    wrong = [score for one, score in scores if one not in right]
    good = [score for one, score in scores if one in right]
    return (good[0] if good else 0.0) - (wrong[0] if wrong else 0.0)


def _searched(table: Table, row: int, said: Mapping[str, str], by_text: bool) -> Example:
    right = list(table["right"][row])
    pairs = list(zip(table["found"][row], table["scores"][row], strict=True))[:FOUND]
    hits = [_hit(rank, one, score, one in right, said, by_text) for rank, (one, score) in enumerate(pairs, 1)]
    shown = {one for one, _ in pairs}
    if not any(one in shown for one in right):
        hits += [_hit(0, one, None, True, said, by_text) for one in right[:2]]
    rank = int(table["rank"][row])
    lines = (("名次", "rank", f"{rank:,}"),)
    id_ = str(table["id"][row])
    if by_text:
        text = str(table["query"][row]) if "query" in table else said.get(id_, id_)
        return Example(text, (), lines, rank == 1, tuple(hits))
    return Example("", (id_,), lines, rank == 1, tuple(hits))


def _hit(rank: int, one: str, score: float | None, right: bool, said: Mapping[str, str], by_text: bool) -> Hit:
    if by_text:
        return Hit(rank, image=one, score=score, right=right)
    return Hit(rank, text=said.get(one, one), score=score, right=right)


def _two_stage(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    """What the second stage made worse, and better."""
    images = {text.id: text.image_ids for text in dataset.texts}
    found = []
    for name, zh, en in SIDES:
        table = queries.get(name, {})
        depths = sorted(int(column.partition("@")[2]) for column in table if column.startswith("rank@"))
        if len(depths) > 1:
            before, after = (np.asarray(table[f"rank@{depth}"]) for depth in (depths[0], depths[-1]))
            gain = np.log2(before) - np.log2(after)
            order = np.argsort(gain, kind="stable").tolist()
            worse = [row for row in order if gain[row] < 0][:WORST]
            better = [row for row in order[::-1] if gain[row] > 0][:BEST]
            rows = [[_reranked(table, row, before, after, images) for row in some] for some in (worse, better)]
            found.append(Part(zh, en, *rows))
    return found


def _reranked(table: Table, row: int, before: Array, after: Array, images: Mapping[str, tuple[str, ...]]) -> Example:
    id_ = str(table["id"][row])
    lines = (("召回名次", "rank by recall", f"{before[row]:,}"), ("重排后", "reranked", f"{after[row]:,}"))
    good = bool(after[row] < before[row])
    if "query" in table:
        return Example(str(table["query"][row]), images.get(id_, ())[:1], lines, good)
    return Example("", (id_,), lines, good)


# -- one row, one card ------------------------------------------------------------------------------------------------


def _cards(
    queries: Mapping[str, Table],
    name: str,
    right: str,
    make: Callable[[Table, int], tuple[str, Sequence[str], Sequence[tuple[str, str, str]]]],
    sure: str = "probability",
    title: tuple[str, str] = ("问题", "Questions"),
    mark: Callable[[Table, int, Example], Example] = lambda _table, _row, example: example,
) -> list[Part]:
    """Cards of a table: those that are wrong and sure, and those that are right and sure.

    right: the column that is 1 of a right answer; make: (table, row) -> text, pictures, lines; mark: says more of it.
    """
    table = queries.get(name, {})
    if not len(table.get("id", [])) or right not in table:
        return []
    good = np.asarray(table[right], dtype=np.float64)
    certain = np.asarray(table[sure], dtype=np.float64) if sure in table else np.ones(len(good))
    worst, best = _chosen((1 - good) * (1 + certain) - good * certain, good >= 0.5)

    def example(row: int) -> Example:
        text, images, lines = make(table, row)
        return mark(table, row, Example(text, tuple(images), tuple(lines), bool(good[row] >= 0.5)))

    return [Part(*title, [example(row) for row in worst], [example(row) for row in best])]


def _percent(value: Any) -> str:
    return f"{100 * float(value):.1f} %"


def _said(
    table: Table, row: int, predicted: str, wanted: str, chance: str = "probability"
) -> list[tuple[str, str, str]]:
    lines = [("模型", "model", f"{table[predicted][row]} ({_percent(table[chance][row])})")]
    return [*lines, ("正确", "right", str(table[wanted][row]))]


def _zeroshot(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    return _cards(
        queries,
        "pictures",
        "top1",
        lambda table, row: ("", [str(table["id"][row])], _said(table, row, "predicted", "class")),
        title=("图片", "Pictures"),
    )


def _vqa(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    right = "accuracy" if "accuracy" in queries.get("questions", {}) else "target_score"

    def make(table: Table, row: int) -> tuple[str, Sequence[str], Sequence[tuple[str, str, str]]]:
        answers = ", ".join(dict.fromkeys(str(one) for one in table["answers"][row]))
        said = ("模型", "model", f"{table['predicted'][row]} ({_percent(table['probability'][row])})")
        return str(table["question"][row]), [str(table["image"][row])], [said, ("人们的回答", "people", answers)]

    return _cards(queries, "questions", right, make)


def _vcr(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    texts = {text.id: text for text in dataset.texts}
    table = queries.get("questions", {})
    what = "answer" if "answer" in table else "reason"
    figure = "q_a" if what == "answer" else "qa_r"

    def make(table: Table, row: int) -> tuple[str, Sequence[str], Sequence[tuple[str, str, str]]]:
        choices = texts[str(table["id"][row])].columns.get(f"{what}s") or []

        def choice(number: int) -> str:
            return _words(choices[number]) if number < len(choices) else str(number)

        chance = _percent(table[f"{what}_probability"][row])
        lines = [("模型", "model", f"{choice(int(table[what][row]))} ({chance})")]
        lines.append(("正确", "right", choice(int(table[f"{what}_label"][row]))))
        return str(table["question"][row]), [str(table["image"][row])], lines

    return _cards(queries, "questions", figure, make, f"{what}_probability")


def _words(choice: Any) -> str:
    """Words of VCR, in which lists of numbers stand for objects."""
    if isinstance(choice, str):
        return choice
    return " ".join(
        "".join(f"[{number}]" for number in word) if isinstance(word, list | tuple) else str(word) for word in choice
    )


def _nlvr2(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    def make(table: Table, row: int) -> tuple[str, Sequence[str], Sequence[tuple[str, str, str]]]:
        pictures = [str(table["first"][row]), str(table["second"][row])]
        lines = [("判断为真的概率", "probability of true", _percent(table["probability"][row]))]
        lines.append(("正确", "right", str(table["label"][row])))
        return str(table["sentence"][row]), pictures, lines

    return _cards(queries, "statements", "accuracy", make, sure="", title=("陈述", "Statements"))


def _snli_ve(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    def make(table: Table, row: int) -> tuple[str, Sequence[str], Sequence[tuple[str, str, str]]]:
        return str(table["hypothesis"][row]), [str(table["image"][row])], _said(table, row, "predicted", "label")

    return _cards(queries, "hypotheses", "accuracy", make, title=("假设", "Hypotheses"))


def _fill(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    def make(table: Table, row: int) -> tuple[str, Sequence[str], Sequence[tuple[str, str, str]]]:
        chance = _percent(table["probability"][row])
        lines = [("模型", "model", str(table["predicted"][row])), ("正确", "right", f"{table['word'][row]} ({chance})")]
        return str(table["masked"][row]), [str(table["image"][row])], lines

    return _cards(queries, "words", "accuracy", make, sure="", title=("遮盖词", "Masked words"))


def _ground(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    from tuwen.evaluate.ground import boxes_of

    texts = {text.id: text for text in dataset.texts}

    def mark(table: Table, row: int, example: Example) -> Example:
        boxes = boxes_of(texts[str(table["id"][row])]) or ()
        around = tuple(tuple(float(edge) for edge in box[:4]) for box in boxes)
        return replace(example, point=(float(table["x"][row]), float(table["y"][row])), boxes=around)

    def make(table: Table, row: int) -> tuple[str, Sequence[str], Sequence[tuple[str, str, str]]]:
        lines = [("指向", "points at", f"{table['x'][row]:.0f}, {table['y'][row]:.0f}")]
        lines.append(("框内份额", "share in the box", _percent(table["share"][row])))
        return str(table["text"][row]), [str(table["image"][row])], lines

    return _cards(queries, "texts", "pointing", make, sure="share", title=("定位", "Grounding"), mark=mark)


def _match(queries: Mapping[str, Table], dataset: Dataset) -> list[Part]:
    def make(table: Table, row: int) -> tuple[str, Sequence[str], Sequence[tuple[str, str, str]]]:
        lines = [("正确", "right", str(table["caption"][row])), ("错误", "foil", str(table["foil"][row]))]
        lines.append(("分差", "margin", f"{table['margin'][row]:+.3f}"))
        return "", [str(table["image"][row])], lines

    return _cards(queries, "pairs", "accuracy", make, sure="certainty", title=("图文对", "Pairs"))


_MAKE: dict[str, Callable[[Mapping[str, Table], Dataset], list[Part]]] = {
    "retrieval": _retrieval,
    "two_stage": _two_stage,
    "zeroshot": _zeroshot,
    "vqa": _vqa,
    "vcr": _vcr,
    "nlvr2": _nlvr2,
    "snli_ve": _snli_ve,
    "fill": _fill,
    "ground": _ground,
    "match": _match,
}
