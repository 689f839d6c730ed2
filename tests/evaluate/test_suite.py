"""The suite on scenes: true datasets of every kind, and every part that a model can do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fusing import CASES, PRETRAINED
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.evaluate import foils, page, runs, scene_sets, suite
from tuwen.loading import load
from tuwen.model import Model


@pytest.fixture(scope="module")
def demo() -> Model:
    return load("demo", device="cpu")


@pytest.mark.parametrize("name", scene_sets.SETS)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_scenes_are_datasets_whose_texts_name_their_pictures(name: str, language: str) -> None:
    dataset = scene_sets.SETS[name]("test", language, 8)
    assert dataset.split == "test"
    named = {one for text in dataset.texts for one in text.image_ids}
    assert named <= set(dataset.pictures)
    assert len({text.id for text in dataset.texts}) == len(dataset.texts)
    (first, *_) = dataset.pictures
    assert np.array_equal(np.asarray(dataset.pictures[first]), np.asarray(dataset.pictures[first]))
    again = scene_sets.SETS[name]("test", language, 8)
    assert runs.of_data(dataset)["fingerprint"] == runs.of_data(again)["fingerprint"]
    other = scene_sets.SETS[name]("validation", language, 8)
    if name != "portraits":  # their names are the same, the drawings are not
        assert runs.of_data(dataset)["fingerprint"] != runs.of_data(other)["fingerprint"]


def test_labels_of_scenes_are_among_their_choices_and_boxes_within_their_pictures() -> None:
    for text in scene_sets.choosing("test", "en", 8).texts:
        assert text.columns["label"] in range(len(text.columns["answers"]))
        assert text.columns["reason_label"] in range(len(text.columns["reasons"]))
        assert len(text.columns["boxes"]) == len(text.columns["objects"])
    for text in scene_sets.placed("test", "zh", 8).texts:
        assert all(
            0 <= left < right <= 192 and 0 <= top < low <= 192 for left, top, right, low in text.columns["boxes"]
        )
    for text in scene_sets.foils("test", "zh", 8).texts:
        assert {"thing", "count", "background"} <= set(text.columns["foils"])
        assert text.text not in text.columns["foils"].values()


def test_unknown_splits_and_languages_are_refused() -> None:
    with pytest.raises(UsageError, match="split 'dev'"):
        scene_sets.captions("dev", "zh", 2)
    with pytest.raises(UsageError, match="language 'fr'"):
        scene_sets.captions("test", "fr", 2)


def test_a_two_tower_model_does_its_parts_in_its_languages(demo: Model) -> None:
    names = [f"{part.name} {language}" for part, language in suite.planned(demo)]
    assert names == [f"{name} {one}" for name in ("retrieval", "things", "three", "match") for one in ("zh", "en")]
    assert [language for _, language in suite.planned(demo, ["match"], ["en"])] == ["en"]
    with pytest.raises(UsageError, match="no part 'song'"):
        suite.planned(demo, ["song"])
    with pytest.raises(UnsupportedTask, match="nothing of the suite"):
        suite.planned(demo, ["vqa"])


def test_the_demo_finds_its_scenes_and_prefers_true_captions(demo: Model, tmp_path: Path) -> None:
    found = []
    for part, language in suite.planned(demo, ["retrieval", "match"], ["zh"]):
        dataset = suite.dataset_of(part, language, "test", 24)
        found.append(suite.evaluate(demo, runs.of_model(demo, "demo"), part, language, dataset, tmp_path).run)
    assert found[0].figures["mean_recall"] > 0.95
    assert found[1].figures["accuracy_thing"] > 0.8
    columns = suite.overview(found)
    assert [one.name for one in columns] == [
        "retrieval zh",
        *(f"match {kind} zh" for kind in ("thing", "count", "background", "position")),
    ]
    assert suite.models(columns, found) == ["demo"]


VLE = CASES / "vle"
FUSING = {
    VLE / "vqa_base" / "checkpoint": ["vqa"],
    VLE / "vcr_q2a" / "checkpoint": ["vcr"],
    VLE / "pbc_base" / "checkpoint": ["ground"],
    VLE / "pretrain_checkpoint" / "checkpoint": ["match", "ground"],
    PRETRAINED: ["match"],  # of BridgeTower
}
COLUMNS = {
    "vqa": ["vqa en"],
    "vcr": ["vcr Q→A en"],
    "ground": ["ground en"],
    "match": [f"match {kind} en" for kind in ("thing", "count", "background", "position")],
}


@pytest.mark.parametrize("path", FUSING, ids=lambda path: path.parts[-2] if path.is_dir() else path.stem)
def test_a_fusion_model_does_the_parts_of_its_heads(path: Path, tmp_path: Path) -> None:
    model = load(path, tokenizer=None if path.is_dir() else path.parent / "roberta", device="cpu")
    planned = suite.planned(model)
    assert [part.name for part, _ in planned] == FUSING[path]
    about = runs.of_model(model, "tiny")
    found = []
    for part, language in planned:
        dataset = suite.dataset_of(part, language, "test", 4 * part.every)
        result = suite.evaluate(model, about, part, language, dataset)
        assert result.run.set == f"scenes-{part.name}-en"
        assert all(0 <= result.run.figures[figure] <= 1 for figure in result.run.figures)
        named = {one for table in result.scored.queries.values() for one in table["image"]}
        assert named == set(dataset.pictures)  # every scene was looked at
        kept = runs.write(tmp_path, result.run, result.scored.queries)
        assert "<img" in page.page(kept, result.scored.queries, dataset)
        found.append(kept)
    assert [one.name for one in suite.overview(found)] == [column for part in FUSING[path] for column in COLUMNS[part]]


def test_a_match_head_decides_between_caption_and_foil() -> None:
    model = load(CASES / "vle" / "pretrain_checkpoint" / "checkpoint", device="cpu")
    dataset = scene_sets.foils("test", "en", 3)
    pairs = foils.match(model, dataset).queries["pairs"]
    shown = dataset.pictures[pairs["image"][2]]
    right, wrong = model.match(shown, [pairs["caption"][2], pairs["foil"][2]])[0].tolist()
    assert pairs["margin"][2] == pytest.approx(right - wrong, abs=1e-6)


def test_models_of_one_name_are_told_apart(demo: Model) -> None:
    found = []
    for name in ("pbc_base", "pretrain_checkpoint"):
        model = load(CASES / "vle" / name / "checkpoint", device="cpu")
        (part, language), *_ = suite.planned(model, ["ground"])
        dataset = suite.dataset_of(part, language, "test", 10)
        found.append(suite.evaluate(model, runs.of_model(model, "checkpoint"), part, language, dataset).run)
    (column,) = suite.overview(found)
    names = [f"checkpoint ({run.models[0]['fingerprint'][:6]}, float32)" for run in found]
    assert list(column.runs) == names == suite.models([column], found)
    assert [run.figures for run in column.runs.values()] == [run.figures for run in found]


def test_margins_of_captions_are_differences_of_cosines(demo: Model) -> None:
    dataset = scene_sets.foils("test", "en", 3)
    scored = foils.match(demo, dataset)
    pairs = scored.queries["pairs"]
    picture = demo.encode_image(dataset.pictures[pairs["image"][0]])[0]
    right, wrong = demo.encode_text([pairs["caption"][0], pairs["foil"][0]]) @ picture
    assert float(right - wrong) == pytest.approx(float(pairs["margin"][0]), abs=1e-5)
    assert scored.figures["accuracy"] == pytest.approx(float((np.asarray(pairs["margin"]) > 0).mean()))


def test_a_tie_is_no_preference_and_captions_without_foils_are_nothing_to_match(demo: Model) -> None:
    pictures = scene_sets.captions("test", "en", 1).pictures
    (image_id,) = pictures
    same = Text("0", "a cat", (image_id,), "", {"foils": {"thing": "a cat"}})
    assert foils.match(demo, Dataset("x", Path("x"), PAIRS, pictures, [same])).figures["accuracy"] == 0.5
    with pytest.raises(InputError, match="no text of x has foils"):
        foils.match(demo, Dataset("x", Path("x"), PAIRS, pictures, [Text("0", "a cat", (image_id,))]))
