"""Bad rows of the models' own input files: each is named with its file and line, and nothing is left half-written."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tuwen
from tests.cli.conftest import Call, save_pictures
from tests.models.tiny_towers import save_brivl, save_ernie
from tuwen.data.embedded import open_embedded

GOOD = {"image_id": "imgs/00.png", "sentences": [["sur_text", "红色的猫"]], "bbox": [[1, 2, 30, 40]]}
# What is wrong with a row of a jsonl, and what is said of it.
BAD: dict[str, tuple[Any, str]] = {
    "cut short": ('{"image_id": "imgs/00', "it is not JSON"),
    "a list": ([1, 2], "it is [1, 2], expected an object"),
    "empty": ("", "the line is empty"),
    "without a picture": ({"image_id": None}, "its image_id is missing, expected a picture's path"),
    "a picture that is gone": ({"image_id": "imgs/99.png"}, "its picture imgs/99.png is not in"),
    "a picture that is none": ({"image_id": "imgs/text.png"}, "text.png is not a picture"),
    "without its sentence": ({"sentences": [["alt", "猫"]]}, "it has no sentence named sur_text, only alt"),
    "without boxes": ({"bbox": None}, "it has no bbox"),
    "three corners": ({"bbox": [[1, 2, 3]]}, "box 1 of 1 is [1, 2, 3]"),
    "a box to the right": ({"bbox": [[0, 0, 9, 9], [5, 5, 90, 30]]}, "box 2 of 2 is (5, 5, 90, 30), outside"),
    "a box above": ({"bbox": [[5, -30, 9, 9]]}, "box 1 of 1 is (5, -30, 9, 9), outside"),
    "a box elsewhere": ({"bbox": [[500, 500, 600, 600]]}, "outside the picture of 48 x 40 pixels"),
}


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_brivl(tmp_path_factory.mktemp("brivl") / "model")


@pytest.fixture(scope="module")
def ernie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_ernie(tmp_path_factory.mktemp("ernie") / "model")


def row(changed: Any) -> str:
    if isinstance(changed, str):
        return changed
    whole = {**GOOD, **changed} if isinstance(changed, dict) else changed
    plain = {key: value for key, value in whole.items() if value is not None} if isinstance(whole, dict) else whole
    return json.dumps(plain, ensure_ascii=False)


def data(folder: Path, *rows: Any) -> Path:
    """imgs/ with three pictures of 48 x 40 pixels and one that is none, and jsonls/ with these rows."""
    save_pictures(folder / "imgs", 3)
    (folder / "imgs" / "text.png").write_text("no picture")
    (folder / "jsonls").mkdir()
    (folder / "jsonls" / "rows.jsonl").write_text("\n".join(map(row, rows)), encoding="utf-8")
    return folder


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_named_and_the_others_are_embedded(
    kind: str, call: Call, regions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    wrong, said = BAD[kind]
    source = data(tmp_path / "data", GOOD, wrong, {**GOOD, "image_id": "imgs/01.png"})
    result = call("embed", source, "-m", regions, "-o", tmp_path / "out")
    assert result.exit_code == 1, result.stderr
    assert "rows.jsonl:2" in result.stderr
    assert said in result.stderr
    embedded = open_embedded(tmp_path / "out")
    assert embedded.images is not None
    assert [image.id for image in embedded.images.rows] == ["imgs/00.png", "imgs/01.png"]
    assert [failure.id for failure in embedded.failures] == ["rows.jsonl:2"]


@pytest.mark.parametrize("kind", BAD)
def test_a_run_that_shall_not_skip_stops_there_and_leaves_no_result(
    kind: str, call: Call, regions: Path, tmp_path: Path
) -> None:
    wrong, said = BAD[kind]
    source = data(tmp_path / "data", GOOD, wrong, GOOD)
    for form in ("tuwen", "original"):
        words = ["embed", source, "-m", regions, "-o", tmp_path / "out", "--format", form, "--on-error", "fail"]
        result = call(*words)
        assert result.exit_code == 4, result.stderr
        assert said in " ".join(result.stderr.split())
        if (tmp_path / "out").exists():  # what was embedded before waits for the next run
            assert [path.name for path in (tmp_path / "out").iterdir()] == [".partial"]


@pytest.mark.parametrize("kind", ["cut short", "without a picture", "a picture that is none", "a box elsewhere"])
def test_the_original_files_have_a_line_for_each_good_row(kind: str, call: Call, regions: Path, tmp_path: Path) -> None:
    source = data(tmp_path / "data", BAD[kind][0], GOOD, {**GOOD, "image_id": "imgs/01.png"})
    words = ["embed", source, "-m", regions, "-o", tmp_path / "out", "--format", "original"]
    assert call(*words).exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["np_img.npy", "np_text.npy"]
    assert [len(np.load(tmp_path / "out" / name)) for name in ("np_img.npy", "np_text.npy")] == [2, 2]


def test_where_every_row_is_bad_the_first_are_named_and_nothing_is_written(
    call: Call, regions: Path, tmp_path: Path
) -> None:
    source = data(tmp_path / "data", *[{"image_id": None}] * 4)
    for path in (source, source / "jsonls" / "rows.jsonl"):
        result = call("embed", path, "-m", regions, "-o", tmp_path / "out")
        assert result.exit_code == 4
        said = " ".join(result.stderr.split())
        assert "all 4 failed: rows.jsonl:1: its image_id is missing" in said
        assert not (tmp_path / "out").exists()


def test_a_file_of_rows_that_are_something_else_says_what_was_expected(
    call: Call, regions: Path, tmp_path: Path
) -> None:
    (tmp_path / "questions.jsonl").write_text('{"question": "?"}\n{"question": "!"}\n', encoding="utf-8")
    (tmp_path / "words.tsv").write_text("a\tb\nc\td\n", encoding="utf-8")
    for name, said in (
        ("questions.jsonl", "questions.jsonl:1: its image_id is missing"),
        ("words.tsv", "none of its first 20 rows is a text, an id and a base64 picture with tabs between them"),
    ):
        result = call("embed", tmp_path / name, "-m", regions, "-o", tmp_path / "out")
        assert result.exit_code == 4
        assert said in " ".join(result.stderr.split())
        assert not (tmp_path / "out").exists()


def test_a_bad_row_of_a_table_is_named_and_the_others_are_searched(call: Call, ernie: Path, tmp_path: Path) -> None:
    good = [base64.b64encode(path.read_bytes()).decode() for path in save_pictures(tmp_path / "imgs", 2).iterdir()]
    lines = [f"猫\ta\t{good[0]}", "狗\tb\t" + good[1][:200], "鸟\tc\t?", "鱼", "", f"草\td\t{good[1]}"]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    result = call("embed", tmp_path / "pairs.tsv", "-m", ernie, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 1
    failures = {failure["id"]: failure["reason"] for failure in json.loads(result.stdout)["failures"]}
    assert list(failures) == [f"pairs.tsv:{line}" for line in (2, 3, 4, 5)]
    assert "damaged or cut short" in failures["pairs.tsv:2"]
    hits = json.loads(call("search", tmp_path / "out", "猫", "--json").stdout)["hits"]
    assert {hit["id"] for hit in hits} == {"a", "d"}


def test_a_model_of_one_tower_asks_to_leave_out_the_other_rows(call: Call, regions: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    tuwen.load(regions, device="cpu", tower="image").save(alone)
    done = call("embed", data(tmp_path / "data", GOOD), "-m", alone, "-o", tmp_path / "out")
    assert (done.exit_code, "has the image tower alone: pass --what image" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
    done = call("embed", tmp_path / "data", "-m", alone, "-o", tmp_path / "out", "--what", "image")
    assert done.exit_code == 0
