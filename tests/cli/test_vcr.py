"""`tuwen vcr`: rows, accuracy, bad items, and going on after a stop."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.conftest import Call
from tests.tasks import tiny_vle
from tuwen.model import Model
from tuwen.tasks.choose import choose

ROW: dict[str, Any] = {
    "objects": ["person", "cat"],
    "question": ["Is", [0], "near", [1], "?"],
    "answer_choices": [["yes"], [[0, 1], "are", "."], ["no", "!"]],
    "rationale_choices": [["so"], ["it", "is"]],
}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Model:
    made = tiny_vle.model()
    monkeypatch.setattr("tuwen.cli.vcr.ready", lambda *_: made)
    return made


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four items, of which only the last has no labels."""
    (tmp_path / "images").mkdir()
    lines = []
    for number in range(4):
        Image.fromarray(tiny_vle.picture(40 + number, 64)).save(tmp_path / "images" / f"{number}.png")
        boxes = {"boxes": [[0, 0, 9 + number, 9, 0.5], [20, 5, 60, 30, 0.5]]}
        (tmp_path / "images" / f"{number}.json").write_text(json.dumps(boxes), encoding="utf-8")
        row = {**ROW, "annot_id": f"val-{number}", "img_fn": f"{number}.png", "metadata_fn": f"{number}.json"}
        labels = {"answer_label": number % 3, "rationale_label": 1} if number < 3 else {}
        lines.append(json.dumps({**row, **labels}))
    (tmp_path / "val.jsonl").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(call: Call, *more: object) -> Any:
    return call("vcr", "val.jsonl", "--images", "images", *more)


def test_rows_are_those_of_the_python_call(call: Call, loaded: Model, data: Path) -> None:
    found = json.loads(run(call, "--json").stdout)
    assert (found["items"], found["labelled"], found["failed"]) == (4, 3, 0)
    expected = choose(
        loaded,
        data / "images" / "1.png",
        ROW["question"],
        ROW["answer_choices"],
        [[0, 0, 10, 9], [20, 5, 60, 30]],
        ROW["objects"],
    )
    row = found["rows"][1]
    assert row["probabilities"] == pytest.approx(expected.tolist(), abs=1e-6)
    assert row["prediction"] == int(expected.argmax())
    assert row["correct"] == (row["prediction"] == 1)
    assert row["question"] == "Is person0 near cat1 ?"
    assert row["choices"][1] == "person0 and cat1 are ."
    known = [row["correct"] for row in found["rows"][:3]]
    assert found["accuracy"] == pytest.approx(sum(known) / 3)
    assert found["rows"][3]["label"] is found["rows"][3]["correct"] is None


def test_reasons_are_chosen_for_the_right_answer(call: Call, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny_vle.model("qa2r")
    monkeypatch.setattr("tuwen.cli.vcr.ready", lambda *_: made)
    result = run(call, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["task"] == "qa2r"
    assert [len(row["probabilities"]) for row in found["rows"]] == [2, 2, 2]
    assert found["rows"][2]["question"] == "Is person0 near cat1 ? no !"
    assert found["failures"][0]["id"] == "val.jsonl:4"
    assert "no answer_label" in found["failures"][0]["reason"]


def test_a_table_closes_with_the_accuracy(call: Call, loaded: Model, data: Path) -> None:
    result = run(call)
    assert result.exit_code == 0, result.stderr
    assert "accuracy" in result.stdout
    assert "4 items" in result.stderr


def test_a_csv_goes_on_where_it_was(call: Call, loaded: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = (data / "images" / "2.png").rename(data / "hidden.png")
    first = run(call, "-o", "out.csv")
    assert first.exit_code == 1
    assert "val.jsonl:3" in first.stderr
    hidden.rename(data / "images" / "2.png")
    asked: list[Any] = []
    monkeypatch.setattr(loaded, "need", lambda _: asked.append(1))
    assert run(call, "-o", "out.csv").exit_code == 0
    assert len(asked) == 2  # once for all, once for the item that was missing
    rows = list(csv.DictReader((data / "out.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [row["id"] for row in rows] == ["val-0", "val-1", "val-2", "val-3"]
    assert len(json.loads(rows[0]["probabilities"])) == 3
    assert "up to date" in run(call, "-o", "out.csv").stderr


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_other_tables_hold_the_same(ending: str, call: Call, loaded: Model, data: Path) -> None:
    rows = json.loads(run(call, "--json").stdout)["rows"]
    assert run(call, "-o", f"out.{ending}").exit_code == 0
    if ending == "jsonl":
        found = [json.loads(line) for line in (data / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    else:
        from tuwen.data import parquet

        found = parquet.read(data / "out.parquet")
    assert found == rows


def test_bad_items_are_named_with_file_and_line_and_the_others_go_on(call: Call, loaded: Model, data: Path) -> None:
    (data / "images" / "0.json").write_text('{"boxes": [[900, 0, 950, 9], [0, 0, 9, 9]]}', encoding="utf-8")
    lines = (data / "val.jsonl").read_text(encoding="utf-8").splitlines()
    lines[1] = "{"
    lines[2] = (
        lines[2]
        .replace('"answer_choices": [["yes"]', '"answer_choices": [], "x": [["yes"]')
        .replace('"answer_label": 2, ', "")
    )
    (data / "val.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = run(call)
    assert result.exit_code == 1
    assert "val.jsonl:1: box 0" in result.stderr
    assert "the picture is 64 x 40" in result.stderr
    assert "val.jsonl:2: it is not JSON" in result.stderr
    assert "val.jsonl:3: it has no answer_choices" in result.stderr
    assert "val-3" in result.stdout
    assert run(call, "--on-error", "fail").exit_code == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["val.jsonl", "--images", "none"], 4, "is no folder"),
        (["none.jsonl", "--images", "images"], 4, "cannot be read"),
        (["empty.jsonl", "--images", "images"], 4, "holds no items"),
        (["val.jsonl", "--images", "images", "-o", "out.txt"], 2, "must end in .csv"),
        (["val.jsonl", "--images", "images", "--task", "qa2r"], 2, "vle/base-vcr-qa2r"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], code: int, said: str, call: Call, loaded: Model, data: Path
) -> None:
    (data / "empty.jsonl").write_text("\n", encoding="utf-8")
    before = set(data.iterdir())
    result = call("vcr", *words, "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert set(data.iterdir()) == before
