"""PaddleNLP's retrieval example: its tables of pictures, feature files, predictions and scores of both directions."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch

import tuwen
from tests.golden.case import Case, Expected
from tests.golden.kinds.ernie_vil.tables import check_tables
from tuwen.data import formats
from tuwen.data.dataset import Dataset
from tuwen.data.inverting import invert
from tuwen.evaluate.features import Features
from tuwen.evaluate.original import evaluation, feature_files, topk
from tuwen.evaluate.original.files import write_files
from tuwen.evaluate.retrieval import PADDLENLP, encode, of_paddlenlp, score
from tuwen.model import Model
from tuwen.processing.wordpiece import straight_quotes

# what is asked with -> the middle of file names, the name of the score, the evaluator's name
NAMES = {"text": ("", "t2i", "text_to_image"), "image": ("_tr", "i2t", "image_to_text")}


def check(case: Case, expected: Expected) -> None:
    split = case.settings["split"]
    check_tables(case, expected)
    model = tuwen.load(case.path / "checkpoint", device="cpu")
    dataset = formats.open_dataset(case.path, split, PADDLENLP)
    expected.same("failures", dataset.failures, [])
    check_model(case, expected, model, dataset)
    with tempfile.TemporaryDirectory() as name:
        for query in NAMES:
            check_direction(case, expected, Path(name), split, query)
        check_files(case, expected, model, dataset, Path(name) / "ours")
    check_figures(case, expected, dataset, split)


def check_model(case: Case, expected: Expected, model: Model, dataset: Dataset) -> None:
    processor = of_paddlenlp(model).processor
    texts = processor.texts([straight_quotes(text.text) for text in dataset.texts])
    expected.equal("input_ids", texts.ids)
    images = processor.images([dataset.pictures[image_id] for image_id in dataset.pictures])
    image, text = encode(model, dataset, PADDLENLP)
    near = case.settings["tolerance"]["features"]
    for key, ours in (
        ("pixel_values", images.pixels),
        ("vision.embed", torch.from_numpy(image.vectors)),
        ("text.embed", torch.from_numpy(text.vectors)),
    ):
        expected.compare(key, ours, expected.tensor(key), near["atol"], near["rtol"])


def recorded(case: Case, name: str) -> Path:
    return case.path / f"expected_{name}"


def check_direction(case: Case, expected: Expected, work: Path, split: str, query: str) -> None:
    """The scripts on the recorded feature files, then on the recorded predictions: byte for byte."""
    middle, short, _ = NAMES[query]
    images, texts = recorded(case, f"{split}_imgs.img_feat.jsonl"), recorded(case, f"{split}_texts.txt_feat.jsonl")
    name = f"{split}{middle}_predictions.jsonl"
    topk.topk(images, texts, work / name, query=query)
    expected.same(name, (work / name).read_bytes(), recorded(case, name).read_bytes())
    gold = case.path / f"{split}_texts.jsonl"
    if query == "image":
        gold, _ = invert(gold, work / f"{split}_texts.tr.jsonl")
        expected.same(gold.name, gold.read_bytes(), recorded(case, gold.name).read_bytes())
    printed = evaluation.evaluate(gold, work / name, work / short, evaluation.RULES[PADDLENLP, query])
    expected.same(f"{short} printed", printed[-1], "The evaluation finished successfully.")
    expected.same(short, (work / short).read_bytes(), recorded(case, f"{short}.json").read_bytes())


def check_files(case: Case, expected: Expected, model: Model, dataset: Dataset, folder: Path) -> None:
    """The same ids in the same order as in the recorded feature files, which are read and written alike."""
    image, text = encode(model, dataset, PADDLENLP)
    paths, _ = write_files(folder, PADDLENLP, image, text, dataset)
    for what, path in zip(("text", "image"), paths, strict=False):
        theirs = feature_files.read(recorded(case, path.name), what)
        expected.same(f"{path.name} ids", feature_files.read(path, what).ids, theirs.ids)
        feature_files.write(folder / "again", what, theirs.ids, theirs.vectors)
        written = (folder / "again").read_bytes()
        expected.same(f"{path.name} written again", written, recorded(case, path.name).read_bytes())


def check_figures(case: Case, expected: Expected, dataset: Dataset, split: str) -> None:
    """The evaluator, which goes through no files, says of the recorded features what the scripts say."""
    sides = []
    for name in (f"{split}_imgs.img_feat.jsonl", f"{split}_texts.txt_feat.jsonl"):
        read = feature_files.read(recorded(case, name))
        sides.append(Features([str(id_) for id_ in read.ids], read.vectors, np.arange(len(read.ids))))
    figures = score(sides[0], sides[1], dataset, PADDLENLP).figures
    for _, short, direction in NAMES.values():
        said = json.loads(recorded(case, f"{short}.json").read_text(encoding="utf-8"))["scoreJson"]
        for name in ("r1", "r5", "r10", "mean_recall"):
            ours, theirs = figures[f"{direction}_{name}"] * 100, said[name]
            expected.same(f"{direction}_{name}", round(ours, 9), round(theirs, 9))
