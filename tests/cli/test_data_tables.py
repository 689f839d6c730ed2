"""`tuwen data build --to NAME`: the data scripts of BridgeTower and VLE as one command."""

from __future__ import annotations

import json
from pathlib import Path

from tests import official
from tests.cli.conftest import Call
from tuwen.cli.data_writing import Built
from tuwen.data.building import TOOLS


def test_every_tool_has_its_name() -> None:
    assert {built.value for built in Built} - {"lmdb", "tr"} == set(TOOLS)


def test_tables_lie_beside_the_files_or_where_they_are_wanted(tmp_path: Path, call: Call) -> None:
    raw = official.some_vqa(tmp_path / "raw")
    result = call("data", "build", raw, "--to", "vqa-fix")
    assert result.exit_code == 0, result.output
    assert "vqav2_train_fix.arrow" in result.stdout
    assert "train: 6 of 6 pictures used, 7 files in their folders" in result.stdout
    assert (raw / "arrow" / "vqav2_rest_val_fix.arrow").is_file()
    assert json.loads((raw / "arrow" / "label2answer.json").read_text()) == ["no", "yes", "2"]
    again = call("data", "build", raw, "--to", "vqa-fix", "-o", tmp_path / "made", "-q")
    assert again.exit_code == 0
    assert {path.name for path in (tmp_path / "made").iterdir()} == {path.name for path in (raw / "arrow").iterdir()}
    assert call("data", "build", raw, "--to", "vqa-fix").exit_code == 4  # they are there already
    assert call("data", "build", raw, "--to", "vqa-fix", "--overwrite").exit_code == 0


def test_rows_that_cannot_be_used_are_told(tmp_path: Path, call: Call) -> None:
    raw = official.save_web_captions(tmp_path) / "sbu"
    (raw / "SBU" / "2_b.jpg").unlink()
    result = call("data", "build", raw, "--to", "sbu", "--pictures", raw / "SBU")
    assert result.exit_code == 1
    assert "2_b.jpg: its picture is not in" in result.stderr
    assert "sbu: 1 of 2 pictures used, 1 files in their folders" in result.stdout


def test_questions_of_visual_genome_say_how_they_are_spread(tmp_path: Path, call: Call) -> None:
    raw = official.some_vqa(tmp_path / "vqa")
    vg = official.save_visual_genome(tmp_path / "elsewhere")
    result = call("data", "build", raw, "--to", "vgqa", "--visual-genome", vg, "-o", tmp_path / "made")
    assert result.exit_code == 0, result.output
    assert "answers of a question: 2 times 1, 1+1 times 1, 1 times 2" in result.stdout


def test_options_of_other_tools_are_refused(tmp_path: Path, call: Call) -> None:
    raw = official.save_nlvr2(tmp_path)
    assert call("data", "build", raw, "--to", "nlvr2", "--splits", "dev").exit_code == 2
    assert call("data", "build", raw, "--to", "lmdb", "--seed", "1").exit_code == 2
    assert call("data", "build", raw, "--to", "snli").exit_code == 4


def test_nested_splits_are_no_leak(tmp_path: Path, call: Call) -> None:
    raw = official.some_vqa(tmp_path / "raw")
    (raw / official.coco("val", 41)).write_bytes((raw / official.coco("train", 5)).read_bytes())
    assert call("data", "inspect", official.save_nlvr2(tmp_path / "nlvr"), "-q").exit_code == 0
    result = call("data", "inspect", raw, "-q")
    assert "val: problem" in result.stdout
    assert "are in train, too" in result.stdout
    assert "are in val, too" not in result.stdout
