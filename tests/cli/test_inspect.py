"""`tuwen inspect` on what trainers write: weights with settings that JSON has no words for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from tests.cli.conftest import Call


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
