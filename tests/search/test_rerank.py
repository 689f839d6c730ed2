"""The second stage of a search: ordered by the match, each picture and each query encoded once, nothing lost."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tuwen
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.model import Model
from tuwen.search.gallery import Answer, Hit
from tuwen.search.rerank import rerank

CASES = Path(__file__).parents[1] / "golden" / "cases"


@pytest.fixture(scope="module")
def judge() -> Model:
    return tuwen.load(CASES / "bridgetower" / "hf_all_heads" / "checkpoint")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.RandomState(3)
    paths = [folder / f"{number}.png" for number in range(6)]
    for path in paths:
        small = Image.fromarray(noise.randint(0, 256, (3, 3, 3), dtype=np.uint8))
        small.resize((64, 48)).save(path)
    return paths


def answer(query: str, paths: list[Path], right: tuple[str, ...] | None = None) -> Answer:
    """Hits in the order of the paths; `right` names those that are."""
    hits = [
        Hit(rank, 1 - rank / 10, path.name, str(path), right=None if right is None else path.name in right)
        for rank, path in enumerate(paths, 1)
    ]
    return Answer(query, hits, right=None if right is None else tuple(hit.rank for hit in hits if hit.right))


def test_hits_are_ordered_by_the_models_match(judge: Model, pictures: list[Path]) -> None:
    chances = judge.match(pictures, ["a red fox in the snow"])[:, 0]
    (found,) = rerank(judge, [answer("a red fox in the snow", pictures)])
    order = chances.sort(descending=True).indices.tolist()
    assert [hit.path for hit in found.hits] == [str(pictures[row]) for row in order]
    assert [hit.match for hit in found.hits] == pytest.approx([float(chances[row]) for row in order], abs=1e-5)
    assert [hit.rank for hit in found.hits] == [1, 2, 3, 4, 5, 6]
    assert [hit.recall_rank for hit in found.hits] == [row + 1 for row in order]
    assert [hit.score for hit in found.hits] == [pytest.approx(1 - (row + 1) / 10) for row in order]


def test_several_queries_encode_each_picture_once_and_only_what_they_found(
    judge: Model, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = {"image": 0, "text": 0}
    image_levels, text_levels = judge.fusing.image_levels, judge.fusing.text_levels

    def images(batch: Any) -> Any:
        encoded["image"] += len(batch.pixels)
        return image_levels(batch)

    def texts(batch: Any) -> Any:
        encoded["text"] += len(batch.starts)
        return text_levels(batch)

    monkeypatch.setattr(judge.module, "image_levels", images)
    monkeypatch.setattr(judge.module, "text_levels", texts)
    asked = [answer("a cat", pictures[:3]), answer("two dogs", pictures[1:5]), answer("a cat", pictures[2:4])]
    found = rerank(judge, asked, depth=3)
    assert encoded == {"image": 4, "text": 2}
    monkeypatch.undo()
    alone = [rerank(judge, [one], depth=3)[0] for one in asked]
    assert [[hit.id for hit in one.hits] for one in found] == [[hit.id for hit in one.hits] for one in alone]


def test_only_the_first_hits_are_reranked(judge: Model, pictures: list[Path]) -> None:
    (found,) = rerank(judge, [answer("a cat", pictures)], depth=2)
    assert {hit.path for hit in found.hits} == {str(path) for path in pictures[:2]}


def test_a_picture_that_has_vanished_is_told_once_and_comes_last(judge: Model, pictures: list[Path]) -> None:
    gone = [pictures[0].with_name("gone.png"), pictures[0].with_name("lost.png")]
    told: list[tuple[str, str]] = []
    asked = [answer(query, [gone[0], pictures[0], gone[1], pictures[1]]) for query in ("a cat", "a dog")]
    found = rerank(judge, asked, on_error=lambda hit, error: told.append((hit.id, str(error))))
    for one in found:
        assert [hit.id for hit in one.hits[2:]] == ["gone.png", "lost.png"]
        assert [hit.match for hit in one.hits[2:]] == [None, None]
        assert [hit.moved for hit in one.hits[2:]] == ["↓2", "↓1"]
        assert all(hit.match is not None for hit in one.hits[:2])
    assert [name for name, _ in told] == ["gone.png", "lost.png"]
    assert "does not exist" in told[0][1]
    with pytest.raises(InputError, match=r"gone\.png"):
        rerank(judge, asked)


def test_pictures_inside_a_table_are_read_from_it(judge: Model, pictures: list[Path], tmp_path: Path) -> None:
    rows = [f"x\t{path.name}\t{base64.b64encode(path.read_bytes()).decode()}\n".encode() for path in pictures]
    (tmp_path / "t.tsv").write_bytes(b"".join([*rows[:3], b"x\tgone\tAAAA\n", *rows[3:]]))
    places = [str(tmp_path / f"t.tsv#{sum(map(len, rows[:number]))}") for number in range(4)]
    told: list[str] = []
    (found,) = rerank(
        judge, [answer("a red fox", list(map(Path, places)))], on_error=lambda hit, error: told.append(hit.path)
    )
    chances = judge.match(pictures[:3], ["a red fox"])[:, 0]
    assert [hit.match for hit in found.hits[:3]] == pytest.approx(chances.sort(descending=True).values.tolist())
    assert found.hits[3].match is None
    assert told == [found.hits[3].path] == [places[3]]
    (tmp_path / "t.tsv").unlink()
    told.clear()
    rerank(judge, [answer("a red fox", list(map(Path, places)))], on_error=lambda hit, error: told.append(str(error)))
    assert len(told) == 4
    assert all("t.tsv cannot be read" in said for said in told)


def test_pictures_that_match_equally_keep_their_order(judge: Model, pictures: list[Path], tmp_path: Path) -> None:
    copies = [tmp_path / f"{number}.png" for number in range(4)]
    for copy in copies:
        copy.write_bytes(pictures[0].read_bytes())
    (found,) = rerank(judge, [answer("a cat", copies)])
    assert [hit.recall_rank for hit in found.hits] == [1, 2, 3, 4]
    assert [hit.moved for hit in found.hits] == ["=", "=", "=", "="]


def test_the_ranks_of_what_is_right_move_too(judge: Model, pictures: list[Path]) -> None:
    whole = answer("a cat", pictures, right=("1.png", "5.png"))
    (found,) = rerank(judge, [whole], depth=4)
    assert found.right == (*(hit.rank for hit in found.hits if hit.id == "1.png"), 6)


def test_a_hit_says_how_it_moved() -> None:
    moved = [Hit(rank, 0, "", "", recall_rank=before).moved for rank, before in ((3, 8), (8, 3), (4, 4))]
    assert moved == ["↑5", "↓5", "="]
    assert Hit(1, 0, "", "").moved == ""


def test_an_answer_without_hits_stays_empty(judge: Model) -> None:
    assert rerank(judge, [Answer("a cat", [])]) == [Answer("a cat", [])]
    assert rerank(judge, []) == []


def test_what_cannot_be_reranked_is_said(judge: Model, pictures: list[Path]) -> None:
    with pytest.raises(UsageError, match="has no text"):
        rerank(judge, [answer(" ", pictures)])
    with pytest.raises(UsageError, match=r"a\.txt:1 is a text"):
        rerank(judge, [Answer("a cat", [Hit(1, 0.5, "a.txt:1", "a.txt", "一只猫")])])
    with pytest.raises(UsageError, match="depth is 0"):
        rerank(judge, [answer("a cat", pictures)], depth=0)
    answering = tuwen.load(CASES / "vle" / "vqa_base" / "checkpoint")
    with pytest.raises(UnsupportedTask, match="bridgetower/base-itm-mlm"):
        rerank(answering, [answer("a cat", pictures)])
