"""One tower of two, momentum copies, pictures of another size, the regular grid: choices that BriVL's files offer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tuwen
from tests.cli.conftest import save_pictures
from tests.models.files_towers import CFG, SIZES, write_brivl, write_ernie
from tests.models.tiny_towers import save_ernie
from tuwen.errors import CheckpointError, UnsupportedTask, UsageError
from tuwen.model import Model

TEXTS = ["一只猫", "red grass"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brivl(tmp_path_factory.mktemp("brivl"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return sorted(map(str, save_pictures(tmp_path_factory.mktemp("pictures") / "images", 3).iterdir()))


def opened(file: Path, config: Any = CFG, **settings: Any) -> Model:
    return tuwen.load(file, file.parent / "encoder", config, device="cpu", **settings)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_pictures_alone_need_no_tokenizer_and_give_the_same_features(file: Path, pictures: list[str]) -> None:
    alone = tuwen.load(file, config=CFG, device="cpu", tower="image")
    assert alone.tasks == ("embed",)
    assert torch.equal(alone.encode_image(pictures), opened(file).encode_image(pictures))
    with pytest.raises(UnsupportedTask, match="pictures alone: load a file that holds its text tower too"):
        alone.encode_text(TEXTS)
    with pytest.raises(UnsupportedTask, match="cannot classify: its tasks are embed"):
        alone.classify(pictures, ["猫"])


def test_texts_alone_give_the_same_features(file: Path, pictures: list[str]) -> None:
    alone = opened(file, tower="text")
    assert alone.tasks == ("embed",)
    assert torch.equal(alone.encode_text(TEXTS), opened(file).encode_text(TEXTS))
    with pytest.raises(UnsupportedTask, match="load a file that has both towers"):
        alone.encode_image(pictures)


@pytest.mark.parametrize(("tower", "start"), [("image", "imgencoder."), ("text", "textencoder.")])
def test_a_tower_of_a_file_is_the_file_of_that_tower(tower: str, start: str, file: Path, tmp_path: Path) -> None:
    part = write_brivl(tmp_path / "part", start)
    words = None if tower == "image" else part.parent / "encoder"
    assert (
        tuwen.load(part, words, CFG, device="cpu").fingerprint
        == tuwen.load(file, words, CFG, device="cpu", tower=tower).fingerprint
    )


@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_tower_is_saved_and_read_again_and_taken_out_of_what_was_saved(
    tower: str, file: Path, tmp_path: Path
) -> None:
    alone = tuwen.load(file, None if tower == "image" else file.parent / "encoder", CFG, device="cpu", tower=tower)
    alone.save(tmp_path / "alone")
    again = tuwen.load(tmp_path / "alone", device="cpu")
    assert (again.fingerprint, again.tasks) == (alone.fingerprint, ("embed",))
    opened(file).save(tmp_path / "whole")
    assert tuwen.load(tmp_path / "whole", device="cpu", tower=tower).fingerprint == alone.fingerprint


def test_momentum_copies_are_taken_in_the_place_of_the_encoders(file: Path, tmp_path: Path) -> None:
    copies = opened(file, momentum=True)
    assert copies.fingerprint != opened(file).fingerprint
    copies.save(tmp_path / "copies")
    assert tuwen.load(tmp_path / "copies", device="cpu").fingerprint == copies.fingerprint
    one = tuwen.load(file, config=CFG, device="cpu", momentum=True, tower="image")
    wanted = copies.module.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in one.module.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"tower": "both"}, UsageError, "tower is 'both': it must be one of image, text"),
        ({"image_size": 32}, UsageError, "image_size is 32: it must be at least 33 pixels$"),
        ({"image_size": "any"}, UsageError, "the models of this family take one size"),
        ({"tower": "text", "image_size": 64}, UsageError, "these weights are of a text tower alone"),
    ],
)
def test_choices_that_cannot_be_are_refused(
    settings: dict[str, Any], kind: type[Exception], said: str, file: Path
) -> None:
    with pytest.raises(kind, match=said):
        opened(file, **settings)


def test_what_a_file_does_not_hold_cannot_be_chosen(tmp_path: Path) -> None:
    part = write_brivl(tmp_path, "textencoder.")
    with pytest.raises(CheckpointError, match="holds no momentum copies"):
        opened(part, momentum=True)
    with pytest.raises(CheckpointError, match="holds nothing of the image tower"):
        opened(part, tower="image")


def test_families_without_such_files_name_the_way_out(tmp_path: Path) -> None:
    model = save_ernie(tmp_path / "ernie")
    with pytest.raises(UsageError, match=r"BriVL's training: ernie-vil2 has no such copies, leave it out"):
        tuwen.load(model, momentum=True)
    with pytest.raises(UsageError, match="ernie-vil2 is loaded whole, leave it out"):
        tuwen.load(model, tower="image")


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [False, True])
def test_pictures_of_any_square_are_taken_and_the_boxes_follow(grid: bool, file: Path, pictures: list[str]) -> None:
    config: dict[str, Any] = {"GRID": grid, "MODEL": {**CFG["MODEL"], "BOX_GRID": 2}}
    larger = opened(file, config, image_size=129)
    assert larger.processor.image.size == (129, 129)
    wanted = opened(file, {**config, "MODEL": {**config["MODEL"], "IMG_SIZE": 129}})
    boxes = [[[1, 2, 30, 20]], None, []]
    assert torch.equal(larger.encode_image(pictures, boxes=boxes), wanted.encode_image(pictures, boxes=boxes))
    assert not torch.allclose(larger.encode_image(pictures), opened(file, config).encode_image(pictures), atol=1e-3)


def test_a_picture_without_boxes_beside_others_with_boxes_has_its_regular_grid(file: Path, pictures: list[str]) -> None:
    model = opened(file, {"GRID": True, "MODEL": {**CFG["MODEL"], "BOX_GRID": 3}})
    together = model.encode_image(pictures, boxes=[None, [[1, 2, 30, 20]], []])
    close(together[0], model.encode_image(pictures[0])[0])
    whole = model.encode_image(pictures[2], boxes=[[]])[0]
    close(together[2], whole)
    assert not torch.allclose(whole, model.encode_image(pictures[2])[0], atol=1e-3)


def test_without_a_grid_no_boxes_mean_the_whole_picture(file: Path, pictures: list[str]) -> None:
    model = opened(file)
    together = model.encode_image(pictures, boxes=[None, [[1, 2, 30, 20]], []])
    alone = model.encode_image(pictures)
    close(together[0], alone[0])
    close(together[2], alone[2])


@pytest.mark.parametrize("from_file", [True, False])
def test_settings_of_the_grid_are_read_from_yaml_too(from_file: bool, file: Path, tmp_path: Path) -> None:
    (tmp_path / "below.yml").write_text("MODEL: {IMG_SIZE: 380, MAX_TEXT_LEN: 12}\n", encoding="utf-8")
    path = tmp_path / "eval.yml"
    path.write_text("_BASE_CONFIG_: below.yml\nGRID: true\nMODEL: {IMG_SIZE: 456, BOX_GRID: 6}\n", encoding="utf-8")
    told = path if from_file else {"GRID": True, "MODEL": {"IMG_SIZE": 456, "MAX_TEXT_LEN": 12}}
    config: Any = opened(file, told).module.config
    assert (config.grid, config.image.image_size, config.context_length) == (6, 456, 12)


def test_settings_that_change_numbers_change_the_fingerprint(file: Path, tmp_path: Path) -> None:
    assert opened(file, {**CFG, "GRID": True}).fingerprint != opened(file).fingerprint
    research = write_ernie(tmp_path)
    coarse, fine = (tuwen.load(research, config=SIZES, device="cpu", text_eps=eps) for eps in (1e-5, 1e-12))
    assert not torch.equal(coarse.encode_text(TEXTS), fine.encode_text(TEXTS))
    assert coarse.fingerprint != fine.fingerprint
