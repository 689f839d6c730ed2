"""Published fusion datasets as they are on disk: recognised, read lazily, bad rows named."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import official
from tests.datasets import png
from tuwen.data import formats
from tuwen.data.dataset import CHOICES, ENTAILMENT, PAIRS, QUESTIONS, STATEMENTS, Dataset, Text
from tuwen.data.options import Options
from tuwen.errors import InputError


def failures(dataset: Dataset) -> dict[str, str]:
    return {failure.id: failure.reason for failure in dataset.failures}


def whole(dataset: Dataset) -> Any:
    """All that is in a dataset."""
    return [(text.id, text.text, text.image_ids, text.columns) for text in dataset.texts], dict(dataset.pictures)


SETS: dict[str, tuple[Callable[[Path], Path], str, str, list[str]]] = {
    "vqav2": (official.some_vqa, "", QUESTIONS, ["train", "val", "test-dev", "test", "trainable_val", "rest_val"]),
    "nlvr2": (official.save_nlvr2, "", STATEMENTS, ["train", "dev", "balanced_dev", "unbalanced_dev"]),
    "snli-ve": (official.save_snli_ve, "", ENTAILMENT, ["train", "dev"]),
    "karpathy": (
        official.save_karpathy,
        "karpathy/dataset_coco.json",
        PAIRS,
        ["train", "restval", "val", "test", "train+restval"],
    ),
    "ai-challenger": (official.save_ai_challenger, "", PAIRS, ["train", "validation"]),
    "visual-genome": (official.save_visual_genome, "", PAIRS, ["regions", "questions"]),
    "web-captions": (official.save_web_captions, "cc", PAIRS, ["train", "val"]),
    "vcr": (official.save_vcr, "", CHOICES, ["val"]),
}


@pytest.mark.parametrize("name", SETS)
def test_a_published_folder_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    make, path, kind, splits = SETS[name]
    place = make(tmp_path) / path
    assert formats.recognise(place) == name
    assert formats.splits(place) == splits
    dataset = formats.open_dataset(place, splits[0])
    assert (dataset.format, dataset.kind, dataset.split) == (name, kind, splits[0])
    if name != "visual-genome":
        assert not dataset.failures
    assert len(dataset.texts) > 1
    named = {id for text in dataset.texts for id in text.image_ids}
    assert named == set(dataset.pictures)
    assert all(Path(str(picture)).is_file() for picture in dataset.pictures.values())
    assert len({text.id for text in dataset.texts}) == len(dataset.texts)


@pytest.mark.parametrize("name", SETS)
def test_texts_are_the_same_in_any_order_and_any_process(name: str, tmp_path: Path) -> None:
    make, path, _, splits = SETS[name]
    dataset = formats.open_dataset(make(tmp_path) / path, splits[0])
    content = whole(dataset)
    count = len(dataset.texts)
    backwards = [dataset.texts[place] for place in reversed(range(count))]
    assert list(dataset.texts) == backwards[::-1] == dataset.texts[:]
    assert dataset.texts[-1] == dataset.texts[count - 1]
    with pytest.raises(IndexError):
        dataset.texts[count]
    assert whole(pickle.loads(pickle.dumps(dataset))) == content
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(whole, [dataset, dataset]) == [content, content]


# -- VQA v2 -----------------------------------------------------------------------------------------------------------


def test_questions_stand_by_picture_in_the_order_of_the_file(tmp_path: Path) -> None:
    dataset = formats.open_dataset(official.some_vqa(tmp_path), "val")
    assert list(dataset.pictures) == ["42", "41"]
    assert [text.id for text in dataset.texts] == ["200", "202", "201"]
    text = dataset.texts[2]
    assert (text.text, text.image_ids) == ("多少？", ("41",))
    assert text.columns == {
        "answers": ["Two."] * 10,
        "answer": "Two.",
        "question_type": "what",
        "answer_type": "other",
    }
    assert Path(str(dataset.pictures["41"])).read_bytes() == png(41)
    test = formats.open_dataset(tmp_path, "test")
    assert [(text.id, text.columns) for text in test.texts] == [("300", {}), ("301", {}), ("302", {})]


def test_the_files_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    official.some_vqa(tmp_path / "flat")
    own = tmp_path / "own" / "vqav2"
    own.mkdir(parents=True)
    for file in (tmp_path / "flat").glob("*.json"):
        file.rename(own / file.name)
    for folder in ("train2014", "val2014", "test2015"):
        (tmp_path / "flat" / folder).rename(tmp_path / "own" / folder)
    for path in (tmp_path / "own", own, own / "v2_OpenEnded_mscoco_val2014_questions.json"):
        assert formats.recognise(path) == "vqav2"
        assert len(formats.open_dataset(path, "val").texts) == 3
    (tmp_path / "own" / "val2014").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"the pictures of val are not there.*--pictures"):
        formats.open_dataset(own, "val")
    assert len(formats.open_dataset(own, "val", options=Options(pictures=tmp_path / "elsewhere")).texts) == 3


def test_the_parts_of_val_are_its_last_pictures_and_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tuwen.data import vqav2

    monkeypatch.setattr(vqav2, "REST", 1)
    official.some_vqa(tmp_path)
    assert [text.id for text in formats.open_dataset(tmp_path, "trainable_val").texts] == ["200", "202"]
    assert [text.id for text in formats.open_dataset(tmp_path, "rest_val").texts] == ["201"]


def test_bad_questions_and_annotations_are_named(tmp_path: Path) -> None:
    official.some_vqa(tmp_path)
    file = tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json"
    content = json.loads(file.read_text())
    content["questions"] += [
        {"image_id": 42, "question": "again", "question_id": 200},
        {"image_id": 42, "question_id": 203},
        {"image_id": "x", "question": "?", "question_id": 204},
        [],
        {"image_id": 42, "question": "without answers", "question_id": 205},
    ]
    official.save(file, content)
    file = tmp_path / "v2_mscoco_val2014_annotations.json"
    content = json.loads(file.read_text())
    content["annotations"] += [{"question_id": 9, "answers": []}, {"question_id": 205, "answers": [{"answer": 2}]}]
    official.save(file, content)
    (tmp_path / official.coco("val", 41)).unlink()
    dataset = formats.open_dataset(tmp_path, "val")
    assert [text.id for text in dataset.texts] == ["200", "202"]
    found = failures(dataset)
    start = "v2_OpenEnded_mscoco_val2014_questions.json:"
    assert found[start + "questions[3]"] == "its question_id 200 came before"
    assert found[start + "questions[4]"] == "it has no question"
    assert found[start + "questions[5]"] == "its image_id is 'x', expected a whole number"
    assert found[start + "questions[6]"] == "it is a list, expected an object"
    assert "has no answers to it" in found[start + "question 205"]
    assert "1 questions about it are left out" in found[start + "image 41"]
    start = "v2_mscoco_val2014_annotations.json:annotations"
    assert "is not in v2_OpenEnded" in found[start + "[3]"]
    assert "no list of answers" in found[start + "[4]"]


def test_questions_without_annotations_have_no_answers(tmp_path: Path) -> None:
    official.some_vqa(tmp_path)
    (tmp_path / "v2_mscoco_val2014_annotations.json").unlink()
    dataset = formats.open_dataset(tmp_path, "val")
    assert dataset.notes == ["v2_mscoco_val2014_annotations.json is not there: the questions have no answers"]
    assert {len(text.columns) for text in dataset.texts} == {0}


def test_a_truncated_file_of_questions_cannot_be_read(tmp_path: Path) -> None:
    file = official.some_vqa(tmp_path) / "v2_OpenEnded_mscoco_val2014_questions.json"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"is cut off at byte \d+, after 2 items"):
        formats.open_dataset(tmp_path, "val")


# -- NLVR2, SNLI-VE, VCR ----------------------------------------------------------------------------------------------


def test_a_statement_has_two_pictures_and_a_truth(tmp_path: Path) -> None:
    dataset = formats.open_dataset(official.save_nlvr2(tmp_path), "train")
    text = dataset.texts[3]
    assert (text.id, text.text) == ("train-2-0-1", "句子 2 1")
    assert text.image_ids == ("train-2-0-img0", "train-2-0-img1")
    assert text.columns == {"label": False, "identifier": "train-2-0", "directory": "2"}
    assert text.place == "train.json:4"
    alone = formats.open_dataset(tmp_path / "nlvr2" / "data" / "balanced" / "balanced_dev.json")
    assert [text.columns["label"] for text in alone.texts] == [True]


def test_bad_statements_are_named(tmp_path: Path) -> None:
    file = official.save_nlvr2(tmp_path) / "nlvr2" / "data" / "dev.json"
    good = file.read_text().splitlines()
    official.save_lines(
        file,
        [
            f"\ufeff{good[0]}",
            good[0],
            {"identifier": "dev-9-0-0", "sentence": "no pictures", "label": "True"},
            {"identifier": "dev-0-0-7", "sentence": "odd", "label": "maybe"},
            {"identifier": "dev-0-0-8", "label": "True"},
            "{",
            good[1][:-20],
        ],
    )
    dataset = formats.open_dataset(tmp_path, "dev")
    assert [text.id for text in dataset.texts] == ["dev-0-0-1"]
    found = failures(dataset)
    assert found["dev.json:2"] == "its identifier dev-0-0-1 came before"
    assert "dev/dev-9-0-img0.png is not in" in found["dev.json:3"]
    assert found["dev.json:4"] == "its label is 'maybe', expected True or False"
    assert found["dev.json:5"] == "its sentence is missing, expected a text"
    assert "not JSON" in found["dev.json:6"]
    assert "not JSON" in found["dev.json:7"]


def test_a_hypothesis_has_its_premise_and_label(tmp_path: Path) -> None:
    file = official.save_snli_ve(tmp_path) / "snli_ve" / "snli_ve_dev.jsonl"
    with file.open("a") as lines:
        lines.write(json.dumps({"Flickr30K_ID": 20, "sentence1": "p", "sentence2": "h"}) + "\n")
        lines.write(json.dumps({"Flickr30K_ID": "99", "sentence1": "p", "sentence2": "h"}) + "\n")
        lines.write(json.dumps({"Flickr30K_ID": "20", "sentence1": "p", "sentence2": "h", "gold_label": "-"}))
    dataset = formats.open_dataset(tmp_path, "dev")
    text = dataset.texts[2]
    assert (text.id, text.text, text.image_ids) == ("20.jpg#2", "a hypothesis 2", ("20",))
    assert text.columns == {"label": "contradiction", "premise": "a premise 0"}
    assert dataset.texts[5].columns["label"] is None
    found = failures(dataset)
    assert "its picture 99.jpg is not in" in found["snli_ve_dev.jsonl:7"]
    assert found["snli_ve_dev.jsonl:8"].startswith("its gold_label is '-', expected entailment")


def test_choices_come_with_their_boxes(tmp_path: Path) -> None:
    root = official.save_vcr(tmp_path)
    dataset = formats.open_dataset(root)
    text = dataset.texts[2]
    assert (text.id, text.text, text.image_ids) == ("val-2", "Is person0 near cat1 ?", ("movie/2.jpg",))
    columns = text.columns
    assert columns["answers"][2] == [[0, 1], "are", "."]
    assert (columns["label"], columns["reason_label"], columns["objects"]) == (2, 3, ["person", "cat"])
    assert columns["boxes"] == [[0.0, 0.0, 1.0, 2.0], [1.0, 2.0, 2.0, 3.0]]
    (root / "vcr1images" / "movie" / "1.jpg").unlink()
    with (root / "val.jsonl").open("a") as lines:
        lines.write((root / "val.jsonl").read_text().splitlines()[0] + "\n")
        lines.write(json.dumps(json.loads((root / "val.jsonl").read_text().splitlines()[0]) | {"img_fn": "/etc/a.jpg"}))
    found = formats.open_dataset(root / "val.jsonl")
    assert [text.id for text in found.texts] == ["val-0", "val-2"]
    assert "movie/1.jpg is not in" in failures(found)["val.jsonl:2"]
    assert "came before" in failures(found)["val.jsonl:4"]
    assert "is not below" in failures(found)["val.jsonl:5"]
    (root / "vcr1images" / "movie" / "0.json").write_text("{}")
    assert "0.json is not a JSON object with boxes" in found.texts[0].columns["problem"]


# -- captions ---------------------------------------------------------------------------------------------------------


def test_splits_of_karpathy_may_be_joined(tmp_path: Path) -> None:
    file = official.save_karpathy(tmp_path) / "karpathy" / "dataset_coco.json"
    counts = {split: len(formats.open_dataset(file, split).texts) for split in formats.splits(file)}
    assert counts == {"train": 3, "restval": 2, "val": 3, "test": 1, "train+restval": 5}
    dataset = formats.open_dataset(file, "restval")
    assert [(text.id, text.text) for text in dataset.texts] == [("10", "caption 1 0"), ("11", "caption 1 1")]
    (tmp_path / "train2014" / "COCO_train2014_000000000001.jpg").unlink()
    assert (
        "COCO_train2014_000000000001.jpg is not in"
        in failures(formats.open_dataset(file, "restval"))["dataset_coco.json:images[1]"]
    )
    flickr = formats.open_dataset(tmp_path / "karpathy" / "dataset_flickr30k.json", "test")
    assert [(text.id, text.text, text.image_ids) for text in flickr.texts] == [
        ("2.jpg#0", "一张图 2", ("2.jpg",)),
        ("3.jpg#0", "一张图 3", ("3.jpg",)),
    ]
    with pytest.raises(InputError, match="looks like none of"):
        formats.recognise(tmp_path / "karpathy")  # both are there: one has to be named


def test_captions_of_ai_challenger_are_found_from_its_folders_and_files(tmp_path: Path) -> None:
    folder = official.save_ai_challenger(tmp_path) / "ai_challenger_caption_validation_20170910"
    file = folder / "caption_validation_annotations_20170910.json"
    for path in (folder, file):
        assert formats.recognise(path) == "ai-challenger"
        dataset = formats.open_dataset(path)
        assert (dataset.split, len(dataset.pictures), len(dataset.texts)) == ("validation", 3, 15)
    assert dataset.texts[7] == Text(
        "validation0001.jpg#2", "第1张图 2", ("validation0001.jpg",), f"{file.name}:validation0001.jpg"
    )
    with pytest.raises(InputError, match="has the splits train, validation: name one"):
        formats.open_dataset(tmp_path)
    official.save(folder / "caption_validation_annotations_20180101.json", [])
    with pytest.raises(InputError, match=r"has not one caption_validation_annotations_DATE.json but .*: name one"):
        formats.open_dataset(folder)
    pictures = folder / "caption_validation_images_20170910"
    pictures.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"the pictures of caption_validation_annotations_20170910.json are not there"):
        formats.open_dataset(file)
    assert len(formats.open_dataset(file, options=Options(pictures=tmp_path / "elsewhere")).pictures) == 3


def test_bad_rows_of_ai_challenger_are_named(tmp_path: Path) -> None:
    folder = official.save_ai_challenger(tmp_path) / "ai_challenger_caption_validation_20170910"
    file = folder / "caption_validation_annotations_20170910.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    (folder / "caption_validation_images_20170910" / "validation0002.jpg").unlink()
    official.save(file, [rows[0], [], {"caption": ["一"]}, {"image_id": "a.jpg", "caption": "一"}, rows[0], *rows[1:]])
    dataset = formats.open_dataset(folder)
    assert failures(dataset) == {
        f"{file.name}[1]": "it is a list, expected an object",
        f"{file.name}[2]": "it has no image_id",
        f"{file.name}[3]": "a.jpg has no list of captions",
        f"{file.name}[4]": "its picture validation0000.jpg came before",
        f"{file.name}[6]": f"its picture validation0002.jpg is not in {folder / 'caption_validation_images_20170910'}",
    }
    assert [text.id for text in dataset.texts[4:6]] == ["validation0000.jpg#4", "validation0001.jpg#0"]
    file.write_text(file.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(InputError, match=r"is cut off at byte \d+, after 6 items"):
        formats.open_dataset(folder)


def test_regions_and_questions_of_visual_genome(tmp_path: Path) -> None:
    root = official.save_visual_genome(tmp_path)
    regions = formats.open_dataset(root, "regions")
    assert [text.id for text in regions.texts] == ["10", "20", "21", "50", "51"]
    assert regions.texts[2].columns == {"width": 8, "height": 9, "x": 1, "y": 2}
    asked = formats.open_dataset(root, "questions")
    assert (asked.kind, asked.texts[0].columns) == (QUESTIONS, {"answers": ["Yes."], "answer": "Yes."})
    file = root / "annotations" / "region_descriptions.json"
    official.save(file, [{"id": 1}, {"id": 2, "regions": [{"image_id": 2}]}, *json.loads(file.read_text())[3:]])
    (root / "images" / "VG_100K_2" / "5.jpg").unlink()
    assert failures(formats.open_dataset(root, "regions")) == {
        "region_descriptions.json[0]": "it has no list of regions",
        "region_descriptions.json[1]": "one of its regions has no phrase",
        "region_descriptions.json[2]": f"its picture 5.jpg is not in {root / 'images' / 'VG_100K'} or "
        f"{root / 'images' / 'VG_100K_2'}",
    }


def test_captions_of_the_web_belong_to_names_of_files(tmp_path: Path) -> None:
    root = official.save_web_captions(tmp_path)
    dataset = formats.open_dataset(root / "cc", "val")
    assert [(text.text, text.image_ids) for text in dataset.texts] == [
        ("val caption 3", ("0000003.jpg",)),
        ("val caption 1", ("0000001.jpg",)),
    ]
    sbu = formats.open_dataset(root / "sbu")
    assert [(text.text, text.image_ids) for text in sbu.texts] == [("three", ("1_a.jpg",)), ("two", ("2_b.jpg",))]
    with (root / "cc" / "val_image_exist.txt").open("a") as lines:
        lines.write("/far/0000009.jpg\n\n/far/x.jpg\n/far/0000002.jpg\n")
    found = failures(formats.open_dataset(root / "cc", "val"))
    assert "0000009.jpg is not named after one of the 4 rows" in found["val_image_exist.txt:3"]
    assert "x.jpg is not named after" in found["val_image_exist.txt:5"]
    assert "is not in" in found["0000002.jpg"]
