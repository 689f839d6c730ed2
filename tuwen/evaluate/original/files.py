"""Every file that a family's own scripts leave behind on the way from a dataset to its recall, and what they print."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tuwen.checkpoint import replacing
from tuwen.data.dataset import Dataset
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.features import Features
from tuwen.evaluate.files import whole_number
from tuwen.evaluate.original import cal_xyb_retrieval, eval_retri, evaluation, feature_files, topk
from tuwen.evaluate.original.feature_files import FeatureFile
from tuwen.evaluate.retrieval import BRIVL, BY_TEN, CHINESE_CLIP, ERNIE, rows_of
from tuwen.models.brivl import outputs as brivl_outputs
from tuwen.models.ernie_vil2 import outputs as ernie_outputs

OUTPUTS = {ERNIE: ernie_outputs, BRIVL: brivl_outputs}

Answers = dict[Any, list[Any]]  # of each query, ids as they stand in files


def check(protocol: str) -> None:
    """UsageError for a protocol without files."""
    if protocol not in (*BY_TEN, *OUTPUTS):
        some = ", ".join((*BY_TEN, *OUTPUTS))
        raise UsageError(f"--format original: the protocol {protocol} has no files, name one that has: {some}")


def write_files(
    folder: Path, protocol: str, image: Features, text: Features, dataset: Dataset
) -> tuple[list[Path], list[str]]:
    """Write them -> (paths, lines).

    "chinese-clip" and "paddlenlp": features, predictions and scores of both directions, named after the split;
    "ernie-vil2": cross_modal_embeddings.out; "brivl": np_img.npy and np_text.npy.

    UsageError for a protocol without files.
    """
    check(protocol)
    folder.mkdir(parents=True, exist_ok=True)
    if protocol in BY_TEN:
        return _by_ten(folder, protocol, image, text, dataset)
    rows, outputs = rows_of(image, text, dataset), OUTPUTS[protocol]
    paths = [folder / name for name in outputs.FILES]
    with ExitStack() as stack:
        outputs.write(tuple(stack.enter_context(replacing(path)) for path in paths), rows.image, rows.text)
    return paths, printed(protocol, image, text, dataset)


def printed(protocol: str, image: Features, text: Features, dataset: Dataset) -> list[str]:
    """What the scripts of "ernie-vil2" and "brivl" print of their files."""
    rows = rows_of(image, text, dataset)
    if protocol == ERNIE:
        return eval_retri.table(eval_retri.numbers(rows.image, rows.text)).splitlines()
    return cal_xyb_retrieval.printed(rows.image, rows.text).splitlines()


def write_predictions(path: Path, image: Features, text: Features) -> None:
    """Ten pictures for each text, best first, as evaluation.py and the judges of MUGE take them."""
    topk.write(path, _file("image", image), _file("text", text))


def _file(what: str, features: Features) -> FeatureFile:
    return FeatureFile(what, [whole_number(id_) for id_ in features.ids], features.vectors)


def _by_ten(
    folder: Path, protocol: str, image: Features, text: Features, dataset: Dataset
) -> tuple[list[Path], list[str]]:
    start = dataset.split or "test"
    texts = f"{start}_texts.jsonl"
    images, words = _file("image", image), _file("text", text)
    if protocol == CHINESE_CLIP:
        place = {id_: row for row, id_ in enumerate(images.ids)}
        order = [place[id_] for id_ in feature_files.lmdb_order(images.ids)]
        images = FeatureFile("image", [images.ids[row] for row in order], image.vectors[order])
    paths, lines = [], []
    for side, name in ((words, feature_files.text_file_of(texts)), (images, feature_files.image_file_of(texts))):
        feature_files.write(folder / name, side.what, side.ids, side.vectors)
        paths.append(folder / name)
        lines.append(feature_files.stored(side.what, len(side.ids), str(folder / name)))
    gold = gold_of(dataset)
    for query, middle in (("text", ""), ("image", "_tr")):
        path = folder / f"{start}{middle}_predictions.jsonl"
        found = topk.write(path, images, words, query=query)
        paths.append(path)
        lines.append(f"Top-10 predictions are saved in {path}")
        if gold[query]:
            paths.append(folder / f"{start}{middle}_output.json")
            evaluation.write_json(paths[-1], _scored(gold[query], found))
    return paths, lines


def gold_of(dataset: Dataset) -> dict[str, Answers]:
    """As the scripts see it: by "text" the pictures of each text, by "image" the texts of each picture that has any."""
    by_text: Answers = {}
    by_image: Answers = {}
    for one in dataset.texts:
        text_id, image_ids = whole_number(one.id), [whole_number(id_) for id_ in one.image_ids]
        by_text[text_id] = list(image_ids)
        for image_id in image_ids:
            by_image.setdefault(image_id, []).append(text_id)
    return {"text": by_text, "image": by_image}


def _scored(gold: Answers, found: Answers) -> dict[str, Any]:
    missing = [query for query in gold if query not in found]
    if missing:
        raise InputError(
            f"{len(missing)} queries have no features, the first is {missing[0]}: mend it, or leave it out"
        )
    return evaluation.score(gold, found)
