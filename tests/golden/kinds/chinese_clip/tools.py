"""From raw files to the score: LMDB, feature files, predictions with ties, annotations turned round, every message."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.chinese_clip.tools_data import check_data
from tuwen import checkpoint
from tuwen.data import formats
from tuwen.data.dataset import Dataset
from tuwen.evaluate.features import Features
from tuwen.evaluate.original import evaluation, feature_files, topk
from tuwen.evaluate.original.files import write_files
from tuwen.evaluate.retrieval import encode, score
from tuwen.loading import load

# direction -> what its file names and entries begin with
MIDDLE = {"text": "", "image": "_tr"}


def check(case: Case, expected: Expected) -> None:
    check_data(case, expected)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for split in sorted({key.split("_imgs")[0] for key in expected.keys("") if key.endswith(".img_feat.jsonl")}):
            write_recorded(case, expected, work, split)
            for query in MIDDLE:
                check_predictions(case, expected, work, work, split, query)
                check_scores(case, expected, work, split, query)
            check_features(case, expected, work / "ours", split)
        for path in sorted(case.path.glob("*_imgs.img_feat.jsonl")):
            for query in MIDDLE:
                check_predictions(case, expected, case.path, work, path.name.split("_imgs")[0], query)
        check_messages(case, expected, work)


def write_recorded(case: Case, expected: Expected, work: Path, split: str) -> None:
    """The original's own feature files and annotation, where the scripts find them; ours read and write the same."""
    for what, name in (("image", f"{split}_imgs.img_feat.jsonl"), ("text", f"{split}_texts.txt_feat.jsonl")):
        (work / name).write_text(str(expected.values[name]), encoding="utf-8")
        read = feature_files.read(work / name, what)
        feature_files.write(work / "again", what, read.ids, read.vectors)
        expected.same(f"{name} written again", (work / "again").read_text(encoding="utf-8"), expected.values[name])
    turned = f"{split}_texts.tr.jsonl"
    (work / turned).write_text(str(expected.values[turned]), encoding="utf-8")


def check_predictions(case: Case, expected: Expected, folder: Path, work: Path, split: str, query: str) -> None:
    name = f"{split}{MIDDLE[query]}_predictions.jsonl"
    images, texts = folder / f"{split}_imgs.img_feat.jsonl", folder / f"{split}_texts.txt_feat.jsonl"
    count = len(json.loads(expected.values[name].splitlines()[0])[topk.KEYS[query][1]])
    printed = topk.topk(images, texts, work / name, count, query)
    expected.same(f"{name} printed", printed, [f"Top-{count} predictions are saved in {work / name}", "Done!"])
    expected.equal(name, (work / name).read_text(encoding="utf-8"))


def check_scores(case: Case, expected: Expected, work: Path, split: str, query: str) -> None:
    gold = work / f"{split}_texts.tr.jsonl" if query == "image" else case.path / f"{split}_texts.jsonl"
    key = f"evaluation{MIDDLE[query]}.{split}"
    expected.equal(key, evaluated(gold, work / f"{split}{MIDDLE[query]}_predictions.jsonl", work / "score", query))


def evaluated(gold: Path, predictions: Path, output: Path, query: str) -> dict[str, str]:
    printed = evaluation.evaluate(gold, predictions, output, evaluation.RULES["chinese-clip", query])
    return {"json": output.read_text(encoding="utf-8"), "stdout_last": printed[-1]}


def check_messages(case: Case, expected: Expected, work: Path) -> None:
    for key in expected.keys("metrics."):
        name = key.removeprefix("metrics.")
        query = "image" if name.startswith("tr_") else "text"
        gold = case.path / "metrics" / ("tr_gt.jsonl" if query == "image" else "gt.jsonl")
        expected.equal(key, evaluated(gold, case.path / "metrics" / name, work / "score", query))


def check_features(case: Case, expected: Expected, folder: Path, split: str) -> None:
    """The model on the raw files: the same ids in the same order, features within the tolerance, the same lines."""
    weights = case.path / case.settings["checkpoint"]
    configs = case.path / "model_configs"
    model = load(weights, tokenizer=case.path / "vocab.txt", config=configs, device="cpu")
    dataset = formats.open_dataset(case.path, split, "chinese-clip")
    image, text = encode(model, dataset, "chinese-clip")
    paths, printed = write_files(folder, "chinese-clip", image, text, dataset)
    for what, path in zip(("text", "image"), paths, strict=False):
        compare(expected, path.name, what, path)
    extra = checkpoint.read(weights).extra
    loaded = f"=> loaded checkpoint 'CASE/{weights.name}' (epoch {extra['epoch']} @ {extra['step']} steps)"
    lines = [line.replace(str(folder), "WORK/data") for line in printed[:2]]
    expected.equal("extract_features.stdout_tail", [loaded, *lines])
    check_figures(expected, dataset, folder.parent, split)


def compare(expected: Expected, name: str, what: str, path: Path) -> None:
    """A file of ours and the recorded one, which lies in the folder above."""
    ours, theirs = (feature_files.read(one, what) for one in (path, path.parent.parent / name))
    expected.value(name)
    expected.same(f"{name} ids", ours.ids, theirs.ids)
    both = [torch.from_numpy(np.array(side.vectors)) for side in (ours, theirs)]
    expected.compare(name, both[0], both[1], expected.atol, expected.rtol)


def check_figures(expected: Expected, dataset: Dataset, folder: Path, split: str) -> None:
    """The evaluator, which goes through no files, says of the recorded features what the scripts say."""
    image = of_file(folder / f"{split}_imgs.img_feat.jsonl", list(dataset.pictures))
    text = of_file(folder / f"{split}_texts.txt_feat.jsonl", [text.id for text in dataset.texts])
    figures = score(image, text, dataset, "chinese-clip").figures
    for query, direction in (("text", "text_to_image"), ("image", "image_to_text")):
        said = json.loads(expected.values[f"evaluation{MIDDLE[query]}.{split}"]["json"])["scoreJson"]
        for name in ("r1", "r5", "r10", "mean_recall") if said else ():  # empty where the script refused the files
            ours = figures[f"{direction}_{name}"] * 100
            expected.same(f"{direction}_{name}", round(ours, 9), round(said[name], 9))


def of_file(path: Path, ids: list[str]) -> Features:
    read = feature_files.read(path)
    places = np.array([ids.index(str(id_)) for id_ in read.ids])
    order = places.argsort()
    return Features(ids, read.vectors[order], places[order])
