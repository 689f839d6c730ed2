"""`tuwen ground`: the picture and the scores that it writes are those of the Python call."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call
from tests.tasks import tiny_vle


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_vle.model()
    monkeypatch.setattr("tuwen.cli.ground.ready", lambda *_: loaded)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "wide.png"
    Image.fromarray(tiny_vle.picture(height=40, width=80)).save(path)
    return path


def test_overlay_and_scores_are_those_of_the_python_call(call: Call, picture: Path, tmp_path: Path) -> None:
    image, scores = tmp_path / "new" / "heat.png", tmp_path / "new" / "scores.npy"
    result = call("ground", picture, "a cat", "-o", image, "--scores", scores)
    assert result.exit_code == 0, result.stderr
    found = tiny_vle.model().ground(picture, "a cat")
    np.testing.assert_array_equal(np.load(scores), found.scores)
    with Image.open(image) as shown:
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(found.overlay()))
    assert str(image) in result.stdout
    assert "4 x 4" in result.stdout


def test_json_says_where_the_best_patch_is(call: Call, picture: Path) -> None:
    result = call("ground", picture, "a cat", "--json", "-q")
    data = json.loads(result.stdout)
    scores = np.array(data["scores"])
    assert scores.shape == (data["rows"], data["columns"]) == (4, 4)
    assert data["area"] == [20, 0, 60, 40]
    best = data["best"]
    assert scores[best["row"], best["column"]] == scores.max()
    assert best["box"][0] == 20 + 10 * best["column"]
    assert result.stderr == ""


def test_the_grid_may_cover_the_whole_picture(call: Call, picture: Path) -> None:
    data = json.loads(call("ground", picture, "a cat", "--json", "--area", "whole").stdout)
    assert data["area"] == [0, 0, 80, 40]


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_other_endings_and_colours_are_written_too(ending: str, call: Call, picture: Path, tmp_path: Path) -> None:
    output = tmp_path / f"heat.{ending}"
    assert call("ground", picture, "a cat", "-o", output, "--heat").exit_code == 0
    with Image.open(output) as shown:
        assert (shown.mode, shown.size) == ("RGB", (80, 40))


def test_a_transparent_picture_can_become_a_jpeg(call: Call, tmp_path: Path) -> None:
    path, output = tmp_path / "a.png", tmp_path / "a.jpg"
    Image.fromarray(tiny_vle.picture()).convert("RGBA").save(path)
    assert call("ground", path, "a cat", "-o", output).exit_code == 0


def test_chinese_texts_are_remarked_upon(call: Call, picture: Path) -> None:
    assert "1 text of 1 are Chinese" in call("ground", picture, "猫").stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["wide.png", "cat", "-o", "heat.gif"], 2, "must end in .png"),
        (["wide.png", "cat", "--scores", "heat.txt"], 2, "must end in .npy"),
        (["wide.png", " "], 2, "text is empty"),
        (["missing.png", "cat"], 4, "missing.png"),
        (["bad.png", "cat", "-o", "heat.png"], 4, "bad.png"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], code: int, said: str, call: Call, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    Path("bad.png").write_bytes(b"")
    before = set(picture.parent.iterdir())
    result = call("ground", *words, "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert set(picture.parent.iterdir()) == before


def test_a_model_that_cannot_says_who_can(call: Call, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tiny_vle.model(heads=("choose",))
    monkeypatch.setattr("tuwen.cli.ground.ready", lambda *_: other)
    result = call("ground", picture, "cat")
    assert result.exit_code == 2
    assert "these can: vle/base" in result.stderr
