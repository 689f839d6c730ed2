"""`tuwen models`, `inspect`, `convert` and `doctor` on a tiny model and on what is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Call
from tuwen.cli.console import width
from tuwen.loading import load
from tuwen.models import PUBLISHED


def test_every_published_model_is_listed(call: Call) -> None:
    rows = json.loads(call("models", "--json").stdout)
    assert {row["name"] for row in rows} >= set(PUBLISHED)
    result = call("models")
    assert "chinese-clip/vit-b-16" in result.stdout
    assert "188.3 M" in result.stdout


def test_a_model_is_recognised(call: Call, model: Path) -> None:
    result = call("inspect", model, "--fingerprint", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    loaded = load(model)
    assert found["family"] == "chinese-clip"
    assert found["parameters"] == sum(parameter.numel() for parameter in loaded.module.parameters())
    assert found["fingerprint"] == loaded.fingerprint


def test_a_model_without_features_has_no_width(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")  # wide enough for every column
    rows = {row["name"]: row for row in json.loads(call("models", "--json").stdout)}
    assert rows["vle/base"]["width"] is None
    assert rows["vle/base"]["tasks"] == ["match", "ground", "fill"]
    assert rows["bridgetower/base"]["tasks"] == []
    lines = {line.split()[0]: line.split() for line in call("models").stdout.splitlines()}
    assert lines["vle/base"][-4:] == ["224", "-", "no", "hfl/vle-base"]
    assert lines["bridgetower/base"][4] == "-"


@pytest.mark.parametrize("columns", [80, 100, 120, 150])
def test_the_table_of_models_fits_the_terminal(columns: int, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = call("models").stdout.splitlines()
    assert max(map(width, lines)) <= columns
    words = " ".join(lines).split()
    assert words.count("classify") == sum("classify" in model.tasks for model in PUBLISHED.values()) + 1
    assert ("hfl/vle-base" in words) == (columns == 150)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.pt", b"<!DOCTYPE html><html>", "web page"),
        ("model.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
        ("model.pt", b"", "empty"),
        ("missing.pt", None, "does not exist"),
    ],
)
def test_what_is_no_model_is_explained(name: str, content: bytes | None, said: str, call: Call, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = call("inspect", tmp_path / name, "-q")
    assert result.exit_code == 4
    assert said.lower() in result.stderr.lower()
    assert result.stderr.count("\n") == 1


def test_a_converted_model_is_the_same(call: Call, model: Path, tmp_path: Path) -> None:
    result = call("convert", model, tmp_path / "hf", "--to", "transformers")
    assert result.exit_code == 0, result.stderr
    assert call("convert", tmp_path / "hf", tmp_path / "back").exit_code == 0
    first, last = (load(folder).module.state_dict() for folder in (model, tmp_path / "back"))
    assert all(torch.equal(first[name], last[name]) for name in first)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing.pt", "new"], 3, "missing.pt"),
        (["{model}", "taken"], 2, "exists already"),
        (["{model}", "new", "--to", "original"], 2, ".pt"),
    ],
)
def test_what_cannot_be_converted_is_said_and_nothing_written(
    words: list[str], code: int, said: str, call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").mkdir()
    monkeypatch.chdir(tmp_path)
    result = call("convert", *(word.format(model=model) for word in words), "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_doctor_says_how_to_get_what_is_missing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from tuwen.cli import doctor

    monkeypatch.setitem(doctor.EXTRAS, "serve", ("no_such_package",))
    checks = {row["subject"]: row for row in json.loads(call("doctor", "--json").stdout)}
    assert checks["extra serve"] == {
        "subject": "extra serve",
        "found": "pip install 'tuwen[serve]' (no_such_package)",
        "state": "-",
    }
    assert checks["Chinese font"]["state"] == "ok"
    assert "packed products float32" in checks
    assert "thread" in checks["processor"]["found"]


def test_the_doctor_knows_every_extra_of_the_project() -> None:
    import tomllib

    from tuwen.cli.doctor import EXTRAS

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS) - {"core"} == set(project["optional-dependencies"]) - {"all", "dev"}
