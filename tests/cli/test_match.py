"""`tuwen match`: the model's own numbers in whatever form, none of them computed twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tests.cli.conftest import Call, save_flat_picture, save_pictures
from tuwen.loading import load
from tuwen.model import Model

CASES = Path(__file__).parents[1] / "golden" / "cases"
FUSING = CASES / "bridgetower" / "hf_all_heads" / "checkpoint"
ANSWERING = CASES / "vle" / "vqa_base" / "checkpoint"
TEXTS = ["a red fox in the snow", "two dogs"]


@pytest.fixture(scope="module")
def loaded() -> Model:
    return load(FUSING)


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def matched(call: Call, *words: object, code: int = 0) -> list[dict[str, Any]]:
    result = call("match", *words, "-m", FUSING, "--json", "-q")
    assert result.exit_code == code, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return found


def texts_of(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--text", text)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(pyarrow.parquet.read_table(path).to_pylist())
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{**row, "probability": float(row["probability"])} for row in csv.DictReader(file)]


def test_every_picture_meets_every_text(call: Call, pictures: Path, loaded: Model) -> None:
    paths = sorted(pictures.glob("*.png"))
    rows = matched(call, pictures, *texts_of(*TEXTS))
    assert [(row["image"], row["text"]) for row in rows] == [(path.name, text) for path in paths for text in TEXTS]
    chances = loaded.match(paths, TEXTS).flatten().tolist()
    assert [row["probability"] for row in rows] == pytest.approx(chances, abs=2e-6)


def test_one_text_or_one_picture_gives_a_ranking(call: Call, pictures: Path) -> None:
    for words in ([pictures, *texts_of("two dogs")], [pictures / "03.png", *texts_of(*TEXTS, "a boat")]):
        chances = [row["probability"] for row in matched(call, *words)]
        assert len(chances) > 2
        assert chances == sorted(chances, reverse=True)


def test_pictures_and_folders_together_are_named_below_what_holds_them(call: Call, tmp_path: Path) -> None:
    first, second = save_pictures(tmp_path / "a", 2), save_pictures(tmp_path / "b" / "c", 1)
    rows = matched(call, first, second / "00.png", first / "01.png", "--text", "two dogs", "--text", "two dogs")
    assert sorted(row["image"] for row in rows) == ["a/00.png", "a/01.png", "b/c/00.png"]


def test_texts_come_from_a_file_too(call: Call, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a boat\n\ntwo dogs\n", encoding="utf-8")
    rows = matched(call, pictures / "00.png", "--text", "two dogs", "--texts", tmp_path / "texts.txt")
    assert sorted(row["text"] for row in rows) == ["a boat", "two dogs"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_rows_of_every_file_format_are_the_same(ending: str, call: Call, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / f"out.{ending}"
    assert call("match", pictures, *texts_of(*TEXTS), "-m", FUSING, "-o", output, "-q").exit_code == 0
    assert rows_of(output) == matched(call, pictures, *texts_of(*TEXTS))


def test_nothing_is_matched_twice(call: Call, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    words = ["match", pictures, "-m", FUSING, "-o", output, "--json"]
    assert json.loads(call(*words, *texts_of("two dogs")).stdout)["matched"] == 5
    more = json.loads(call(*words, *texts_of("two dogs", "a boat")).stdout)
    assert (more["rows"], more["matched"]) == (10, 5)
    again = call(*words, *texts_of("two dogs", "a boat"))
    assert json.loads(again.stdout)["matched"] == 0
    fresh = tmp_path / "fresh.csv"
    call("match", pictures, "-m", FUSING, "-o", fresh, *texts_of("two dogs", "a boat"))
    assert fresh.read_bytes() == output.read_bytes()


def test_no_room_for_states_gives_the_same_numbers(call: Call, pictures: Path) -> None:
    roomy = matched(call, pictures, *texts_of(*TEXTS))
    tight = matched(call, pictures, *texts_of(*TEXTS), "--memory", 0)
    assert [row["probability"] for row in tight] == pytest.approx([row["probability"] for row in roomy], abs=2e-6)


def test_a_truncated_picture_is_named_and_the_others_are_matched(call: Call, pictures: Path, truncated: Path) -> None:
    result = call("match", pictures, "--text", "two dogs", "-m", FUSING, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert len(found["rows"]) == 5
    assert [failure["id"] for failure in found["failures"]] == [truncated.name]
    assert truncated.name in result.stderr
    stopped = call("match", pictures, "--text", "two dogs", "-m", FUSING, "--on-error", "fail", "-q")
    assert (stopped.exit_code, stopped.stdout) == (4, "")


@pytest.mark.parametrize(
    ("columns", "first", "lines"),
    [(120, ["image", *" ".join(TEXTS).split()], 7), (30, ["text"], 4 + 1 + 7), (16, ["image", "match", "text"], 12)],
)
def test_several_of_both_are_a_matrix_that_fits_the_screen(
    columns: int, first: list[str], lines: int, call: Call, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = call("match", pictures, *texts_of(*TEXTS), "-m", FUSING, "-q").stdout.splitlines()
    assert printed[0].split() == first
    assert len(printed) == lines
    assert sum("03.png" in line for line in printed) == (2 if columns == 16 else 1)


def test_a_model_that_knows_no_chinese_says_so_once(call: Call, pictures: Path) -> None:
    result = call("match", pictures, *texts_of("一只猫", "两只狗", "a boat"), "-m", FUSING)
    assert result.exit_code == 0
    assert result.stderr.count("2 texts of 3 are Chinese") == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{pictures}"], 2, "nothing to match with"),
        (["{pictures}", "--text", " "], 2, "a text is empty"),
        (["{pictures}", "--text", "two dogs " * 60], 4, "tokens, the model takes 38"),
        (["{pictures}", "--texts", "{pictures}/none.txt"], 4, "none.txt"),
        (["{pictures}", "--texts", "{pictures}/empty.txt"], 4, "holds no texts"),
        (["{pictures}/empty.txt", "--text", "a"], 4, "no text"),
        (["{pictures}/none.png", "--text", "a"], 4, "does not exist"),
        (["{pictures}/flat.png", "--text", "a"], 4, "flat.png"),
        (["{pictures}", "--text", "a", "-o", "out.txt"], 2, ".parquet"),
        (["{pictures}", "--text", "a", "-m", "demo"], 2, "cannot match: its tasks are embed, search, classify"),
        (["{pictures}", "--text", "a", "-m", ANSWERING], 2, "these can: bridgetower/base-itm-mlm"),
    ],
)
def test_what_cannot_be_matched_is_one_sentence(
    words: list[object], code: int, said: str, call: Call, pictures: Path
) -> None:
    (pictures / "empty.txt").write_text("\n", encoding="utf-8")
    save_flat_picture(pictures / "flat.png")
    given = ["-m", FUSING] if "-m" not in words else []
    result = call("match", *(str(word).format(pictures=pictures) for word in words), *given, "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
