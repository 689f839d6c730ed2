"""`tuwen verify`: recorded cases stage by stage, and what is said about models and folders that do not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Call
from tuwen.loading import load

CASE = Path(__file__).parents[1] / "golden" / "cases" / "chinese_clip" / "hf_bin"
ALONE = CASE.parent / "rn50_module"
FUSING = Path(__file__).parents[1] / "golden" / "cases" / "bridgetower" / "hf_all_heads"


def test_a_recorded_case_is_recomputed_stage_by_stage(call: Call) -> None:
    result = call("verify", CASE / "checkpoint", "--case", CASE, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    stages = {stage["name"]: stage for stage in report["stages"]}
    assert {"input_ids", "pixel_values", "vision.block.0", "text.layer.2", "image_features", "probs"} <= stages.keys()
    assert report["ok"]
    assert all(stage["deviation"] <= stage["allowed"] for stage in stages.values())
    recorded = load_file(CASE / "expected.safetensors")
    assert {*stages, *report["unchecked"]} == recorded.keys()
    assert report["unchecked"] == ["loss"]


def test_heads_of_a_fusing_model_are_recomputed(call: Call) -> None:
    result = call("verify", FUSING / "checkpoint", "--case", FUSING)
    assert result.exit_code == 0, result.stderr
    for stage in ("batch.input_ids", "hidden.cross.1.text", "itm.matrix", "itc.logits", "mlm.logits"):
        assert f"\n{stage} " in result.stdout
    assert "recorded, but not compared" in result.stderr
    assert "grad.itc" in result.stderr


def test_a_weight_file_alone_takes_tokenizer_and_sizes_of_the_case(call: Call) -> None:
    result = call("verify", ALONE / "checkpoint.pt", "--case", ALONE)
    assert result.exit_code == 0, result.stderr
    assert "\nvision.attnpool " in result.stdout


def test_the_same_model_in_tuwens_own_format_gives_the_same(call: Call, tmp_path: Path) -> None:
    load(CASE / "checkpoint", device="cpu").save(tmp_path / "own")
    assert call("verify", tmp_path / "own", "--case", CASE).exit_code == 0


def test_a_weight_that_changed_is_found(call: Call, tmp_path: Path) -> None:
    load(CASE / "checkpoint", device="cpu").save(tmp_path / "own")
    weights = load_file(tmp_path / "own" / "model.safetensors")
    weights["text.blocks.1.mlp.reduce.bias"][0] += 0.1
    save_file(weights, tmp_path / "own" / "model.safetensors")
    result = call("verify", tmp_path / "own", "--case", CASE)
    assert result.exit_code == 1
    lines = {line.split()[0]: line for line in result.stdout.splitlines()[2:]}
    assert lines["text.layer.0"].endswith(" ok")
    assert lines["text.layer.1"].endswith("NOT OK")
    assert "stages deviate" in result.stderr


def test_of_a_model_that_nobody_published_nothing_is_known(call: Call, model: Path) -> None:
    result = call("verify", model)
    assert result.exit_code == 4
    assert "give a recorded case with --case" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{model}", "--case", "empty"], 4, "empty is no recorded case: it has no case.json"),
        (["{model}", "--case", "broken"], 4, "is not what describes a case"),
        (["{model}", "--case", str(FUSING)], 4, "is a case of bridgetower, the model is of chinese-clip"),
        (["{model}", "--case", str(FUSING), "--picture", "a.png"], 2, "leave out --picture, or --case"),
        (["{model}", "--picture", "a.png"], 2, "--picture is of no use for chinese-clip"),
        (["no/such", "--case", str(CASE)], 3, "no/such"),
        (["{model}", "--case", "other"], 4, "records nothing that is recomputed here (it is about weather)"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    words: list[str], code: int, said: str, call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (("empty", None), ("broken", "[]"), ("other", '{"kind": "weather"}')):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "case.json").write_text(content, encoding="utf-8")
            shutil.copy(CASE / "expected.safetensors", tmp_path / name)
    if "other" in words:
        save_file(
            {"weather": load_file(CASE / "expected.safetensors")["loss"]}, tmp_path / "other/expected.safetensors"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = call("verify", *(word.format(model=model) for word in words), "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
