"""Pictures of texts from texts of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import save_texts
from tuwen.data.inverting import invert, target_of
from tuwen.errors import InputError


def test_pictures_come_in_the_order_in_which_texts_name_them(tmp_path: Path) -> None:
    path = save_texts(tmp_path / "a_texts.jsonl", [(3, "x", [9, 2]), (1, "y", [2, "b"]), (4, "z", [])])
    assert invert(path) == (tmp_path / "a_texts.tr.jsonl", 3)
    assert (tmp_path / "a_texts.tr.jsonl").read_text() == (
        '{"image_id": 9, "text_ids": [3]}\n{"image_id": 2, "text_ids": [3, 1]}\n{"image_id": "b", "text_ids": [1]}\n'
    )
    assert invert(path) == (tmp_path / "a_texts.tr.jsonl", 3)


@pytest.mark.parametrize(
    ("path", "target"),
    [("d/x.jsonl", "d/x.tr.jsonl"), ("d.jsonl/x.jsonl", "d/x.tr.jsonl"), ("x.json", "x.json.tr.jsonl")],
)
def test_the_name_is_the_originals(path: str, target: str) -> None:
    assert target_of(Path(path)) == Path(target)


def test_a_bad_line_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    path = save_texts(tmp_path / "a.jsonl", [(3, "x", [9])])
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(InputError, match=r"^a\.jsonl:2: it has no text_id"):
        invert(path)
    assert not (tmp_path / "a.tr.jsonl").exists()
