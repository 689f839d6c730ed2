"""`tuwen vqa --sheet`: pictures with their questions and answers, also of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.conftest import Call, save_pictures
from tuwen.search import answer_sheet

MODEL = Path(__file__).parents[1] / "golden" / "cases" / "vle" / "vqa_base" / "checkpoint"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was drawn on each sheet."""
    sheets: list[Any] = []
    draw = answer_sheet.draw_answers

    def spy(pictures: Any, *more: Any) -> Image.Image:
        sheets.append(pictures)
        return draw(pictures, *more)

    monkeypatch.setattr(answer_sheet, "draw_answers", spy)
    return sheets


def test_every_picture_stands_there_with_its_questions_and_answers(
    call: Call, pictures: Path, tmp_path: Path, drawn: list[Any]
) -> None:
    sheet = tmp_path / "sheets" / "answers.png"
    words = ["vqa", pictures, "-m", MODEL, "-q", "what is it?", "-q", "who?", "-k", 2, "--sheet", sheet]
    result = call(*words, "-o", tmp_path / "answers.csv")
    assert result.exit_code == 0, result.stderr
    (first,) = drawn
    assert [Path(picture.path).name for picture in first] == [f"{number:02d}.png" for number in range(5)]
    assert [[asked.question for asked in picture.asked] for picture in first] == [["what is it?", "who?"]] * 5
    assert {len(asked.answers) for picture in first for asked in picture.asked} == {2}
    with Image.open(sheet) as image:
        assert image.format == "PNG"
        size = image.size
    again = call(*words, "-o", tmp_path / "answers.csv")
    assert "up to date" in again.stderr
    assert drawn[1] == first
    with Image.open(sheet) as image:
        assert image.size == size


def test_the_sheet_ends_after_twenty_pictures_and_leaves_out_what_cannot_be_read(
    call: Call, tmp_path: Path, drawn: list[Any]
) -> None:
    folder = save_pictures(tmp_path / "many", 23)
    (folder / "01.png").write_bytes(b"no picture")
    result = call("vqa", folder, "-m", MODEL, "-q", "what is it?", "--sheet", tmp_path / "s.png", "--json")
    assert result.exit_code == 1
    assert [Path(picture.path).name for picture in drawn[0]][:2] == ["00.png", "02.png"]
    assert len(drawn[0]) == 20


def test_a_sheet_that_is_no_png_is_refused_at_once(call: Call, pictures: Path, tmp_path: Path) -> None:
    result = call("vqa", pictures, "-m", MODEL, "-q", "what?", "--sheet", tmp_path / "s.jpg")
    assert result.exit_code == 2
    assert "must end in .png" in " ".join(result.stderr.split())
    assert not (tmp_path / "s.jpg").exists()
