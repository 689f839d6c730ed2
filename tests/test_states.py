"""States: kept, cut, joined, moved, saved, and refused where another model made them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import fusing
from tests.fusing import TEXTS, pictures
from tuwen import checkpoint
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.loading import load
from tuwen.model import Model
from tuwen.states import State
from tuwen.types import Fused, Images

every_model = pytest.mark.parametrize("name", [*fusing.MATCHING, "vqa"])
PARTS = ("text", "image", "pooled")


def close(one: torch.Tensor | None, other: torch.Tensor | None, atol: float = 1e-5) -> None:
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one, other, atol=atol, rtol=1e-4)


@pytest.fixture(scope="module")
def model() -> Model:
    return fusing.model("bridgetower")


@pytest.fixture(scope="module")
def texts(model: Model) -> State:
    return model.text_state(TEXTS)


@pytest.fixture(scope="module")
def images(model: Model) -> State:
    return model.image_state(pictures(4))


def whole(model: Model, image: Any, text: str, last: str = "all") -> Fused:
    """The model's own forward pass of one picture with one text."""
    with torch.no_grad():
        fused: Fused = model.module(
            Images(model.processor.images([image]).pixels), model.processor.texts([text]), last=last
        )
    return fused


# -- fused ------------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("last", ["all", "first", "text", "image"])
def test_fused_states_are_what_the_whole_model_gives(name: str, last: str) -> None:
    model, given = fusing.model(name), pictures(3)
    fused = model.fuse(model.image_state(given), model.text_state(TEXTS[:3]), last=last)
    for row in range(3):
        alone = whole(model, given[row], TEXTS[row])
        for part in PARTS:
            found = getattr(fused, part)
            if last not in ("all", {"pooled": "first"}.get(part, part)):
                assert found is None
                continue
            wanted = getattr(alone, part)[0]
            close(found[row][: len(wanted)] if part == "text" else found[row], wanted)


@every_model
def test_pairs_may_come_in_any_order_and_again(name: str) -> None:
    model, given = fusing.model(name), pictures(3)
    image, text = model.image_state(given), model.text_state(TEXTS)
    pairs = [(2, 4), (0, 0), (2, 1), (0, 0)]
    fused = model.fuse(image, text, pairs)
    for row, (picture, words) in enumerate(pairs):
        close(fused.pooled[row], whole(model, given[picture], TEXTS[words]).pooled[0])  # type: ignore[index]
    close(model.fuse(image[1], text).pooled, model.fuse(image, text, [(1, row) for row in range(5)]).pooled)
    close(model.fuse(image, text[0]).pooled, model.fuse(image, text, [(row, 0) for row in range(3)]).pooled)


@every_model
def test_many_pairs_go_in_several_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fusing.model(name)
    image, text = model.image_state(pictures(2)), model.text_state(TEXTS)
    pairs = [(row % 2, row % 5) for row in range(10)]
    wanted = model.fuse(image, text, pairs, "all")
    monkeypatch.setattr("tuwen.tasks.passes.TOKENS_AT_ONCE", 1)
    found = model.fuse(image, text, pairs, "all")
    for part in PARTS:
        close(getattr(found, part), getattr(wanted, part))


@pytest.mark.parametrize(
    ("pairs", "last", "said"),
    [
        (None, "first", "4 pictures and 5 texts make no pairs"),
        ([], "first", "there are no pairs"),
        ([(0, 0), (4, 1)], "first", r"the pair \(4, 1\) names none of the 4 pictures and 5 texts"),
        ([(0, -1)], "first", r"the pair \(0, -1\) names none"),
        ([(0, 0)], "last", "last is 'last': it must be one of all, first, text, image"),
    ],
)
def test_pairs_that_do_not_exist_are_named(
    model: Model, images: State, texts: State, pairs: Any, last: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        model.fuse(images, texts, pairs, last)


# -- cut, joined, moved -----------------------------------------------------------------------------------------------


def same(one: State, other: State) -> None:
    assert (one.kind, one.lengths) == (other.kind, other.lengths)
    assert torch.equal(one.rows, other.rows)


def test_a_state_knows_its_items(texts: State) -> None:
    assert len(texts) == 5
    assert sum(texts.lengths) == len(texts.rows)
    assert repr(texts).startswith("<tuwen.State of 5 texts, 0.0 MB, float32>")


def test_items_can_be_taken_by_number_slice_and_list(model: Model, texts: State) -> None:
    for items, numbers in (
        (2, [2]),
        (-1, [4]),
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, 2), [0, 2, 4]),
        (slice(None, None, -1), [4, 3, 2, 1, 0]),
        ([3, 0, 3], [3, 0, 3]),
    ):
        taken = texts[items]
        assert taken.lengths == tuple(texts.lengths[number] for number in numbers)
        alone = model.text_state([TEXTS[number] for number in numbers])
        close(taken.rows, alone.rows)
    assert len(texts[[]]) == len(texts[3:3]) == 0
    with pytest.raises(IndexError):
        texts[5]


def test_states_join_in_order(model: Model, texts: State) -> None:
    same(State.join([texts[:2], texts[2], texts[3:]]), texts)
    same(State.join(texts[number] for number in range(5)), texts)
    close(State.join([model.text_state(TEXTS[:3]), model.text_state(TEXTS[3:])]).rows, texts.rows)


def test_only_states_of_one_kind_and_one_model_join(images: State, texts: State) -> None:
    other = fusing.model("original").text_state(TEXTS)
    with pytest.raises(UsageError, match="these are states of images and of texts"):
        State.join([images, texts])
    with pytest.raises(UsageError, match="different models made these states"):
        State.join([texts, other])
    with pytest.raises(UsageError, match="there is no state to join"):
        State.join([])


def test_a_state_of_the_same_model_opened_twice_joins(texts: State) -> None:
    again = fusing.opened("bridgetower").text_state(TEXTS[0])
    assert len(State.join([texts, again])) == 6


def test_half_precision_halves_the_memory(model: Model, images: State, texts: State) -> None:
    for state in (images, texts):
        half = state.to(dtype="float16")
        assert half.rows.nbytes * 2 == state.rows.nbytes
        assert half.fingerprint == state.fingerprint
    exact = model.fuse(images, texts[:4]).pooled
    moved = model.fuse(images.to(dtype=torch.float16), texts[:4].to("cpu", "bfloat16")).pooled
    assert moved is not None
    assert exact is not None
    assert 0 < (moved - exact).abs().max() < 0.05
    with pytest.raises(UsageError, match="dtype is 'half'"):
        texts.to(dtype="half")


def test_texts_of_a_state_are_padded_to_the_longest_with_a_mask(texts: State) -> None:
    levels, mask = texts.padded()
    assert mask is not None
    assert levels.shape[:2] == mask.shape == (5, max(texts.lengths))
    assert mask.sum(1).tolist() == list(texts.lengths)
    assert torch.equal(levels[mask], texts.rows)
    assert not levels[~mask].any()
    alone, none = texts[3].padded()
    assert none is None
    assert torch.equal(alone[0], texts[3].rows)


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_state_comes_back_from_its_file(
    model: Model, images: State, texts: State, tmp_path: Path, dtype: str
) -> None:
    for state in (images, texts):
        path = tmp_path / f"{state.kind}.safetensors"
        state.to(dtype=dtype).save(path)
        again = State.open(path)
        same(again, state.to(dtype=dtype))
        assert again.fingerprint == model.fingerprint
    opened = State.open(tmp_path / "image.safetensors"), State.open(tmp_path / "text.safetensors")
    close(model.match(*opened), model.match(images, texts), atol=1e-5 if dtype == "float32" else 2e-2)
    fresh = fusing.opened("bridgetower")
    assert torch.equal(fresh.match(*opened), model.match(*opened))


def test_part_of_a_state_is_saved_alone(texts: State, tmp_path: Path) -> None:
    texts[1:3].save(tmp_path / "some.safetensors")
    same(State.open(tmp_path / "some.safetensors"), texts[1:3])


def test_other_files_are_no_states(texts: State, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no state"):
        State.open(tmp_path / "none.safetensors")
    (tmp_path / "text.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds no state: text\.txt is plain text"):
        State.open(tmp_path / "text.txt")
    checkpoint.write_safetensors(tmp_path / "model.safetensors", {"a.weight": torch.zeros(2)})
    with pytest.raises(InputError, match=r"holds no state that tuwen saved, but a\.weight"):
        State.open(tmp_path / "model.safetensors")
    described = {"tuwen_state": "1", "kind": "text", "fingerprint": "0"}
    damaged = {"rows": texts.rows[:-1].contiguous(), "lengths": torch.tensor(texts.lengths)}
    checkpoint.write_safetensors(tmp_path / "damaged.safetensors", damaged, described)
    with pytest.raises(InputError, match="another version of tuwen, or is damaged: compute it again"):
        State.open(tmp_path / "damaged.safetensors")


# -- who made it ------------------------------------------------------------------------------------------------------


def change_a_weight(model: Model) -> None:
    with torch.no_grad():
        model.module.get_parameter("fusion.text_layers.0.mlp.reduce.bias")[0] += 1e-6


def change_the_pictures(model: Model) -> None:
    model.processor = replace(model.processor, image=replace(model.processor.image, resample="bilinear"))


def change_the_epsilon(model: Model) -> None:
    config = model.towers.config
    model.module.config = replace(config, fusion=replace(config.fusion, eps=1e-12))


@pytest.mark.parametrize("change", [change_a_weight, change_the_pictures, change_the_epsilon])
def test_a_state_of_another_model_or_preprocessing_is_refused(images: State, texts: State, change: Any) -> None:
    other = fusing.opened("bridgetower")
    assert other.match(images, texts).shape == (4, 5)
    other = fusing.opened("bridgetower")
    change(other)
    for call in (lambda: other.match(images, TEXTS), lambda: other.match(pictures(1), texts)):
        with pytest.raises(
            UsageError, match=r"made by another model or preprocessing \(fingerprint .* compute it again"
        ):
            call()
    with pytest.raises(UsageError, match="made by another model"):
        other.fuse(images, texts, [(0, 0)])


def test_a_saved_state_of_another_model_is_refused(texts: State, tmp_path: Path) -> None:
    texts.save(tmp_path / "texts.safetensors")
    with pytest.raises(UsageError, match="made by another model"):
        fusing.model("original").match(pictures(1), State.open(tmp_path / "texts.safetensors"))


def test_a_state_of_the_wrong_side_is_refused(model: Model, images: State, texts: State) -> None:
    with pytest.raises(UsageError, match="a state of texts where one of images belongs"):
        model.match(texts, TEXTS)
    with pytest.raises(UsageError, match="a state of images where one of texts belongs"):
        model.fuse(images, images)


def test_an_empty_state_is_refused(model: Model, images: State, texts: State) -> None:
    with pytest.raises(UsageError, match="there is no picture"):
        model.match(images[:0], texts)
    with pytest.raises(UsageError, match="the state of texts is empty"):
        model.match(images, texts[:0])


def test_a_two_tower_model_has_no_states() -> None:
    with pytest.raises(UnsupportedTask, match="chinese-clip compares pictures and texts, but does not fuse them"):
        load("demo", device="cpu").image_state(pictures(1))


def test_answers_have_no_part_in_the_fingerprint() -> None:
    named = fusing.opened("original vqa", answers=["a", "b", "c", "d", "e", "f"])
    assert named.fingerprint == fusing.model("original vqa").fingerprint
