"""`tuwen demo`: its pictures, its questions and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Call
from tuwen.cli import showcase
from tuwen.scenes.pack import glyphs


def test_every_question_has_a_right_answer_among_the_pictures_and_most_are_wrong() -> None:
    scenes = showcase.gallery()
    assert len(scenes) == showcase.COUNT
    assert {scene.split for scene in scenes} == {"test"}
    assert len(showcase.questions()) == 5
    for question in showcase.questions():
        right = sum(question.fits(scene) for scene in scenes)
        assert 1 <= right <= 8, question.text


def test_a_question_is_right_only_about_what_it_names() -> None:
    fruit, snow, several, two, placed = showcase.questions()
    scenes = showcase.gallery()
    for scene in scenes:
        shown = [glyphs()[thing.glyph].zh for thing in scene.things]
        assert fruit.fits(scene) == (shown.count("西瓜") == 1)
        assert not snow.fits(scene) or "狐狸" in shown
        assert not two.fits(scene) or all(glyphs()[glyph].zh in shown for glyph in two.counts)
    assert any("狐狸" in [glyphs()[t.glyph].zh for t in s.things] and not snow.fits(s) for s in scenes)
    assert max(several.counts.values()) > 1
    assert placed.where


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of twelve small pictures."""
    scenes = [
        next(scene for scene in showcase.gallery() if question.fits(scene)) for question in showcase.questions()
    ] + list(showcase.gallery()[40:47])
    monkeypatch.setattr("tuwen.cli.showcase.gallery", lambda: scenes)
    monkeypatch.setattr("tuwen.cli.demo.SIDE", 48)


def test_the_demo_leaves_pictures_an_index_a_sheet_and_a_page(
    call: Call, model: Path, few: None, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    result = call("demo", "-m", model, "-o", output)
    assert result.exit_code == 0, result.stderr
    assert len(list((output / "pictures").iterdir())) == 12
    with Image.open(output / "sheet.png") as sheet:
        assert sheet.width > 1200
    page = (output / "index.html").read_text(encoding="utf-8")
    for question in showcase.questions():
        assert question.text in result.stdout
        assert question.text in page
    assert 'src="pictures/' in page
    assert call("search", output / "index", "西瓜").exit_code == 0


def test_the_demo_tells_the_ranks_of_the_right_pictures(call: Call, model: Path, few: None, tmp_path: Path) -> None:
    answers = json.loads(call("demo", "-m", model, "-o", tmp_path / "out", "--json").stdout)
    for number, answer in enumerate(answers):
        assert answer["right"]
        shown = {hit["rank"] for hit in answer["hits"] if hit["right"]}
        assert shown == {rank for rank in answer["right"] if rank <= len(answer["hits"])}
        assert answer["query"] == showcase.questions()[number].text


def test_an_unknown_model_is_refused_before_anything_is_drawn(call: Call, tmp_path: Path) -> None:
    result = call("demo", "-m", "dmeo", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "demo" in result.stderr
    assert not (tmp_path / "out").exists()
