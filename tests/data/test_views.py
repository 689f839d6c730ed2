"""Shares of a dataset that have nothing in common, and texts without their tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import png, save_images, save_split, save_texts
from tuwen.data import formats
from tuwen.data.dataset import Dataset
from tuwen.data.tags import without_tags
from tuwen.data.views import shares, untagged
from tuwen.errors import UsageError


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """40 pictures of three texts each, and texts that join pictures 0 to 3."""
    save_images(tmp_path / "train_imgs.tsv", [(id, png(id)) for id in range(40)])
    alone = [(3 * id + copy, f"{id} {copy}", [id]) for id in range(40) for copy in range(3)]
    save_texts(tmp_path / "train_texts.jsonl", [*alone, (900, "x", [0, 1]), (901, "y", [2, 1]), (902, "z", [3, 0])])
    return formats.open_dataset(tmp_path)


def test_shares_have_no_picture_in_common_and_are_the_whole_together(dataset: Dataset) -> None:
    parts = shares(dataset, {"train": 0.7, "valid": 0.2, "test": 0.1}, seed=1)
    sizes = [len(part.pictures) for part in parts.values()]
    assert sum(sizes) == 40
    assert abs(sizes[0] - 28) <= 4
    assert min(sizes) > 0
    ids = [set(part.pictures) for part in parts.values()]
    assert len(set.union(*ids)) == 40
    for part, own in zip(parts.values(), ids, strict=True):
        assert all(set(text.image_ids) <= own for text in part.texts)
        assert len(part.texts) >= 3 * len(own)
    assert sorted(text.id for part in parts.values() for text in part.texts) == sorted(
        text.id for text in dataset.texts
    )
    assert len({place for place, own in enumerate(ids) for id in "0123" if id in own}) == 1
    assert parts["valid"].split == "valid"


def test_shares_hang_on_the_seed_alone(dataset: Dataset) -> None:
    first, again, other = (set(shares(dataset, {"a": 0.5, "b": 0.5}, seed)["a"].pictures) for seed in (1, 1, 2))
    assert first == again != other


def test_a_share_is_read_like_any_dataset(dataset: Dataset, tmp_path: Path) -> None:
    part = shares(dataset, {"a": 0.5, "b": 0.5})["b"]
    id = next(iter(part.pictures))
    assert part.pictures[id] == png(int(id))
    assert part.texts[-1] == part.texts[len(part.texts) - 1] == part.texts[-1:][0]
    with pytest.raises(KeyError):
        part.pictures[next(iter(shares(dataset, {"a": 0.5, "b": 0.5})["a"].pictures))]
    formats.write(part, tmp_path / "out", "chinese-clip")
    assert len(formats.open_dataset(tmp_path / "out", "b").pictures) == len(part.pictures)


@pytest.mark.parametrize("parts", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_shares_that_are_not_one_together_are_refused(parts: dict[str, float], dataset: Dataset) -> None:
    with pytest.raises(UsageError):
        shares(dataset, parts)


@pytest.mark.parametrize(
    ("tagged", "plain"),
    [
        ("男人/n 骑/v 马/n", "男人骑马"),
        ("一/m 个/q 人/n 在/p 用/v iPad/nx 。/w", "一个人在用 iPad 。"),
        ("a man/n rides/v", "a man rides"),
        ("plain and/or text", "plain and/or text"),
        ("红色的船", "红色的船"),
    ],
)
def test_parts_of_speech_are_taken_off(tagged: str, plain: str) -> None:
    assert without_tags(tagged) == plain


def test_an_untagged_dataset_changes_its_texts_only(tmp_path: Path) -> None:
    save_split(tmp_path)
    save_texts(tmp_path / "train_texts.jsonl", [(1, "男人/n 骑/v 马/n", [7]), (2, "马/n", [0])])
    dataset = untagged(formats.open_dataset(tmp_path))
    assert [text.text for text in dataset.texts] == ["男人骑马", "马"]
    assert (dataset.texts[0].text, dataset.texts[1:][0].text) == ("男人骑马", "马")
    assert dataset.texts[0].image_ids == ("7",)
