"""The data tools: what ends in which table, in which order, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import official
from tuwen.data import building, vqav2, web_captions
from tuwen.data.arrow_table import Table
from tuwen.data.building import build, single_answers
from tuwen.data.dataset import Text
from tuwen.data.grouped import Counts
from tuwen.data.options import Writing
from tuwen.data.visual_genome_splits import split_visual_genome
from tuwen.errors import InputError, UsageError


def rows(path: Path, *names: str) -> list[Any]:
    table = Table([path])
    found = [table.values(row, names) for row in range(len(table))]
    return [row[names[0]] for row in found] if len(names) == 1 else found


def test_captions_keep_the_order_of_their_file_or_one_that_a_seed_draws(tmp_path: Path) -> None:
    raw = official.save_karpathy(tmp_path / "raw")
    (raw / "train2014" / "extra.jpg").write_bytes(b"nobody speaks of it")
    built = build("coco-karpathy", raw, tmp_path / "made")
    names = [official.coco("val", n).partition("/")[2] for n in (0, 4)]
    assert rows(tmp_path / "made" / "coco_caption_karpathy_train.arrow", "image_id") == names
    assert built.tables == {
        f"coco_caption_karpathy_{split}.arrow": n
        for split, n in zip(("train", "val", "restval", "test"), (2, 1, 1, 1), strict=True)
    }
    first, *others = built.pictures.values()
    assert sum(others, first) == Counts(6, 5, 5)
    built = build("f30k-karpathy", raw, tmp_path / "made")
    assert built.tables["f30k_caption_karpathy_test.arrow"] == 2
    orders = set()
    for seed in range(8):
        build("f30k-karpathy", raw, tmp_path / f"{seed}", seed=seed)
        orders.add(tuple(rows(tmp_path / f"{seed}" / "f30k_caption_karpathy_test.arrow", "image_id")))
    assert orders == {("2.jpg", "3.jpg"), ("3.jpg", "2.jpg")}


def test_raw_answers_are_looked_up_as_they_stand_unless_fixed(tmp_path: Path) -> None:
    raw = official.some_vqa(tmp_path / "raw")
    made = tmp_path / "made"
    built = build("vqa", raw, made)
    assert json.loads((made / "answer2label.json").read_text()) == {"no": 0, "yes": 1, "2": 2}
    assert built.counts["train questions"] == 30
    assert built.counts["train questions kept"] == 20
    build("vqa-fix", raw, made)
    first = rows(made / "vqav2_train.arrow", "answers", "answer_scores", "question_id")[0]
    assert first["question_id"] == [100, 105, 110, 115]
    assert first["answers"][0] == ["no", "yes"]
    assert first["answer_scores"][0] == [1.0, 0.3]
    fixed = rows(made / "vqav2_train_fix.arrow", "answers", "answer_labels", "image_id")
    assert fixed[0]["answers"][0] == ["no", "2", "yes"]
    assert fixed[0]["answer_labels"][0] == [0, 2, 1]
    assert [row["image_id"] for row in fixed] == [5, 4, 3, 2, 1, 9]  # 8 has no known answer
    assert rows(made / "vqav2_val.arrow", "image_id") == [42]
    assert rows(made / "vqav2_val_fix.arrow", "image_id") == [42, 41]
    assert rows(made / "vqav2_test.arrow", "question_id") == [[300, 301], [302]]


def test_counts_are_of_questions_about_pictures_that_are_not_there_too(tmp_path: Path) -> None:
    raw = official.some_vqa(tmp_path / "raw")
    whole = build("vqa-fix", raw, tmp_path / "whole")
    (gone,) = (raw / "val2014").glob("*_000000000041.jpg")
    gone.unlink()
    built = build("vqa-fix", raw, tmp_path / "made")
    assert rows(tmp_path / "made" / "vqav2_val_fix.arrow", "image_id") == [42]
    assert built.counts == whole.counts
    before, after = (one.pictures["val"] for one in (whole, built))
    assert (after.files, after.named, after.used) == (before.files - 1, before.named, before.used - 1)


def test_the_last_thousand_pictures_of_val_are_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "REST", 1)
    made = tmp_path / "made"
    built = build("vqa-fix", official.some_vqa(tmp_path / "raw"), made)
    assert rows(made / "vqav2_trainable_val_fix.arrow", "image_id") == [42]
    assert rows(made / "vqav2_rest_val_fix.arrow", "image_id") == [41]
    assert built.tables["vqav2_rest_val_fix.arrow"] == 1
    assert vqav2.REST == 1000


def test_a_table_without_rows_has_no_types(tmp_path: Path) -> None:
    build("vqa", official.some_vqa(tmp_path / "raw"), tmp_path / "made")
    schema = Table([tmp_path / "made" / "vqav2_trainable_val.arrow"]).schema
    assert {name: str(schema.field(name).type) for name in ("image", "image_id", "split")} == {
        "image": "null",
        "image_id": "int64",
        "split": "null",
    }


def test_captions_of_the_web_come_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "SHARD", 1)
    raw = official.save_web_captions(tmp_path / "raw")
    built = build("conceptual-captions", raw / "cc", tmp_path / "made")
    assert list(built.tables) == [f"conceptual_caption_{split}_{n}.arrow" for split in ("val", "train") for n in (0, 1)]
    assert rows(tmp_path / "made" / "conceptual_caption_val_1.arrow", "caption", "split") == [
        {"caption": ["val caption 1"], "split": "cc"}
    ]
    assert build("sbu", raw / "sbu", tmp_path / "made").tables == {"sbu_0.arrow": 1, "sbu_1.arrow": 1}
    assert web_captions.NAME == "web-captions"


def test_questions_of_visual_genome_have_one_known_answer(tmp_path: Path) -> None:
    raw = official.some_vqa(tmp_path / "vqa")
    vg = official.save_visual_genome(tmp_path / "vg")
    built = build("vgqa", raw, tmp_path / "made")
    asked = rows(tmp_path / "made" / "vgqa_train.arrow", "questions", "answers", "question_id", "image_id")
    assert asked == [{"questions": ["what?"], "answers": [["yes"]], "question_id": [100], "image_id": 1}]
    assert rows(tmp_path / "made" / "vgqa_val.arrow", "question_id") == [[200, 201]]
    assert built.counts["answers of a question"] == {(2,): 1, (1, 1): 1, (1,): 2}
    build("vgqa-coco", raw, tmp_path / "made", visual_genome=vg)
    assert rows(tmp_path / "made" / "vgqa_coco_val.arrow", "image_id") == [2]
    (vg / "vgqa" / "ids.json").unlink()
    with pytest.raises(InputError, match=r"ids\.json cannot be read.*vgqa-split"):
        build("vgqa", raw, tmp_path / "other")


def test_of_equal_questions_the_first_counts_if_all_agree() -> None:
    texts = [
        Text(str(n), question, columns={"answer": answer})
        for n, (question, answer) in enumerate([("a", "Two"), ("a", "2."), ("b", "2"), ("b", "no"), ("c", "?")])
    ]
    found = single_answers({"2": 0, "no": 1}, texts)
    assert found == [(["2"], [0], [1.0]), ([], [], []), ([], [], []), ([], [], []), ([], [], [])]


def test_no_split_of_visual_genome_sees_a_picture_of_another_of_coco() -> None:
    pictures = [(n, 10 * n if n % 5 == 0 else None) for n in range(1, 101)]
    karpathy = {"train": {50, 100, 150}, "val": {200}, "test": {250, 300}}
    linked, ids = split_visual_genome(pictures, karpathy, size=10)
    assert linked == {"train": [5, 10, 15], "val": [20], "test": [25, 30]}
    assert {split: len(found) for split, found in ids.items()} == {"train": 80, "val": 10, "test": 10}
    assert sorted(id for found in ids.values() for id in found) == list(range(1, 101))
    assert all(set(linked[split]) <= set(ids[split]) for split in linked)
    assert split_visual_genome(pictures, karpathy, size=10) == (linked, ids)
    with pytest.raises(InputError, match="val needs 59"):
        split_visual_genome(pictures, karpathy, size=60)


def test_rows_that_cannot_be_used_are_told_or_stop_it(tmp_path: Path) -> None:
    raw = official.save_snli_ve(tmp_path / "raw")
    (raw / "flickr30k-images" / "20.jpg").unlink()
    built = build("snli", raw, tmp_path / "made")
    assert {failure.id for failure in built.failures} == {f"snli_ve_dev.jsonl:{n}" for n in (1, 3, 5)}
    assert built.tables == {"snli_train.arrow": 2, "snli_dev.arrow": 1}
    with pytest.raises(InputError, match=r"snli_ve_dev\.jsonl:1"):
        build("snli", raw, tmp_path / "other", writing=Writing(on_error="fail"))
    with pytest.raises(InputError, match="is there already"):
        build("snli", raw, tmp_path / "made")
    build("snli", raw, tmp_path / "made", writing=Writing(overwrite=True))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tool 'x': expected one of coco-karpathy"):
        build("x", tmp_path, tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        build("vqa", tmp_path / "none", tmp_path)
    for tool in building.TOOLS:
        with pytest.raises(InputError):
            build(tool, tmp_path, tmp_path / "made")
        assert not list((tmp_path).rglob("*.arrow"))
