"""`tuwen classify`: the labels of the Python call, in tables and files; every mistake in a label file is named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call, save_pictures
from tuwen.loading import load

LABELS = ["猫", "草地", "照片"]


def test_the_labels_are_those_of_the_python_call(call: Call, model: Path, pictures: Path) -> None:
    result = call("classify", pictures, "-m", model, "--labels", ",".join(LABELS), "-k", 2, "--json")
    assert result.exit_code == 0, result.stderr
    expected = load(model).classify(sorted(pictures.glob("*.png")), LABELS, top_k=2)
    found = json.loads(result.stdout)["pictures"]
    assert [[label["label"] for label in row["labels"]] for row in found] == [
        [label.name for label in row] for row in expected
    ]
    assert found[0]["labels"][0]["probability"] == pytest.approx(expected[0][0].probability, abs=1e-5)


def test_labels_and_templates_may_lie_in_files(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\ufeff猫\n\n草地 \n照片\n", encoding="utf-8")
    (tmp_path / "templates.txt").write_text("红色的{}\n绿色的{}\n", encoding="utf-8")
    files = ["--labels", tmp_path / "labels.txt", "--templates", tmp_path / "templates.txt"]
    found = json.loads(call("classify", pictures, "-m", model, *files, "--json").stdout)["pictures"]
    expected = load(model).classify(sorted(pictures.glob("*.png")), LABELS, templates=["红色的{}", "绿色的{}"])
    assert found[0]["labels"][0]["cosine"] == pytest.approx(expected[0][0].cosine, abs=1e-5)


def test_a_csv_has_a_line_for_each_picture_and_label(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "labels.csv"
    assert call("classify", pictures, "-m", model, "--labels", "猫，草地", "-o", output).exit_code == 0
    rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 10
    assert {row["label"] for row in rows} == {"猫", "草地"}
    assert [row["rank"] for row in rows[:2]] == ["1", "2"]


def test_json_lines_have_one_for_each_picture(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "labels.jsonl"
    assert call("classify", pictures, "-m", model, "--labels", "猫,草地", "-o", output).exit_code == 0
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["picture"] for row in rows] == ["00.png", "01.png", "02.png", "03.png", "04.png"]


def test_a_truncated_picture_is_named_and_the_others_are_classified(
    call: Call, model: Path, pictures: Path, truncated: Path
) -> None:
    result = call("classify", pictures, "-m", model, "--labels", "猫,草地", "--json")
    assert result.exit_code == 1
    assert "02b.png" in result.stderr
    assert len(json.loads(result.stdout)["pictures"]) == 5
    assert call("classify", pictures, "-m", model, "--labels", "猫", "--on-error", "fail").exit_code == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pictures", "--labels", "twice.txt"], 4, "'猫' twice, in lines 1 and 4"),
        (["pictures", "--labels", "blank.txt"], 4, "holds no labels"),
        (["pictures", "--labels", "missing.txt"], 4, "no label file missing.txt"),
        (["pictures", "--labels", "猫,狗,猫"], 2, "'猫' comes twice"),
        (["pictures", "--labels", "猫,,狗"], 2, "label 2"),
        (["pictures", "--labels", "猫", "--templates", "de"], 2, "'zh' or 'en'"),
        (["pictures", "--labels", "猫", "--templates", "twice.txt"], 2, "has no {}"),
        (["pictures", "--labels", "猫", "-o", "labels.xls"], 2, ".csv or .jsonl"),
        (["missing", "--labels", "猫"], 4, "does not exist"),
        (["empty", "--labels", "猫"], 4, "is empty"),
        (["blank.txt", "--labels", "猫"], 4, "holds no text"),
        (["bad", "--labels", "猫", "-o", "out.csv"], 4, "no picture could be read"),
        (["pictures", "--labels", "猫", "--dtype", "int8", "-o", "out.csv"], 2, "float32"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], code: int, said: str, call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pictures(tmp_path / "pictures", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"")
    (tmp_path / "twice.txt").write_text("猫\n狗\n\n猫\n", encoding="utf-8")
    (tmp_path / "blank.txt").write_text("\n \n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    result = call("classify", *words, "-m", model, "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert set(tmp_path.rglob("*")) == before
