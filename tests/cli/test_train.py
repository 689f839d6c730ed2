"""`tuwen train`: a tiny run to its end, and the settings it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Call
from tuwen.loading import load

RECIPE = {
    "family": "chinese-clip",
    "config": {
        "image": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "heads": 2},
        "text": {"vocabulary": 0, "width": 32, "layers": 1, "heads": 2, "hidden": 64},
        "embedding": 16,
    },
    "scenes": {"sizes": [32], "workers": 0},
    "steps": 4,
    "batch_size": 4,
    "warmup": 1,
    "log_every": 2,
    "save_every": 2,
    "evaluate_every": 4,
    "evaluate_scenes": 8,
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def quick_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's own evaluation draws 794 portraits: here its result stands for it."""
    monkeypatch.setattr("tuwen.train.loop.on_scenes", lambda model, split, count: {"thing_zh": 0.25})


def test_a_recipe_becomes_a_model_that_loads(call: Call, recipe: Path, tmp_path: Path) -> None:
    result = call("train", recipe, "steps=2", "evaluate_every=2", "-o", tmp_path / "run", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "thing_zh" in result.stdout
    assert "0.2500" in result.stdout
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert rows[-1]["step"] == 2
    assert load(tmp_path / "run" / "model").embedding == 16


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing.yaml"], 4, "no recipe missing.yaml"),
        (["tiny.yaml", "stepz=3"], 2, "did you mean 'steps'"),
        (["tiny.yaml", "steps"], 2, "key=value"),
        (["tiny.yaml", "precision=int8"], 2, "float32 or bfloat16"),
        (["tiny.yaml", "--device", "gpu"], 2, "cpu, cuda"),
        (["broken.yaml"], 4, "broken.yaml"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], code: int, said: str, call: Call, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.yaml").write_text("a: [", encoding="utf-8")
    result = call("train", *words, "-o", "run", "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
