"""`tuwen convert`: what it writes, and what it says about it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Call
from tests.fusing import BRIDGETOWER, PRETRAINED
from tests.models.files_towers import CFG, SIZES, write_brivl, write_ernie
from tuwen.formats import describe

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


def test_a_research_file_becomes_a_folder_of_paddlenlp(call: Call, tmp_path: Path) -> None:
    file = write_ernie(tmp_path)
    (tmp_path / "sizes.json").write_text(json.dumps(SIZES), encoding="utf-8")
    result = call("convert", file, tmp_path / "port", "--to", "paddlenlp", "--config", tmp_path / "sizes.json")
    assert result.exit_code == 0, result.stderr
    assert "model_state.pdparams" in result.stdout
    assert "left out, used by no model / 未写入: visual.classfy.weight" in result.stderr
    assert "pictures are prepared by the other format's rules: features are off by up to" in result.stderr
    assert describe(tmp_path / "port").usable


def test_one_tower_and_the_momentum_copies_are_taken_out_of_a_brivl_file(call: Call, tmp_path: Path) -> None:
    file = write_brivl(tmp_path)
    (tmp_path / "cfg.yml").write_text(json.dumps(CFG), encoding="utf-8")
    config = ("--config", tmp_path / "cfg.yml")
    result = call("convert", file, tmp_path / "images", "--tower", "image", "--momentum", *config)
    assert result.exit_code == 0, result.stderr
    assert describe(tmp_path / "images").tasks == ("embed",)
    encoder = ("--tokenizer", tmp_path / "encoder")
    assert call("convert", tmp_path / "images", tmp_path / "x", "--momentum").exit_code == 4
    assert call("convert", file, tmp_path / "x", "--tower", "sound", *config, *encoder).exit_code == 2
