"""Zero-shot figures against brute force and scikit-learn, and ELEVATER's file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from tests.cli.conftest import save_model, save_pictures
from tuwen.data.class_folders import open_dataset
from tuwen.data.dataset import CLASSES, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.zeroshot import Predicted, elevater, original_result, predict, score, submission, zeroshot
from tuwen.loading import load
from tuwen.model import Model
from tuwen.nn.heads import unit


def said(right: list[tuple[int, ...]], classes: int, seed: int = 0, width: int = 6) -> Predicted:
    """Random features of as many pictures and so many classes."""
    noise = torch.Generator().manual_seed(seed)
    image = unit(torch.randn(len(right), width, generator=noise))
    names = unit(torch.randn(classes, width, generator=noise))
    ids = [f"p{number}" for number in range(len(right))]
    texts = [
        Text(f"c{n}", f"class {n}", tuple(i for i, of in zip(ids, right, strict=True) if n in of))
        for n in range(classes)
    ]
    dataset = Dataset("test", Path("set"), CLASSES, dict.fromkeys(ids, b""), texts)
    return Predicted(dataset, ids, image, names, [text.text for text in texts], right, 100.0, [])


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    labels = np.random.RandomState(seed).randint(0, 9, 200)
    predicted = said([(int(label),) for label in labels], 9, seed)
    scores = (predicted.image @ predicted.classes.T).numpy()
    figures = score(predicted).figures
    assert figures["top1"] == pytest.approx(top_k_accuracy_score(labels, scores, k=1, labels=range(9)))
    assert figures["top5"] == pytest.approx(top_k_accuracy_score(labels, scores, k=5, labels=range(9)))
    assert figures["mean_per_class"] == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))


def test_figures_are_made_of_the_rows_of_the_tables() -> None:
    scored = score(said([(n % 7,) for n in range(40)], 7))
    pictures, classes = scored.queries["pictures"], scored.queries["classes"]
    assert np.mean(pictures["top1"]) == scored.figures["top1"]
    assert np.mean(classes["top1"]) == scored.figures["mean_per_class"]
    assert np.sum(classes["pictures"]) == 40
    for name, rank, right, chosen in zip(
        pictures["id"], pictures["rank"], pictures["class"], pictures["predicted"], strict=True
    ):
        assert (rank == 1) == (right == chosen), name


def test_a_picture_of_several_classes_is_right_with_any_of_them() -> None:
    predicted = said([(0, 1), (2,), ()], 3)
    best = (predicted.image @ predicted.classes.T).argmax(1).tolist()
    scored = score(predicted)
    assert scored.figures["top1"] == np.mean([best[0] in (0, 1), best[1] == 2])
    assert "1 pictures are of no known class" in scored.notes[0]
    assert "top5" not in scored.figures  # of three classes it is always 1


def test_equal_scores_stand_in_the_order_of_the_classes() -> None:
    predicted = said([(0,), (1,)], 2)
    same = predicted.classes[:1].expand(2, -1)
    tied = Predicted(predicted.dataset, predicted.ids, predicted.image, same, predicted.names, predicted.right, 1.0, [])
    assert score(tied).queries["pictures"]["rank"].tolist() == [1, 2]  # type: ignore[union-attr]


def test_without_classes_of_pictures_there_are_no_figures() -> None:
    assert score(said([(), ()], 3)).figures == {}


# -- with a model -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(save_model(tmp_path_factory.mktemp("model") / "tiny", 0), device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        save_pictures(tmp_path / "test" / str(number), 2)
    (tmp_path / "label_cn.txt").write_text("猫\n草地\n红色\n", encoding="utf-8")
    (tmp_path / "label.txt").write_text("cat\ngrass\nred\n", encoding="utf-8")
    return tmp_path


def test_classes_are_the_means_of_their_templates_in_the_language_asked_for(model: Model, folder: Path) -> None:
    dataset = open_dataset(folder, "test")
    predicted = predict(model, dataset, ["一只{}", "{}"], "zh")
    wanted = unit(torch.stack([model.encode_text([f"一只{name}", name]).mean(0) for name in ("猫", "草地", "红色")]))
    torch.testing.assert_close(predicted.classes, wanted)
    assert predict(model, dataset, "auto", "en").names == ["cat", "grass", "red"]
    assert zeroshot(model, dataset, "{}的照片").figures.keys() == {"top1", "mean_per_class"}
    assert predicted.scale == pytest.approx(model.logit_scale)
    assert predict(model, dataset, original=True).scale == 100


def test_a_broken_picture_is_told_and_leaves_the_file_incomplete(model: Model, folder: Path) -> None:
    (folder / "test" / "1" / "00.png").write_bytes(b"broken")
    dataset = open_dataset(folder, "test")
    told: list[str] = []
    predicted = predict(model, dataset, on_error=lambda name, _: told.append(name))
    assert told == ["1/00.png"]
    assert len(score(predicted).queries["pictures"]["id"]) == 5
    with pytest.raises(InputError, match=r"1 pictures of .* could not be read: the file needs a row for each"):
        list(submission(model, predicted, "mini"))
    with pytest.raises(InputError, match=r"1/00\.png"):
        predict(model, dataset)


def test_the_file_has_a_row_for_each_picture_in_the_order_of_the_index(model: Model, folder: Path) -> None:
    (folder / "index.json").write_text("[5, 4, 3, 2, 1, 0]", encoding="utf-8")
    predicted = predict(model, open_dataset(folder, "test"), original=True)
    content = json.loads("".join(submission(model, predicted, "mini", "ViT-B-16")))
    chances = (100 * predicted.image @ predicted.classes.T).softmax(1).flip(0).tolist()
    rows = content["predictions"][0]
    np.testing.assert_allclose(rows, chances, atol=2e-6)
    assert all(round(chance, 6) == chance for row in rows for chance in row)
    assert content["model_name"] == "CN-CLIP-ViT-B-16"
    assert content["num_params"] == sum(parameter.numel() for parameter in model.module.parameters())
    tower = sum(
        p.numel() for name, p in model.module.named_parameters() if name.startswith(("image.", "image_projection"))
    )
    assert content["num_visual_params"] == tower


def test_the_file_is_written_as_the_original_writes_it() -> None:
    text = "".join(elevater("RN50", "mini", 10, 4, [torch.tensor([[0.25, 0.75], [4.4e-6, 1.0]])]))
    assert text == (
        '{"model_name": "CN-CLIP-RN50", "dataset_name": "mini", "num_trainable_params": 0, "num_params": 10, '
        '"num_visual_params": 4, "num_backbone_params": 10, "n_shot": 0, "rnd_seeds": [123], '
        '"predictions": [[[0.25, 0.75], [4e-06, 1.0]]]}'
    )


def test_the_line_of_the_original_has_every_digit() -> None:
    scored = score(said([(0,), (1,), (2,)], 3))
    value = float(original_result(scored).removeprefix("zeroshot-top1: "))
    assert math.isclose(value, scored.figures["top1"], rel_tol=0)


def test_captions_are_no_classes(model: Model) -> None:
    with pytest.raises(UsageError, match="needs classes, set holds pairs"):
        predict(model, Dataset("test", Path("set"), "pairs", {}, []))
