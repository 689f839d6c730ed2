"""What the columns of a row of pictures and texts are called, and what becomes of its cells."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuwen.data.chinese_clip_table import decoded, wrong_base64
from tuwen.data.dataset import CLASSES, KINDS, PAIRS, QUESTIONS, Text
from tuwen.data.options import Options
from tuwen.data.picture_rows import Row
from tuwen.errors import InputError

# our name -> names that are taken for it, the first that is there counts; Options.columns says otherwise
CALLED = {
    "image": "image file_name image_path img_path image_file img path filepath filename picture jpg png 图片".split(),
    "image_base64": "image_base64 img_base64 base64".split(),
    "text": "text texts caption captions title sentence question 文本 标题".split(),
    "image_id": "image_id img_id picture_id".split(),
    "text_id": "text_id text_ids caption_id caption_ids question_id".split(),
    "boxes": "boxes bbox bboxes".split(),
    "columns": ["columns"],  # a dictionary for each text of the row
    "kind": ["kind"],
}
HELD = (PAIRS, CLASSES, QUESTIONS)  # kinds that rows of a picture and its texts can be of
# How files of pictures begin; the base64 of three bytes is four letters whatever follows them.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PN", b"GIF", b"RIF", b"BM", b"II*", b"MM\0")
LONG = 80  # letters; no shorter base64 holds a picture, and few paths are longer


@dataclass(frozen=True)
class Columns:
    """our name -> the file's, of the columns that are there; rest: the others, which are columns of the texts."""

    of: Mapping[str, str]
    rest: tuple[str, ...]

    @property
    def hold_pictures(self) -> bool:
        """Whether there is a column of pictures."""
        return "image" in self.of or "image_base64" in self.of


def columns_of(names: Sequence[str], given: Mapping[str, str] | None = None) -> Columns:
    """What the columns of a file are; InputError for one of `given` that it has not."""
    there = {name.strip().lower(): name for name in reversed(names)}
    of = {ours: there[name] for ours, called in CALLED.items() for name in reversed(called) if name in there}
    for ours, theirs in (given or {}).items():
        if ours not in CALLED:
            continue  # of another format, or a file among several that has it under our name
        if theirs not in there.values():
            raise InputError(f"there is no column {theirs}: it has {', '.join(names)}")
        of[ours] = theirs
    if "image_base64" in (given or {}) and "image" not in (given or {}):
        of.pop("image", None)
    return Columns(of, tuple(name for name in names if name not in of.values()))


def row_of(cells: Mapping[str, Any], columns: Columns, place: str, image_id: str, text_id: str = "") -> Row:
    """A row of plain cells. image_id, text_id: where it names none, "" as image_id for a row without a picture.

    InputError for cells of a wrong form.
    """
    of = {ours: cells.get(theirs) for ours, theirs in columns.of.items()}
    words = _list(of.get("text"), "text")
    ids = _list(of.get("text_id"), "text_id")
    if len(ids) == 1 and not words and "text" in of:
        words = [""]
    if ids and len(ids) != len(words):
        raise InputError(f"it has {len(words)} texts and {len(ids)} ids of texts")
    if not ids:
        ids = [f"{text_id or place}#{number}" for number in range(len(words))] if len(words) > 1 else [text_id or place]
    rest = {name: cells[name] for name in columns.rest if cells.get(name) not in (None, "")}
    said = _said(of.get("columns"), len(words))
    texts = tuple(Text(id, text, (), place, {**rest, **more}) for id, text, more in zip(ids, words, said, strict=False))
    boxes = _json(of.get("boxes"), "boxes")
    about = {} if boxes is None or not image_id else {"boxes": boxes}
    named = of.get("image_id")
    return Row(place, image_id if named in (None, "") or not image_id else str(named), texts, about)


def _list(value: Any, name: str) -> list[str]:
    """A cell as texts: none, one or several."""
    if value in (None, ""):
        return []
    several = value if isinstance(value, list) else [value]
    for one in several:
        if isinstance(one, bool) or not isinstance(one, str | int):
            raise InputError(f"its {name} is {short(value)}, expected a text or a list of texts")
    return [str(one) for one in several]


def _said(value: Any, count: int) -> list[dict[str, Any]]:
    found = _json(value, "columns")
    if found is None:
        return [{}] * count
    if not isinstance(found, list) or len(found) != count or not all(isinstance(one, dict) for one in found):
        raise InputError(f"its columns are {short(found)}, expected a dictionary for each of its {count} texts")
    return found


def _json(value: Any, name: str) -> Any:
    """A cell that may stand there as JSON."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        return json.loads(value)
    except ValueError as error:
        raise InputError(f"its {name} are not JSON ({error})") from None


def kind_of(columns: Columns, first: Mapping[str, Any], options: Options) -> str:
    """What the texts are: as asked for, as the first row says, questions where they are called so, else captions."""
    if options.kind:
        return options.kind
    said = first.get(columns.of.get("kind", ""))
    if said in KINDS:
        return str(said)
    return QUESTIONS if columns.of.get("text", "").lower() == "question" else PAIRS


def short(value: Any) -> str:
    """A value for messages."""
    text = "missing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:60]}..."


# -- base64 -----------------------------------------------------------------------------------------------------------


def begins_like_a_picture(text: str) -> bool:
    """Whether a text is base64 of something that begins as files of pictures do."""
    try:
        return base64.b64decode(text[:4]).startswith(BEGINNINGS)
    except ValueError:  # letters that base64 does not have
        return False


def is_base64(text: str) -> bool:
    """Whether a cell is a picture in base64 and not a path: a data URI, or a long text that begins like one."""
    return text.startswith("data:image/") or (len(text) >= LONG and begins_like_a_picture(text))


def picture_of(text: str) -> bytes:
    """The file of a picture in base64, also as a data URI; InputError says what is there instead."""
    encoded = text.rpartition(",")[2] if text.startswith("data:") else text
    return decoded(encoded.strip().encode(), "its picture")


def check_base64(text: str) -> None:
    """InputError where `picture_of` would raise; much faster."""
    encoded = text.rpartition(",")[2] if text.startswith("data:") else text
    if wrong := wrong_base64(encoded.strip().encode()):
        raise InputError(wrong)
