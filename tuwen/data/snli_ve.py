"""SNLI-VE as it is published: JSON lines of premises and hypotheses beside Flickr30K's folder of pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tuwen.data.dataset import ENTAILMENT, Dataset, Text
from tuwen.data.grouped import Folders, PictureFiles, first_folder
from tuwen.data.lines import first_object, object_of, open_lines, text_of
from tuwen.data.options import DEFAULT, Options
from tuwen.errors import InputError

NAME = "snli-ve"
TITLE = "SNLI-VE: snli_ve_{train,dev,test}.jsonl beside flickr30k-images"
KINDS = (ENTAILMENT,)

SPLITS = ("train", "dev", "test")
LABELS = ("entailment", "neutral", "contradiction")
FOLDERS = ("flickr30k-images", "flickr30k_images", "images")


def looks_like(path: Path) -> bool:
    """A folder with one of the files, or with snli_ve/ that has one, or such a file."""
    if path.is_file():
        return {"Flickr30K_ID", "sentence2"} <= first_object(path).keys()
    return any(_file(path, split).is_file() for split in SPLITS)


def splits(path: Path) -> list[str]:
    """Those of a folder."""
    return [split for split in SPLITS if _file(path, split).is_file()] if path.is_dir() else []


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """The hypotheses as texts; columns: label, and premise, the caption that was taken for the picture.

    The id of a picture is its Flickr30K_ID, that of a text its pairID, else "LINE". Pictures that are not there are
    failures, once each.
    """
    file = _file(path, split) if path.is_dir() else path
    around = [file.parent, file.parent.parent]
    candidates = [options.pictures] if options.pictures else [folder / name for folder in around for name in FOLDERS]
    if options.pictures:
        candidates = [*(options.pictures / name for name in FOLDERS), options.pictures]
    folders = Folders([first_folder(candidates, "the pictures of Flickr30K")])
    pictures = PictureFiles(folders.folders)
    dataset = Dataset(NAME, path, ENTAILMENT, pictures, [], split or file.stem.removeprefix("snli_ve_"))
    ids: set[str] = set()

    def accept(text: Text) -> None:
        if text.id in ids:
            raise InputError(f"its pairID {text.id} came before")
        (image,) = text.image_ids
        if image not in pictures:
            if folders.find(f"{image}.jpg") < 0:
                raise InputError(f"its picture {image}.jpg is not in {folders.said()}")
            pictures.add(image, f"{image}.jpg", 0)
        ids.add(text.id)

    dataset.texts = open_lines(file, partial(parse, file.name), dataset.failures, accept)
    return dataset


def parse(file: str, number: int, line: bytes) -> Text:
    """The text of a line; InputError says what is wrong with it."""
    row = object_of(number, line)
    image = str(row["Flickr30K_ID"]) if type(row.get("Flickr30K_ID")) is int else text_of(row, "Flickr30K_ID")
    label = row.get("gold_label")
    if label is not None and label not in LABELS:
        raise InputError(f"its gold_label is {label!r}, expected {', '.join(LABELS)}")
    columns = {"label": label, "premise": text_of(row, "sentence1")}
    return Text(str(row.get("pairID", number)), text_of(row, "sentence2"), (image,), f"{file}:{number}", columns)


def _file(path: Path, split: str) -> Path:
    if path.is_file():
        return path
    name = f"snli_ve_{split}.jsonl"
    return path / name if (path / name).exists() or not (path / "snli_ve").is_dir() else path / "snli_ve" / name
