"""Runs as files: read as they were written, named after all they hang on, compared query by query."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.running import run, scored
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.errors import InputError
from tuwen.evaluate import runs


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = run(tmp_path, "a", 0.6, failures=[("x.jpg", "is broken")])
    again = runs.read(written.path)
    assert again == written
    assert again.figures == scored(0.6).figures
    assert again.made == scored(0.6).made
    assert again.failed == 1
    assert again.environment["threads"] >= 1
    assert again.environment["versions"]["torch"]
    low, high = again.intervals["text_to_image_r1"]
    assert low < 0.6 < high
    table = again.queries()["text_to_image"]
    assert table["id"] == [str(number) for number in range(200)]
    assert table["right"][0] == ["right"]
    assert np.array_equal(table["rank"], np.asarray(scored(0.6).queries["text_to_image"]["rank"]))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".parquet"}


def test_without_pyarrow_rows_are_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    written = run(tmp_path, "a", 0.6)
    assert written.tables["text_to_image"].endswith(".jsonl")
    table = written.queries()["text_to_image"]
    assert isinstance(table["r1"], np.ndarray)
    assert table["found"][0] == ["right"]


def test_a_run_names_the_figures_whose_interval_is_not_drawn(tmp_path: Path) -> None:
    made = run(tmp_path, "a", 1.0, count=40)
    content = json.loads(made.path.read_text(encoding="utf-8"))
    assert content["bootstrap"]["wilson"] == ["text_to_image_r1", "text_to_image_mean_recall"]
    assert made.intervals["text_to_image_r1"] == pytest.approx([0.91238, 1], abs=1e-5)
    assert made.intervals["text_to_image_median_rank"] == [1, 1]
    assert run(tmp_path, "b", 0.5).bootstrap["wilson"] == []


def test_another_model_options_or_data_have_another_name(tmp_path: Path) -> None:
    paths = {
        run(tmp_path, "a", 0.6).path,
        run(tmp_path, "b", 0.6).path,
        run(tmp_path, "a", 0.6, options={"protocol": "original"}).path,
        run(tmp_path, "a", 0.6, data="other").path,
        run(tmp_path, "vle/模型 1", 0.6).path,
    }
    assert len(paths) == 5
    assert run(tmp_path, "a", 0.7).path in paths
    assert len(runs.find([tmp_path])) == 5


def test_the_fingerprint_of_data_is_of_what_its_rows_say() -> None:
    def of(*texts: Text, pictures: tuple[str, ...] = ("1", "2")) -> str:
        dataset = Dataset("x", Path("x"), PAIRS, dict.fromkeys(pictures, b""), list(texts))
        return str(runs.of_data(dataset)["fingerprint"])

    text = Text("7", "猫", ("1",), "file:1", {"label": 1})
    assert of(text) == of(replace(text, place="elsewhere:9"))
    others = [replace(text, text="狗"), replace(text, image_ids=("2",)), replace(text, columns={"label": 2})]
    assert len({of(text), *(of(other) for other in others), of(text, pictures=("1",))}) == 5


def test_other_files_among_the_runs_are_passed_over_but_not_named_ones(tmp_path: Path) -> None:
    one = run(tmp_path / "deep", "a", 0.6)
    (tmp_path / "other.json").write_text("[1]", encoding="utf-8")
    assert runs.find([tmp_path]) == [one]
    with pytest.raises(InputError, match="is no run"):
        runs.find([tmp_path / "other.json"])
    with pytest.raises(InputError, match="there is nothing at"):
        runs.find([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there are no runs"):
        runs.find([tmp_path / "empty"])


def test_rows_that_were_lost_and_other_versions_are_said(tmp_path: Path) -> None:
    one = run(tmp_path, "a", 0.6)
    (tmp_path / one.tables["text_to_image"]).unlink()
    with pytest.raises(InputError, match="keep the files of a run together"):
        one.queries()
    content = json.loads(one.path.read_text(encoding="utf-8"))
    one.path.write_text(json.dumps({**content, "format": 9}), encoding="utf-8")
    with pytest.raises(InputError, match="another version"):
        runs.read(one.path)


def test_two_runs_are_compared_by_their_queries(tmp_path: Path) -> None:
    good, bad = run(tmp_path, "good", 0.8), run(tmp_path, "bad", 0.5)
    found = runs.compare(good, bad, 500)
    assert found["text_to_image_r1"].value == pytest.approx(0.3)
    assert found["text_to_image_r1"].p < 0.01
    assert runs.compare(bad, good, 500)["text_to_image_r1"].value == pytest.approx(-0.3)
    with pytest.raises(InputError, match="other queries"):
        runs.compare(good, run(tmp_path, "else", 0.5, offset=50), 10)
