"""The bundled scenes as datasets of every kind, their pictures drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.data.dataset import CHOICES, CLASSES, PAIRS, QUESTIONS, Dataset, Text
from tuwen.errors import UsageError
from tuwen.evaluate.scenes import DRAWN, SEED, distinct
from tuwen.scenes import pack, words
from tuwen.scenes.labels import boxes
from tuwen.scenes.pack import glyphs
from tuwen.scenes.questions import choices, questions
from tuwen.scenes.render import render
from tuwen.scenes.scene import SPLITS, Scene, make, portrait

if TYPE_CHECKING:
    from tuwen.types import Picture

FORMAT = "scenes"
PACK = Path(pack.__file__).parent / "pack"  # what the pictures are drawn from
PEOPLE = 10  # that answer each question, all of them the same
COUNT = 1000


class Drawn(Mapping[str, "Picture"]):
    """Pictures of scenes by their ids, drawn when they are asked for."""

    def __init__(self, scenes: Mapping[str, Scene], size: int = DRAWN) -> None:
        self.scenes = scenes
        self.size = size

    def __len__(self) -> int:
        return len(self.scenes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.scenes)

    def __contains__(self, id: object) -> bool:
        return id in self.scenes

    def __getitem__(self, id: str) -> Picture:
        return render(self.scenes[id], self.size)


def captions(split: str, language: str, count: int = COUNT) -> Dataset:
    """Scenes of one to five things, each with its full caption, all different."""
    scenes = _scenes(split, count)
    texts = [Text(id_, words.caption(scene, language), (id_,)) for id_, scene in scenes.items()]
    return _dataset(split, language, PAIRS, scenes, texts)


def portraits(split: str, language: str, count: int | None = None) -> Dataset:
    """One thing in each picture, and the names of all 794 things as classes, in both languages as columns.

    count: only every so many of the pictures, so that there are about as many; the classes stay.
    """
    step = max(1, len(glyphs()) // count) if count else 1
    scenes = {f"{thing.index:03d}": portrait(thing.index, SEED, split) for thing in glyphs()[::step]}
    names = {other: words.names(other) for other in words.LANGUAGES}
    texts = []
    for number, name in enumerate(names[language]):
        id_ = f"{number:03d}"
        columns = {"number": number, **{other: names[other][number] for other in names}}
        texts.append(Text(id_, name, (id_,) if id_ in scenes else (), "", columns))
    return _dataset(split, language, CLASSES, scenes, texts)


def crowds(split: str, language: str, count: int = COUNT) -> Dataset:
    """Three things in each picture, which belongs to the class of each of them."""
    scenes = {f"three-{index:04d}": make(SEED, index, split, things=3) for index in range(count)}
    of: dict[int, list[str]] = {}
    for id_, scene in scenes.items():
        for glyph in scene.groups:
            of.setdefault(glyph, []).append(id_)
    names = words.names(language)
    texts = [Text(f"{number:03d}", name, tuple(of.get(number, ()))) for number, name in enumerate(names)]
    return _dataset(split, language, CLASSES, scenes, texts)


def foils(split: str, language: str, count: int = COUNT) -> Dataset:
    """The same scenes as `captions`; column foils: kind of the one change ("thing", "count", "background", "position")
    -> the wrong caption."""
    scenes = _scenes(split, count)
    texts = [
        Text(id_, words.caption(scene, language), (id_,), "", {"foils": words.foils_by_kind(scene, language)})
        for id_, scene in scenes.items()
    ]
    return _dataset(split, language, PAIRS, scenes, texts)


def asked(split: str, language: str, count: int = COUNT) -> Dataset:
    """Questions with one certain answer, which ten people give; columns answer, answers and kind, that of the
    question."""
    scenes = _scenes(split, count)
    texts = []
    for id_, scene in scenes.items():
        for number, one in enumerate(questions(scene, language)):
            columns = {"answer": one.answer, "answers": [one.answer] * PEOPLE, "kind": one.kind}
            texts.append(Text(f"{id_}-{number}", one.text, (id_,), "", columns))
    return _dataset(split, language, QUESTIONS, scenes, texts)


def choosing(split: str, language: str, count: int = COUNT) -> Dataset:
    """Questions with four answers and four reasons; the things are the objects, with their boxes."""
    scenes = _scenes(split, count)
    texts = []
    for id_, scene in scenes.items():
        placed = boxes(scene, DRAWN)
        for number, one in enumerate(choices(scene, language)):
            columns = {
                "question": one.question,
                "answers": list(one.choices),
                "reasons": list(one.reasons),
                "label": one.answer,
                "reason_label": one.reason,
                "objects": [glyphs()[glyph].name(language) for glyph, _ in placed],
                "boxes": [list(box) for _, box in placed],
                "kind": one.kind,
            }
            texts.append(Text(f"{id_}-{number}", one.question, (id_,), "", columns))
    return _dataset(split, language, CHOICES, scenes, texts)


def placed(split: str, language: str, count: int = COUNT) -> Dataset:
    """The name of each kind of thing in a picture, with the boxes of those of its kind."""
    scenes = _scenes(split, count)
    texts = []
    for id_, scene in scenes.items():
        of: dict[int, list[list[float]]] = {}
        for glyph, box in boxes(scene, DRAWN):
            of.setdefault(glyph, []).append(list(box))
        for number, (glyph, around) in enumerate(of.items()):
            name = glyphs()[glyph].name(language)
            texts.append(Text(f"{id_}-{number}", name, (id_,), "", {"boxes": around}))
    return _dataset(split, language, PAIRS, scenes, texts)


SETS: dict[str, Callable[..., Dataset]] = {
    "captions": captions,
    "portraits": portraits,
    "crowds": crowds,
    "foils": foils,
    "asked": asked,
    "choosing": choosing,
    "placed": placed,
}


@lru_cache(maxsize=4)
def _scenes(split: str, count: int) -> dict[str, Scene]:
    _check(split, "zh", count)
    return {f"{number:04d}": scene for number, scene in enumerate(distinct(split, count))}


def _dataset(
    split: str, language: str, kind: str, scenes: Mapping[str, Scene], texts: Sequence[Text], **more: Any
) -> Dataset:
    _check(split, language, len(scenes))
    return Dataset(FORMAT, PACK, kind, Drawn(scenes), texts, split, **more)


def _check(split: str, language: str, count: int) -> None:
    words.check_language(language)
    if split not in SPLITS:
        raise UsageError(f"split {split!r} is unknown; the splits are {', '.join(SPLITS)}")
    if count < 1:
        raise UsageError(f"there are {count} scenes to evaluate on: it must be at least 1")
