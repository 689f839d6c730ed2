"""Tables that grow row by row: nothing is lost, nothing is done twice, nothing of two runs mixes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tuwen.data.rows import Rows
from tuwen.errors import InputError, UsageError

ROOT = Path(__file__).parents[2]
COLUMNS = ["image", "question", "answer", "candidates"]


def begin(path: Path | None, overwrite: bool = False, **settings: Any) -> Rows:
    return Rows(path, COLUMNS, ["image", "question"], {"model": "tiny", **settings}, overwrite)


def row(image: str, answer: str = "猫", question: str = "这是什么？") -> dict[str, Any]:
    return {"image": image, "question": question, "answer": answer, "candidates": [["猫", 0.75], ["狗", 0.25]]}


def key(image: str) -> tuple[str, str]:
    return (image, "这是什么？")


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(pyarrow.parquet.read_table(path).to_pylist())
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{**line, "candidates": json.loads(line["candidates"])} for line in csv.DictReader(file)]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_finished_table_has_every_row(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"out{ending}"
    with begin(path) as rows:
        rows.add(row("a.png"))
        rows.add(row("b.png", '两只 "狗",\n一只猫'))
        rows.finish()
    assert read(path) == [row("a.png"), row("b.png", '两只 "狗",\n一只猫')]


def test_a_parquet_table_keeps_lists_as_lists(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    columns = ["image", "found"]
    with Rows(path, columns, ["image"], {}) as rows:
        rows.add({"image": "a.png", "found": [{"text": "猫", "probability": 0.5}]})
        rows.add({"image": "b.png", "found": []})
        assert not path.exists()
        rows.finish()
    assert read(path) == [
        {"image": "a.png", "found": [{"text": "猫", "probability": 0.5}]},
        {"image": "b.png", "found": []},
    ]


def test_a_csv_begins_with_the_mark_that_spreadsheets_look_for(tmp_path: Path) -> None:
    with begin(tmp_path / "out.csv") as rows:
        rows.add(row("a.png"))
        rows.finish()
    assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbfimage,question,answer,candidates\r\n")


def test_a_run_that_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with begin(path) as rows:
        rows.add(row("a.png"))
        rows.add(row("b.png"))
    assert not path.exists()
    with begin(path) as rows:
        assert rows.done(key("a.png")) and rows.done(key("b.png")) and not rows.done(key("c.png"))
        rows.add(row("c.png"))
        rows.finish()
    assert [line["image"] for line in read(path)] == ["a.png", "b.png", "c.png"]


def test_half_a_line_at_the_end_of_the_record_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with begin(path) as rows:
        rows.add(row("a.png"))
        rows.add(row("b.png"))
        record = rows.record
    assert record is not None
    record.write_bytes(record.read_bytes()[:-20])
    with begin(path) as rows:
        assert rows.done(key("a.png")) and not rows.done(key("b.png"))
        rows.add(row("b.png", "狗"))
        rows.finish()
    assert read(path) == [row("a.png"), row("b.png", "狗")]


def test_a_record_killed_before_its_first_line_was_whole_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "out.csv.run.jsonl").write_bytes(b'{"format": 1, "col')
    with begin(tmp_path / "out.csv") as rows:
        rows.add(row("a.png"))
        rows.finish()
    assert read(tmp_path / "out.csv") == [row("a.png")]


def test_every_row_that_was_added_survives_a_kill(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tuwen.data.rows import Rows\n"
        "rows = Rows(Path(sys.argv[1]), ['image'], ['image'], {})\n"
        "for number in range(50): rows.add({'image': str(number)})\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    path = tmp_path / "out.csv"
    with subprocess.Popen([sys.executable, "-c", program, path], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    with Rows(path, ["image"], ["image"], {}) as rows:
        assert [line["image"] for line in rows] == [str(number) for number in range(50)]


@pytest.mark.parametrize(
    ("now", "said"), [({"model": "other"}, 'model was "tiny", is "other"'), ({"k": 3}, "k was null")]
)
def test_rows_of_other_settings_never_mix(now: dict[str, Any], said: str, tmp_path: Path) -> None:
    with begin(tmp_path / "out.csv") as rows:
        rows.add(row("a.png"))
        rows.finish()
    before = (tmp_path / "out.csv").read_bytes()
    with pytest.raises(InputError, match=said):
        begin(tmp_path / "out.csv", **now)
    assert (tmp_path / "out.csv").read_bytes() == before
    with begin(tmp_path / "out.csv", overwrite=True, **now) as rows:
        assert not len(rows)
        rows.add(row("b.png"))
        rows.finish()
    assert [line["image"] for line in read(tmp_path / "out.csv")] == ["b.png"]


def test_a_table_without_a_record_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="--overwrite"):
        begin(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "mine"


def test_a_damaged_record_is_named_with_its_line(tmp_path: Path) -> None:
    with begin(tmp_path / "out.csv") as rows:
        rows.add(row("a.png"))
        record = rows.record
    assert record is not None
    record.write_bytes(record.read_bytes() + b"{]\n")
    with pytest.raises(InputError, match=r"line 3 of .*out.csv.run.jsonl is damaged"):
        begin(tmp_path / "out.csv")


def test_a_changed_source_is_done_again_and_its_row_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with begin(path) as rows:
        rows.add(row("a.png"), stamp="1")
        rows.add(row("b.png"), stamp="1")
        rows.finish()
    with begin(path) as rows:
        assert rows.done(key("a.png"), "1") and not rows.done(key("a.png"), "2")
        rows.add(row("a.png", "狗"), stamp="2")
        rows.finish()
    assert read(path) == [row("a.png", "狗"), row("b.png")]


def test_a_row_to_be_tried_again_stands_until_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with begin(path) as rows:
        rows.add(row("a.png"), again=True)
        rows.finish()
    assert read(path) == [row("a.png")]
    with begin(path) as rows:
        assert not rows.done(key("a.png"))
        rows.add(row("a.png", "狗"))
        rows.finish()
    with begin(path) as rows:
        assert rows.done(key("a.png"))
    assert read(path) == [row("a.png", "狗")]


def test_the_table_is_in_the_order_asked_and_loses_no_earlier_row(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with begin(path) as rows:
        for name in ("z.png", "b.png", "a.png"):
            rows.add(row(name))
        rows.finish([key("a.png"), key("b.png"), key("missing.png")])
    assert [line["image"] for line in read(path)] == ["a.png", "b.png", "z.png"]


def test_nothing_new_leaves_the_table_untouched(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with begin(path) as rows:
        rows.add(row("a.png"))
        rows.finish()
    before = path.stat().st_mtime_ns
    time.sleep(0.01)
    with begin(path) as rows:
        rows.finish()
    assert path.stat().st_mtime_ns == before


def test_without_rows_nothing_is_written(tmp_path: Path) -> None:
    with begin(tmp_path / "out.csv") as rows:
        rows.fail("a.png", "it is damaged")
        rows.finish()
    assert rows.failures == [("a.png", "it is damaged")]
    assert not list(tmp_path.iterdir())


def test_without_a_path_rows_are_kept_all_the_same() -> None:
    with begin(None) as rows:
        rows.add(row("a.png"))
        rows.add(row("b.png"))
        rows.finish()
        assert list(rows) == [row("a.png"), row("b.png")]
        rows.add(row("c.png"))
        assert [line["image"] for line in rows.ordered([key("c.png")])] == ["c.png", "a.png", "b.png"]


def test_other_columns_and_endings_are_refused(tmp_path: Path) -> None:
    with begin(tmp_path / "out.csv") as rows, pytest.raises(UsageError, match="columns image, reply"):
        rows.add({"image": "a.png", "reply": ""})
    with pytest.raises(UsageError, match=r"\.csv, \.jsonl or \.parquet"):
        begin(tmp_path / "out.xlsx")
