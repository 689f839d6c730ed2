"""The suite on scenes: true datasets of every kind, and every part that a model can do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fusing import CASES
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.evaluate import foils, runs, scene_sets, suite
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


def test_an_answering_model_is_asked_questions() -> None:
    path = CASES / "vle" / "vqa_base" / "checkpoint"
    model = load(path, device="cpu")
    for part, language in suite.planned(model, ["vqa"]):
        dataset = suite.dataset_of(part, language, "test", 20)
        run = suite.evaluate(model, runs.of_model(model, "vle"), part, language, dataset).run
        assert 0 <= run.figures["accuracy"] <= 1
        assert run.set == "scenes-vqa-en"


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
