"""`tuwen eval` around its evaluators: sets by name, one line of results, runs that are kept, tables, the suite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.datasets import png, save_images, save_texts
from tests.evaluate.running import run
from tests.fusing import CASES
from tuwen.evaluate import known


def coco_cn(folder: Path, captions: int = 5) -> Path:
    save_images(folder / "test_imgs.tsv", [(number, png(number, (40, 40))) for number in range(4)])
    texts = [(number, f"一只猫 {number}", [number % 4]) for number in range(captions)]
    save_texts(folder / "test_texts.jsonl", texts)
    return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = dict(known.sets())
    sets["coco-cn"] = replace(sets["coco-cn"], splits={"test": {"pictures": 4, "texts": 5}})
    monkeypatch.setattr(known, "sets", lambda: sets)
    one = {"model": "chinese-clip", "set": "coco-cn", "split": "test", "training": "zero-shot", "source": "paper"}
    monkeypatch.setattr(known, "published", lambda: ({**one, "figures": {"text_to_image_r1": 0.25}},))


def test_the_line_says_figures_reference_size_and_time(call: Call, model: Path, tmp_path: Path, tiny: None) -> None:
    result = call("eval", "retrieval", "coco-cn", "--data", coco_cn(tmp_path), "-m", model, "-q")
    assert result.exit_code == 0, result.stderr
    line = result.stdout.splitlines()[-1]
    figures, reference, size, seconds = line.split(" | ")
    assert figures.startswith("t2i R@1 ")
    assert " i2t R@1 " in figures
    assert " ±" in figures
    ours = 100 * float(json.loads(_json(call, tmp_path, model))["figures"]["text_to_image_r1"])
    change = f"{ours - 25:+.1f}" if ours != 25 else "0.0"
    assert reference == f"reference 25.0 (paper, zero-shot) Δ {change}"
    assert size == "4 images, 5 texts"
    assert seconds.endswith(" s")


def _json(call: Call, folder: Path, model: Path) -> str:
    result = call("eval", "retrieval", "coco-cn", "--data", folder, "-m", model, "-q", "--json")
    (one,) = json.loads(result.stdout)
    assert one["reference"]["comparable"]
    return json.dumps(one)


def test_other_data_of_the_name_is_not_compared(call: Call, model: Path, tmp_path: Path, tiny: None) -> None:
    result = call("eval", "retrieval", "coco-cn", "--data", coco_cn(tmp_path, 3), "-m", model, "-q")
    assert "reference 25.0 (paper, zero-shot), on other data" in result.stdout
    assert "Δ" not in result.stdout
    assert "expected 5 texts in COCO-CN test, found 3" in result.stderr


def test_a_set_without_labels_needs_submit_and_says_so_before_the_work(
    call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_images(tmp_path / "test_imgs.tsv", [(number, png(number, (40, 40))) for number in range(12)])
    save_texts(tmp_path / "test_texts.jsonl", [(7, "红裙子", [])])
    words = ["eval", "retrieval", "muge", "--data", tmp_path, "--split", "test", "-m", model, "-q"]
    with monkeypatch.context() as patched:
        patched.setattr("tuwen.cli.console.bar", lambda *_: pytest.fail("the work has begun"))
        refused = call(*words)
    assert refused.exit_code == 4
    assert "no labels" in refused.stderr and "--submit" in refused.stderr
    done = call(*words, "--submit", tmp_path / "out.jsonl")
    assert done.exit_code == 0, done.stderr
    (line,) = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(json.loads(line)["image_ids"]) == 10


def test_runs_are_kept_with_a_page_skipped_and_put_into_tables(
    call: Call, model: Path, other_model: Path, tmp_path: Path
) -> None:
    words = ["eval", "retrieval", coco_cn(tmp_path / "mine"), "-m", model, "-m", other_model]
    words += ["-o", tmp_path / "runs", "-q"]
    first = call(*words)
    assert first.exit_code == 0, first.stderr
    assert [line.split(":")[0] for line in first.stdout.splitlines()[-2:]] == ["tiny", "other"]
    kept = sorted(path for path in (tmp_path / "runs").glob("*.json"))
    assert len(kept) == 2
    assert all(path.with_suffix(".html").is_file() for path in kept)
    times = [path.stat().st_mtime_ns for path in kept]
    again = call(*words, "--skip-existing")
    assert again.exit_code == 0
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert again.stdout == first.stdout
    table = call("eval", "table", tmp_path / "runs")
    assert table.exit_code == 0, table.stderr
    assert "### mine test · retrieval" in table.stdout or "### mine · retrieval" in table.stdout
    assert "| tiny |" in table.stdout and "| other |" in table.stdout
    for ending in ("md", "tex", "csv", "html"):
        out = tmp_path / f"results.{ending}"
        assert call("eval", "table", tmp_path / "runs", "-o", out, "-q").exit_code == 0
        assert "tiny" in out.read_text(encoding="utf-8")
    compared = call("eval", "compare", *kept, "--resamples", 50, "--json")
    assert compared.exit_code == 0, compared.stderr
    assert "text_to_image_r1" in json.loads(compared.stdout)["figures"]


def test_a_comparison_says_by_how_much_and_how_surely(call: Call, tmp_path: Path) -> None:
    good, bad = run(tmp_path, "good", 0.8), run(tmp_path, "bad", 0.5)
    result = call("eval", "compare", good.path, bad.path, "--resamples", 200)
    assert result.exit_code == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("t2i R@1"))
    assert line.split()[2:5] == ["80.0", "50.0", "+30.0"]


def test_tables_of_nothing_or_of_another_ending_are_refused(call: Call, tmp_path: Path) -> None:
    assert "there are no runs" in call("eval", "table", tmp_path).stderr
    run(tmp_path, "a", 0.5)
    wrong = call("eval", "table", tmp_path, "-o", tmp_path / "a.xls")
    assert wrong.exit_code == 2
    assert ".md, .tex, .csv, .html" in wrong.stderr


def test_sets_tells_what_is_known(call: Call) -> None:
    assert "flickr30k-cn" in call("eval", "sets").stdout
    one = call("eval", "sets", "coco-cn").stdout
    assert "1,000 pictures, 1,053 texts" in one
    assert "chinese-clip/vit-b-16" in one and "62.2" in one
    assert json.loads(call("eval", "sets", "muge", "--json").stdout)["published"]
    assert call("eval", "sets", "none").exit_code == 2


def test_the_suite_draws_a_bar_for_each_part(call: Call, tmp_path: Path) -> None:
    words = ["eval", "suite", "scenes", "-m", "demo", "--only", "match", "--language", "zh", "--count", 10, "-q"]
    result = call(*words, "-o", tmp_path)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("match thing zh ")
    assert "█" in lines[0] and "±" in lines[0]
    (one,) = json.loads(call(*words, "-o", tmp_path, "--skip-existing", "--json").stdout)
    assert one["set"] == "scenes-match-zh"
    assert call("eval", "suite", "songs", "-m", "demo").exit_code == 2


def test_the_suite_does_the_other_parts_where_one_cannot_be_done(call: Call, tmp_path: Path) -> None:
    model = CASES / "bridgetower" / "hf_all_heads" / "checkpoint"  # takes 38 tokens, some captions have more
    words = ["eval", "suite", "scenes", "-m", model, "-m", "demo", "--only", "retrieval", "--language", "en"]
    result = call(*words, "--count", 10, "-q", "-o", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.startswith("retrieval en  ")
    assert "checkpoint retrieval en: text 1 of 10" in result.stderr
    assert [path.name.split(".")[2] for path in tmp_path.glob("*.json")] == ["demo"]
