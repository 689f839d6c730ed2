"""Every format of datasets by its name: told by looking, opened and written alike."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tuwen.data.options import DEFAULT, Options, Writing
from tuwen.errors import InputError, MissingExtra, UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset

# name -> its module in this folder; in the order in which they are tried, those with the surest signs first.
FORMATS = {
    "chinese-clip": "chinese_clip",
    "chinese-clip-lmdb": "chinese_clip_lmdb",
    "vcr": "vcr",
    "vqav2": "vqav2",
    "nlvr2": "nlvr2",
    "snli-ve": "snli_ve",
    "karpathy": "karpathy",
    "ai-challenger": "ai_challenger",
    "visual-genome": "visual_genome",
    "web-captions": "web_captions",
    "brivl": "brivl_jsonl",
    "ernie-tsv": "ernie_tsv",
    "arrow": "arrow",
    "paddlenlp": "paddlenlp",
    "webdataset": "webdataset",
    "class-folders": "class_folders",
    "parquet": "parquet_rows",
    "table": "table_rows",
    "folder": "picture_folder",
}

# A file of these endings is such a table whatever its columns are called: opening it says which are missing.
TABLES = {".csv": "table", ".tsv": "table", ".jsonl": "table", ".parquet": "parquet"}


def module(name: str) -> ModuleType:
    """The module of a format. UsageError for an unknown name; MissingExtra where its package is not installed."""
    if name not in FORMATS:
        raise UsageError(f"there is no format {name!r}: expected one of {', '.join(FORMATS)}")
    try:
        return importlib.import_module(f"tuwen.data.{FORMATS[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tuwen"):
            raise
        raise MissingExtra(f"the format {name} needs {error.name}: pip install 'tuwen[data]'") from None


def writable() -> list[str]:
    """Names of the formats that can be written, of those whose packages are installed."""
    return [name for name, one in _installed() if hasattr(one, "write")]


def _installed() -> Iterator[tuple[str, ModuleType]]:
    """Formats whose packages are there, one by one: looking at the first imports nothing for the last."""
    for name in FORMATS:
        try:
            one = module(name)
        except MissingExtra:
            continue
        yield name, one


def recognise(path: Path) -> str:
    """The name of the format of a file or folder, by its names and first rows; InputError where it is none."""
    path = path.expanduser()
    if not _is_there(path):
        raise InputError(f"there is nothing at {path}: expected a dataset, a file or a folder")
    tried = []
    for name, one in _installed():
        if one.looks_like(path):
            return name
        tried.append(name)
    if path.is_file() and path.suffix.lower() in TABLES:
        return TABLES[path.suffix.lower()]
    absent = [name for name in FORMATS if name not in tried]
    missing = f" ({', '.join(absent)} cannot be read without pip install 'tuwen[data]')" if absent else ""
    raise InputError(f"{path} looks like none of {', '.join(tried)}{missing}: name its format")


def _is_there(path: Path) -> bool:
    """Whether there is a file or folder, or it is a pattern for several: shards-{000..007}.tar, shards-*.tar."""
    return path.exists() or (bool(set("*{") & set(path.name)) and path.parent.is_dir())


def splits(path: Path, format: str = "") -> list[str]:
    """The splits of a dataset, in the order train, validation, test; none where its format knows none."""
    found: list[str] = module(format or recognise(path)).splits(path.expanduser())
    return found


def open_dataset(path: Path | str, split: str = "", format: str = "", options: Options = DEFAULT) -> Dataset:
    """One split of a dataset: its rows are looked at once, its pictures and texts are read when they are asked for.

    split: may be left out where there is only one, or none; format: one of FORMATS, else told by looking.
    InputError for what cannot be read at all; single bad rows are the dataset's failures.
    """
    path = Path(path).expanduser()
    one = module(format or recognise(path))
    if not _is_there(path):
        raise InputError(f"there is nothing at {path}: expected {one.TITLE}")
    known = one.splits(path)
    if split and known and split not in known:
        raise InputError(f"{path} has no split {split!r}: it has {', '.join(known)}")
    if not split and len(known) > 1:
        raise InputError(f"{path} has the splits {', '.join(known)}: name one")
    dataset: Dataset = one.open_dataset(path, split or "".join(known), options)
    return dataset


def share_pictures(format: str, one: str, other: str) -> bool:
    """Whether two splits of a format have pictures in common by their making, so that this is no leak."""
    rule = getattr(module(format), "share_pictures", None)
    return rule is not None and bool(rule(one, other))


def check_can_hold(dataset: Dataset, name: str) -> None:
    """UsageError where a format cannot be written, or not with texts of the dataset's kind."""
    one: Any = module(name)
    if not hasattr(one, "write"):
        raise UsageError(f"{name} is read only: write one of {', '.join(writable())}")
    if dataset.kind not in one.KINDS:
        fitting = [other for other, its in _installed() if hasattr(its, "write") and dataset.kind in its.KINDS]
        raise UsageError(
            f"{name} cannot hold {dataset.kind}, only {', '.join(one.KINDS)}: "
            + (f"write one of {', '.join(fitting)}" if fitting else "no format that is written here can")
        )


def write(
    dataset: Dataset,
    target: Path,
    format: str,
    split: str = "",
    options: Options = DEFAULT,
    writing: Writing | None = None,
) -> None:
    """Write a dataset in a format; appears whole or not at all, and goes on where a stopped run was.

    split: its name there, else that of the dataset. UsageError where the format cannot hold it; InputError where the
    target is there already or cannot be written.
    """
    check_can_hold(dataset, format)
    writing = writing or Writing()
    module(format).write(dataset, target.expanduser(), split or dataset.split, options, writing)
