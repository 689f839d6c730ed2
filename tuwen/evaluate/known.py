"""Sets that are known by name: where their files are, how much there is in them, and what was published on them.

Nothing is downloaded: a set is a folder on disk in the form its authors publish it, or one of the formats that hold it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.data import formats, karpathy
from tuwen.data.dataset import CHOICES, CLASSES, ENTAILMENT, PAIRS, QUESTIONS, STATEMENTS
from tuwen.data.options import DEFAULT, Options
from tuwen.data.tags import is_tagged
from tuwen.data.views import untagged
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.folds import selection

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset

SETS = Path(__file__).parent / "sets"
HOLDS = {  # what datasets of a kind hold, for people, and the command that takes them
    PAIRS: ("captions", "retrieval"),
    CLASSES: ("classes", "zeroshot"),
    QUESTIONS: ("questions", "vqa"),
    CHOICES: ("questions with choices", "vcr"),
    STATEMENTS: ("statements about two pictures", "nlvr2"),
    ENTAILMENT: ("hypotheses about pictures", "snli-ve"),
}
LOOKED_AT = 100  # texts, to tell whether their words carry parts of speech


@dataclass(frozen=True)
class Known:
    """A set by name. splits: name -> expected numbers of pictures and texts, None where nobody counts them.

    folders: names that its folder goes by; formats: it comes in, any where none are named; files: expected ones, for
    people; default: the split that results are published on; unlabelled: splits whose answers only the judges know;
    first: of its pictures that results are published on, 0 for all; folds: parts of 1,000 pictures whose mean counts.
    """

    name: str
    title: str
    kind: str
    tasks: tuple[str, ...]
    folders: tuple[str, ...]
    formats: tuple[str, ...]
    files: tuple[str, ...]
    default: str
    splits: dict[str, dict[str, int | None]]
    unlabelled: tuple[str, ...] = ()
    language: str = ""
    first: int = 0
    folds: int = 0
    split_names: dict[str, str] = field(default_factory=dict)
    hints: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def split(self, asked: str) -> str:
        """The name of a split, of what people call it too; the default one of none."""
        return self.split_names.get(asked, asked) or self.default

    def expected(self, split: str) -> str:
        """The files that a split consists of, for people."""
        return ", ".join(file.replace("{split}", split) for file in self.files)


@dataclass(frozen=True)
class Opened:
    """A dataset that was asked for. name: for people and for looking up results; comparable: whether it is the split
    that results were published on, as far as counts tell."""

    name: str
    dataset: Dataset
    known: Known | None = None
    comparable: bool = False
    notes: tuple[str, ...] = ()


@cache
def sets() -> dict[str, Known]:
    """Every known set by its name."""
    content = json.loads((SETS / "known.json").read_text(encoding="utf-8"))
    return {name: _known(name, fields) for name, fields in content.items()}


def _known(name: str, fields: Mapping[str, Any]) -> Known:
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return Known(name, **plain)


def find(name: str) -> Known | None:
    """A known set by its name, whatever its case and dashes."""
    plain = _plain(name)
    return next((known for known in sets().values() if _plain(known.name) == plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


# -- opening ----------------------------------------------------------------------------------------------------------


def open_set(
    name: str,
    data: Path | None = None,
    split: str = "",
    form: str = "",
    options: Options = DEFAULT,
    strip_pos: bool = False,
    first: int | None = None,
) -> Opened:
    """A set by its name and folder, or any dataset by its path.

    data: the folder of a known set, or the one that its folder lies in; strip_pos: texts without parts of speech;
    first: only so many of the pictures, with their texts. UsageError where nothing says where a known set lies,
    InputError where it is not there, or is not what its name says.
    """
    known = find(name)
    if data is None and (known is None or Path(name).expanduser().exists()):
        path = Path(name).expanduser()
        if not path.exists():
            raise UsageError(f"there is no set {name!r} and nothing at that path: name a dataset, or one of {names()}")
        dataset = formats.open_dataset(path, split, form, options)
        opened = Opened(path.resolve().stem, dataset)
    elif known is None:
        assert data is not None
        opened = Opened(name, formats.open_dataset(data, split, form, options))
    elif data is None:
        wanted = known.expected(known.split(split))
        raise UsageError(f"where is {known.title}? Nothing is downloaded: --data FOLDER, the one with {wanted}")
    else:
        opened = _open_known(known, data.expanduser(), known.split(split), form, options)
    return _prepared(opened, strip_pos, first)


def _open_known(known: Known, data: Path, split: str, form: str, options: Options) -> Opened:
    wanted = f"expected {known.expected(split)} of {known.title}"
    if not data.exists():
        raise InputError(f"there is nothing at {data}: {wanted}")
    path, form = _place(known, data, form, wanted)
    there = formats.splits(path, form)
    if split not in there and there:
        others = [other for other, name in known.split_names.items() if name == split and other in there]
        if not others:
            raise InputError(f"{path} has no split {split!r} of {known.title}, only {', '.join(there)}: {wanted}")
        (split, *_) = others
    dataset = formats.open_dataset(path, split if there else "", form, options)
    if dataset.kind != known.kind:
        raise InputError(f"{path} holds {dataset.kind}, {known.title} is of {known.kind}: {wanted}")
    return Opened(known.name, replace(dataset, split=known.split(split)), known)


def _place(known: Known, data: Path, form: str, wanted: str) -> tuple[Path, str]:
    """(where the set lies, its format): the folder that was named, or one in it that goes by the set's name.

    Of a set that is called after a file of its own, that file: others may lie beside it.
    """
    places = [data, *(data / name for name in dict.fromkeys([*known.folders, known.name]) if data.is_dir())]
    others: list[str] = []
    for place in filter(Path.exists, places):
        for name in [form] if form else known.formats:
            if name == karpathy.NAME:
                files = karpathy.files_at(place)
                others += [str(file) for file in files if file.name not in known.files]
                own = [file for file in files if file.name in known.files]
                if own:
                    return own[0], name
                continue
            if form:
                return place, form
            try:
                if formats.module(name).looks_like(place):
                    return place, name
            except ImportError:
                continue
        if not known.formats and not form:
            try:
                return place, formats.recognise(place)
            except InputError:
                continue
    found = f", found {', '.join(dict.fromkeys(others))}" if others else ""
    raise InputError(f"{data} is not {known.title}: {wanted}, in {' or '.join(known.formats) or 'any format'}{found}")


def _prepared(opened: Opened, strip_pos: bool, first: int | None) -> Opened:
    dataset = opened.dataset
    if strip_pos:
        dataset = untagged(dataset)
    elif tagged := _tagged(dataset):
        raise InputError(
            f"the captions of {opened.name} carry parts of speech ({tagged}): this is the segmented file; clean them "
            "with --strip-pos, or take the plain file"
        )
    notes, comparable = check(opened.known, dataset) if opened.known else ([], False)
    count = first if first is not None else 0
    if (
        opened.known
        and opened.known.first
        and first is None
        and comparable
        and len(dataset.pictures) > opened.known.first
    ):
        notes.append(
            f"results on {opened.known.title} are published on its first {opened.known.first:,} pictures: "
            f"--first {opened.known.first}"
        )
    if count and count < len(dataset.pictures):
        dataset = selection(dataset, islice(dataset.pictures, count))
    if opened.known:
        comparable = comparable and (count or 0) == opened.known.first
    return replace(opened, dataset=dataset, comparable=comparable, notes=tuple(notes))


def _tagged(dataset: Dataset) -> str:
    """A text whose words carry parts of speech, where that is the rule; else nothing."""
    texts = [text.text for text in islice(dataset.texts, LOOKED_AT)]
    found = [text for text in texts if is_tagged(text)]
    return found[0] if len(found) > len(texts) / 2 else ""


# -- checking ---------------------------------------------------------------------------------------------------------


def check(known: Known, dataset: Dataset) -> tuple[list[str], bool]:
    """(what there is to say, whether the numbers of pictures and texts are those that are published).

    Pictures that are missing are named.
    """
    notes = list(known.notes)
    missing = _missing(dataset)
    if missing:
        first = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        notes.append(f"{len(missing):,} ids of pictures are named by texts, but there are no such pictures: {first}")
    expected = known.splits.get(dataset.split)
    if expected is None:
        notes.append(
            f"{known.title} has no split {dataset.split!r}, only {', '.join(known.splits)}: nothing is compared"
        )
        return notes, False
    found = {"pictures": len(dataset.pictures), "texts": len(dataset.texts)}
    wrong = [name for name, number in expected.items() if number is not None and found[name] != number]
    for name in wrong:
        notes.append(
            f"expected {expected[name]:,} {name} in {known.title} {dataset.split}, found {found[name]:,}"
            + (_hint(known, dataset.split, name, found[name]) or "")
        )
    return notes, not wrong and not missing


def _hint(known: Known, split: str, name: str, found: int) -> str:
    for hint in known.hints:
        if hint.get("split", split) == split and hint.get(name) == found:
            return f": {hint['say']}"
    return ""


def _missing(dataset: Dataset) -> list[str]:
    named = dict.fromkeys(one for text in dataset.texts for one in text.image_ids)
    return [one for one in named if one not in dataset.pictures]


def labelled(dataset: Dataset) -> bool:
    """Whether any of its texts says what is right."""
    if dataset.kind in (PAIRS, CLASSES):
        return any(text.image_ids for text in dataset.texts)
    if dataset.kind == QUESTIONS:
        return any(text.columns.get("answers") or text.columns.get("scores") for text in dataset.texts)
    return any(text.columns.get("label") is not None for text in dataset.texts)


def unlabelled(opened: Opened) -> str:
    """What to do where the split does not say what is right."""
    known = opened.known
    dataset = opened.dataset
    if known is not None and dataset.split in known.unlabelled:
        labelled = [name for name in known.splits if name not in known.unlabelled]
        return (
            f"{known.title} {dataset.split} has no labels, its judges keep them: write their file with --submit FILE, "
            f"or take --split {' or '.join(labelled[::-1])}"
        )
    return f"{opened.name} does not say what is right: there is nothing to count; --submit FILE writes what was found"


# -- published results ------------------------------------------------------------------------------------------------


@cache
def published() -> tuple[dict[str, Any], ...]:
    """Results that the five systems published, one for each model, set, split and training."""
    return tuple(json.loads((SETS / "published.json").read_text(encoding="utf-8")))


def results(set: str, split: str = "") -> list[dict[str, Any]]:
    """Those on a set, and on one split of it."""
    known = find(set)
    name = known.name if known else set
    return [one for one in published() if one["set"] == name and (not split or one["split"] == split)]


def reference(opened: Opened, models: Sequence[str], training: str = "") -> dict[str, Any] | None:
    """What was published for a model on this set and split; of two models that work together, of both.

    models: names as of `Model.name`; training: "zero-shot" or "fine-tuned", by default the first that there is.
    `comparable` says whether the dataset is, by its counts, what it was published on.
    """
    found: dict[str, Any] = {}
    if opened.known is None:
        return None
    for wanted in (training,) if training else ("zero-shot", "fine-tuned"):
        for one in results(opened.known.name, opened.dataset.split):
            if one["model"] in models and one["training"] == wanted:
                found = {**one, "figures": {**found.get("figures", {}), **one["figures"]}}
        if found:
            return {**found, "comparable": opened.comparable}
    return None


def names() -> str:
    """Names of the sets."""
    return ", ".join(sets())
