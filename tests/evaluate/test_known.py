"""Sets by name: found where they lie, counted, and never compared with results of something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import official
from tests.cli.conftest import save_pictures
from tests.datasets import png, save_images, save_split, save_texts
from tuwen import models
from tuwen.data import formats
from tuwen.data.dataset import KINDS
from tuwen.errors import InputError, UsageError
from tuwen.evaluate import figures, folds, known
from tuwen.evaluate.known import Known, open_set
from tuwen.evaluate.scored import Made, Scored, Table, figures_of


def captions(folder: Path, split: str, pictures: int, texts: int, said: str = "一只猫") -> Path:
    """A set in Chinese-CLIP's files."""
    save_images(folder / f"{split}_imgs.tsv", [(number, png(number)) for number in range(pictures)])
    rows = [(number, f"{said}", [number % pictures]) for number in range(texts)]
    save_texts(folder / f"{split}_texts.jsonl", rows)
    return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Known]:
    """The sets, COCO-CN and CIFAR-10 and AIC-ICC with a few pictures each."""
    sets = dict(known.sets())
    sets["coco-cn"] = replace(sets["coco-cn"], splits={"test": {"pictures": 4, "texts": 5}})
    sets["cifar-10"] = replace(sets["cifar-10"], splits={"test": {"pictures": 6, "texts": 3}})
    sets["aic-icc"] = replace(sets["aic-icc"], splits={"validation": {"pictures": 4, "texts": 8}}, first=2)
    monkeypatch.setattr(known, "sets", lambda: sets)
    return sets


# -- what is in the package -------------------------------------------------------------------------------------------


def test_every_set_says_where_results_are_published_and_in_which_formats() -> None:
    for one in known.sets().values():
        assert one.kind in KINDS
        assert one.default in one.splits
        assert one.folders and one.files and one.tasks
        for name in one.formats:
            assert one.kind in formats.module(name).KINDS, name
        assert set(one.unlabelled) <= set(one.splits)


def test_published_results_are_of_known_sets_and_splits_and_are_shares() -> None:
    for one in known.published():
        assert one["split"] in known.sets()[one["set"]].splits, one
        assert one["training"] in ("zero-shot", "fine-tuned")
        assert all(0 < value <= 1 for value in one["figures"].values())
        assert figures.main_figures(known.sets()[one["set"]].tasks[0], one["figures"])


def test_means_of_published_recalls_are_those_that_were_published() -> None:
    for one in known.published():
        for side in figures.DIRECTIONS:
            parts = [one["figures"].get(f"{side}_r{k}") for k in (1, 5, 10)]
            mean = one["figures"].get(f"{side}_mean_recall")
            if mean is not None and None not in parts:
                assert mean == pytest.approx(np.mean(parts), abs=0.001), one  # both were rounded


def test_every_model_of_the_five_systems_is_looked_up_by_the_name_it_loads_by() -> None:
    names = {f"{family}/{variant}" for family in models.FAMILIES for variant in models.family(family).VARIANTS}
    with_results = {one["model"] for one in known.published()} & names
    assert {"chinese-clip/vit-b-16", "ernie-vil2/base", "brivl/1.0", "bridgetower/base", "vle/base-vqa"} <= with_results


# -- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "COCO-CN", "coco-cn"])
def test_a_set_is_found_in_its_folder_or_in_the_one_around_it(
    tiny: dict[str, Known], tmp_path: Path, below: str
) -> None:
    captions(tmp_path / below, "test", 4, 5)
    opened = open_set("coco_CN", tmp_path)
    assert (opened.name, opened.dataset.split, opened.comparable) == ("coco-cn", "test", True)
    assert not opened.notes


LAYOUTS = {
    "vqav2": (official.some_vqa, "val", 3),
    "nlvr2": (official.save_nlvr2, "dev", None),
    "snli-ve": (official.save_snli_ve, "dev", None),
    "vcr": (official.save_vcr, "val", None),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts_are_opened_by_name(name: str, tmp_path: Path) -> None:
    make, split, count = LAYOUTS[name]
    make(tmp_path)
    opened = open_set(name, tmp_path)
    assert (opened.dataset.split, opened.dataset.kind) == (split, known.sets()[name].kind)
    assert count is None or len(opened.dataset.texts) == count
    assert not opened.comparable
    assert any("expected" in note and "found" in note for note in opened.notes)


@pytest.mark.parametrize("inside", ["", "ai_challenger_caption_validation_20170910"])
def test_aic_icc_is_opened_as_its_authors_publish_it(tiny: dict[str, Known], tmp_path: Path, inside: str) -> None:
    official.save_ai_challenger(tmp_path)
    opened = open_set("aic-icc", tmp_path / inside)
    assert (opened.dataset.format, opened.dataset.split) == ("ai-challenger", "validation")
    assert len(opened.dataset.texts) == 15
    assert any("expected 4 pictures in AIC-ICC validation, found 3" in note for note in opened.notes)


@pytest.mark.parametrize("form", ["", "karpathy"])
@pytest.mark.parametrize("inside", ["", "karpathy"])
def test_captions_of_coco_and_flickr_are_told_apart_in_one_folder(form: str, inside: str, tmp_path: Path) -> None:
    official.save_karpathy(tmp_path)
    for name, pictures in (("coco", 1), ("coco-1k", 1), ("flickr30k", 2)):
        dataset = open_set(name, tmp_path / inside, form=form).dataset
        assert (dataset.format, len(dataset.pictures)) == ("karpathy", pictures)
        assert dataset.path.name == f"dataset_{name.removesuffix('-1k')}.json"


def test_captions_of_another_set_are_refused_and_named(tmp_path: Path) -> None:
    official.save_karpathy(tmp_path)
    (tmp_path / "karpathy" / "dataset_flickr30k.json").unlink()
    with pytest.raises(InputError, match=r"is not Flickr30K .*expected dataset_flickr30k.json.*, found .*_coco.json"):
        open_set("flickr30k", tmp_path)


def test_classes_are_opened_by_name_whatever_the_split_is_called(tiny: dict[str, Known], tmp_path: Path) -> None:
    for number in range(3):
        save_pictures(tmp_path / "cifar-10" / "test" / str(number), 2)
    (tmp_path / "cifar-10" / "label_cn.txt").write_text("猫\n狗\n车\n", encoding="utf-8")
    assert open_set("cifar-10", tmp_path).comparable
    (tmp_path / "cifar-10").rename(tmp_path / "ImageNet-1K")
    assert open_set("imagenet", tmp_path).dataset.split == "val"


def test_without_a_folder_the_expected_files_are_named() -> None:
    with pytest.raises(UsageError, match=r"--data FOLDER, the one with test_imgs.tsv, test_texts.jsonl"):
        open_set("flickr30k-cn")
    with pytest.raises(UsageError, match="name a dataset, or one of muge, flickr30k-cn"):
        open_set("nothing")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    official.save_nlvr2(tmp_path)
    with pytest.raises(InputError, match=r"is not COCO-CN: expected test_imgs.tsv.* in chinese-clip or"):
        open_set("coco-cn", tmp_path)
    captions(tmp_path / "cn", "valid", 1, 1)
    with pytest.raises(InputError, match=r"no split 'test' of COCO-CN, only valid"):
        open_set("coco-cn", tmp_path / "cn")


def test_any_dataset_is_opened_by_its_path(tmp_path: Path) -> None:
    save_split(tmp_path / "mine", "train")
    opened = open_set(str(tmp_path / "mine"))
    assert (opened.name, opened.known, opened.comparable) == ("mine", None, False)
    assert open_set("called", tmp_path / "mine").name == "called"


# -- checking ---------------------------------------------------------------------------------------------------------


def test_manual_and_translated_captions_of_coco_cn_are_told_apart(tmp_path: Path) -> None:
    captions(tmp_path, "test", 1000, 6053)
    opened = open_set("coco-cn", tmp_path)
    assert opened.notes == (
        "expected 1,053 texts in COCO-CN test, found 6,053: this is manual+translated: results are published on the "
        "1,053 captions that people wrote, take these alone",
    )
    assert not opened.comparable


def test_parts_of_speech_are_refused_until_they_are_stripped(tmp_path: Path) -> None:
    captions(tmp_path, "test", 4, 5, "男人/n 骑/v 马/n")
    with pytest.raises(InputError, match=r"男人/n 骑/v 马/n.*--strip-pos"):
        open_set("flickr30k-cn", tmp_path)
    opened = open_set("flickr30k-cn", tmp_path, strip_pos=True)
    assert {text.text for text in opened.dataset.texts} == {"男人骑马"}


def test_a_split_without_labels_says_what_to_do(tmp_path: Path) -> None:
    save_images(tmp_path / "test_imgs.tsv", [(1, png(1))])
    save_texts(tmp_path / "test_texts.jsonl", [(1, "红裙子", [])])
    said = known.unlabelled(open_set("muge", tmp_path, "test"))
    assert "MUGE (ECommerce-IR) test has no labels" in said
    assert "--submit FILE" in said
    assert "--split valid" in said


def test_results_on_the_first_pictures_need_the_first_pictures(tiny: dict[str, Known], tmp_path: Path) -> None:
    captions(tmp_path, "valid", 4, 8)
    whole = open_set("aic-icc", tmp_path, "valid")
    assert whole.dataset.split == "validation"
    assert not whole.comparable
    assert "--first 2" in whole.notes[0]
    part = open_set("aic-icc", tmp_path, "validation", first=2)
    assert part.comparable
    assert list(part.dataset.pictures) == ["0", "1"]
    assert [text.image_ids for text in part.dataset.texts] == [("0",), ("1",), ("0",), ("1",)]
    assert known.reference(part, ["ernie-vil2/base"]) is not None


# -- published results ------------------------------------------------------------------------------------------------


def test_the_reference_is_of_the_same_model_set_and_split(tiny: dict[str, Known], tmp_path: Path) -> None:
    captions(tmp_path, "test", 4, 5)
    opened = open_set("coco-cn", tmp_path)
    found = known.reference(opened, ["chinese-clip/vit-b-16"])
    assert found is not None
    assert found["figures"]["text_to_image_r1"] == 0.622
    assert found["comparable"]
    tuned = known.reference(opened, ["chinese-clip/vit-b-16"], "fine-tuned")
    assert tuned is not None and tuned["figures"]["image_to_text_r1"] == 0.774
    assert known.reference(opened, ["demo"]) is None
    captions(tmp_path, "test", 4, 4)
    other = known.reference(open_set("coco-cn", tmp_path), ["chinese-clip/vit-b-16"])
    assert other is not None and not other["comparable"]


def test_two_models_of_one_run_have_both_their_results(tmp_path: Path) -> None:
    official.save_vcr(tmp_path)
    found = known.reference(open_set("vcr", tmp_path), ["vle/base-vcr-q2a", "vle/base-vcr-qa2r"])
    assert found is not None
    assert found["figures"] == {"q_a": 0.799, "qa_r": 0.837}


# -- parts ------------------------------------------------------------------------------------------------------------


def test_folds_are_pictures_in_their_order_with_their_texts(tmp_path: Path) -> None:
    dataset = open_set("coco-cn", captions(tmp_path, "test", 5, 10)).dataset
    parts = list(folds.folds(dataset, 5, size=2))
    assert [list(part.pictures) for part in parts] == [["0", "1"], ["2", "3"]]
    assert [[text.id for text in part.texts] for part in parts] == [["0", "1", "5", "6"], ["2", "3", "7", "8"]]
    assert len(list(folds.folds(dataset, 5))) == 1  # fewer pictures than a fold: all of them, once


def test_figures_of_folds_are_over_all_their_queries() -> None:
    made = {"r1": Made("texts", "hit")}
    parts = []
    for values in ([1.0, 0.0], [1.0, 1.0]):
        table: Table = {"id": ["a", "b"], "hit": np.array(values)}
        parts.append(Scored("retrieval", figures_of({"texts": table}, made), {"texts": table}, made, ["note"]))
    whole = folds.together(parts)
    assert whole.figures == {"r1": 0.75}
    assert whole.notes[1:] == ["note"]
    assert folds.together(parts[:1]) is parts[0]
