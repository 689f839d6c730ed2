"""`tuwen convert` on models that fuse: what it writes, and what it says about it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Call
from tests.fusing import BRIDGETOWER, PRETRAINED

ROBERTA = PRETRAINED.parent / "roberta"


def test_what_the_other_format_does_otherwise_is_said(call: Call, tmp_path: Path) -> None:
    result = call("convert", PRETRAINED, tmp_path / "theirs", "--to", "transformers", "--tokenizer", ROBERTA)
    assert result.exit_code == 0, result.stderr
    assert "config.json" in result.stdout
    assert "not the same" in result.stderr
    assert "its scores are off by up to" in result.stderr
    assert "left out, used by no model" in result.stderr


def test_the_same_is_in_the_json(call: Call, tmp_path: Path) -> None:
    result = call("convert", PRETRAINED, tmp_path / "ours", "--tokenizer", ROBERTA, "--json")
    found = json.loads(result.stdout)
    assert found["notes"] == []
    assert found["dropped"][0] == "vit_model.positional_embedding"
    assert {Path(entry["file"]).name for entry in found["files"]} >= {"model.safetensors", "tokenizer.json"}


def test_what_cannot_be_converted_is_one_sentence(call: Call, tmp_path: Path) -> None:
    result = call("convert", BRIDGETOWER, tmp_path / "model.ckpt", "--to", "original")
    assert result.exit_code == 4
    assert "itc_text_head" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 2
    assert not list(tmp_path.iterdir())
