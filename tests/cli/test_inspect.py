"""`tuwen inspect` on what trainers write: weights with settings that JSON has no words for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.cli.conftest import Call
from tests.models.files_towers import CFG, SIZES, write_brivl, write_ernie


def written(path: Path, settings: dict[str, Any]) -> Path:
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def write(path: Path) -> Path:
    settings = {"config": {"image_size": 288, ("a", 1): 2, "grid": np.arange(2)}, "rate": 0.5}
    start = {"epoch": 3, "global_step": 1200, "pytorch-lightning_version": "1.5.10", "hyper_parameters": settings}
    torch.save({**start, "state_dict": {"model.a": torch.ones(2, 3)}}, path)
    return path


def test_a_lightning_file_of_no_known_model_is_described_all_the_same(call: Call, tmp_path: Path) -> None:
    result = call("inspect", write(tmp_path / "last.ckpt"))
    assert result.exit_code == 4
    for said in (
        "a PyTorch Lightning checkpoint",
        "torch-zip",
        "PyTorch Lightning 1.5.10; epoch 3",
        "1200",
        "4 of the",
    ):
        assert said in result.stdout


def test_heads_answers_and_tasks_of_a_fusion_are_told(call: Call) -> None:
    cases = Path(__file__).parents[1] / "golden" / "cases"
    shown = call("inspect", cases / "vle" / "vqa_base" / "checkpoint").stdout
    for said in ("vle", "answer (48 x 13)", "13", "sizes: fusion"):
        assert said in shown
    checkpoint = cases / "bridgetower" / "orig_nlvr2" / "checkpoint"
    (weights,) = checkpoint.glob("*.ckpt")
    shown = call("inspect", weights, "--config", checkpoint / "roberta" / "config.json").stdout
    for said in ("bridgetower", "original", "pair (96 x 2)", "left out", "vit_model.positional_embedding"):
        assert said in shown


def test_the_settings_of_a_run_are_in_the_json(call: Call, tmp_path: Path) -> None:
    found = json.loads(call("inspect", write(tmp_path / "last.ckpt"), "--json").stdout)
    assert (found["kind"], found["usable"]) == ("lightning", False)
    assert found["extra"]["hyper_parameters"] == {"config": {"image_size": 288, "grid": "[0 1]"}, "rate": 0.5}


def test_a_brivl_file_tells_its_momentum_copies_and_takes_the_encoders_folder(call: Call, tmp_path: Path) -> None:
    file = write_brivl(tmp_path)
    given = ("--config", written(tmp_path / "cfg.yml", CFG), "--tokenizer", tmp_path / "encoder")
    shown = call("inspect", file, *given)
    assert shown.exit_code == 0, shown.stderr
    for said in ("brivl", "copies of the encoders", "embed, search, classify", "image text", "imgencoder_mom."):
        assert said in shown.stdout
    alone = call("inspect", file)
    assert alone.exit_code == 4
    assert "pass tokenizer= with its folder" in alone.stderr
    text = call("inspect", write_brivl(tmp_path / "text", "textencoder."), *given).stdout
    assert "sizes: text" in text and "sizes: image" not in text
    assert "momentum" not in text


def test_paddles_files_are_described(call: Call, tmp_path: Path) -> None:
    file = write_ernie(tmp_path)
    shown = call("inspect", file, "--config", written(tmp_path / "sizes.json", SIZES)).stdout
    for said in ("ernie-vil2", "pdparams", "research", "visual.classfy.weight", "embed, search, classify"):
        assert said in shown


def test_weights_that_do_not_fit_their_config_are_no_model(call: Call, tmp_path: Path) -> None:
    write_ernie(tmp_path)
    folder = tmp_path / "port"
    assert call("convert", tmp_path / "own", folder, "--to", "paddlenlp").exit_code == 0
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    settings["text_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    found = call("inspect", folder)
    assert found.exit_code == 4
    assert "does not fit the sizes of its config" in found.stderr
