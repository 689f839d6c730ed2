"""What a file is, and published formats there and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import tuwen
from tuwen import checkpoint
from tuwen.errors import CheckpointError, UsageError
from tuwen.formats import convert, describe
from tuwen.models.chinese_clip import ChineseCLIP

CASES = Path(__file__).parent / "golden" / "cases" / "chinese_clip"
DROPPED = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.strip_prefix(checkpoint.read(path).tensors)


def assert_same_bits(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype, name
        assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("case", ["vit_b16_module_optimizer", "vit_l14_fp16_plain", "rn50_module"])
def test_an_original_file_comes_back_bit_for_bit_and_in_order(case: str, tmp_path: Path) -> None:
    folder = CASES / case
    convert(
        folder / "checkpoint.pt", tmp_path / "ours", tokenizer=folder / "vocab.txt", config=folder / "model_configs"
    )
    convert(tmp_path / "ours", tmp_path / "back" / "clip.pt", to="original")
    before = {name: tensor for name, tensor in tensors(folder / "checkpoint.pt").items() if name not in DROPPED}
    after = tensors(tmp_path / "back" / "clip.pt")
    assert_same_bits(after, before)
    assert list(after) == list(before)
    again = tuwen.load(tmp_path / "back" / "clip.pt")  # vocab.txt and model_configs lie beside it
    original = tuwen.load(folder / "checkpoint.pt", folder / "vocab.txt", folder / "model_configs")
    assert again.fingerprint == original.fingerprint


@pytest.mark.parametrize("case", ["hf_bin", "hf_safetensors_twin"])
def test_a_transformers_folder_comes_back_bit_for_bit(case: str, tmp_path: Path) -> None:
    folder = CASES / case / "checkpoint"
    done = convert(folder, tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "back", to="transformers")
    before = {name: tensor for name, tensor in tensors(folder).items() if name not in done.dropped}
    assert_same_bits(tensors(tmp_path / "back"), before)
    again, original = tuwen.load(tmp_path / "back"), tuwen.load(folder)
    torch.testing.assert_close(again.encode_text(["杰尼龟"]), original.encode_text(["杰尼龟"]))
    assert again.processor.image == original.processor.image


def test_an_original_file_written_for_transformers_is_read_by_transformers(tmp_path: Path) -> None:
    from transformers import ChineseCLIPModel

    folder = CASES / "vit_b16_module_optimizer"
    words, sizes = folder / "vocab.txt", folder / "model_configs"
    convert(folder / "checkpoint.pt", tmp_path / "theirs", "transformers", words, sizes)
    theirs = ChineseCLIPModel.from_pretrained(tmp_path / "theirs").eval()
    ours = tuwen.load(folder / "checkpoint.pt", words, sizes).module
    assert isinstance(ours, ChineseCLIP)
    pixels = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        expected = theirs.visual_projection(theirs.vision_model(pixels).pooler_output)
        torch.testing.assert_close(ours.image_projection(ours.image(pixels)), expected, atol=2e-5, rtol=1e-4)


def test_the_resnet_has_no_place_in_transformers(tmp_path: Path) -> None:
    folder = CASES / "rn50_module"
    with pytest.raises(CheckpointError, match=r"exists as \.pt only"):
        convert(
            folder / "checkpoint.pt", tmp_path / "x", "transformers", folder / "vocab.txt", folder / "model_configs"
        )
    assert not (tmp_path / "x").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        convert(CASES / "hf_bin" / "checkpoint", tmp_path)


def test_an_original_must_end_in_pt(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.pt"):
        convert(CASES / "hf_bin" / "checkpoint", tmp_path / "folder", to="original")


def test_a_description_names_family_format_sizes_and_what_is_dropped() -> None:
    folder = CASES / "vit_b16_module_optimizer"
    seen = describe(folder / "checkpoint.pt", config=folder / "model_configs")
    assert (seen.family, seen.format, seen.variant) == ("chinese-clip", "original", "")
    assert seen.usable and seen.sizes["embedding"] == 24
    assert set(seen.dropped) == DROPPED
    assert seen.parameters == sum(tensor.numel() for tensor in tensors(folder / "checkpoint.pt").values()) - 48 * 49


def test_a_description_says_why_a_file_is_no_model(tmp_path: Path) -> None:
    page = tmp_path / "clip.pt"
    page.write_text("<!doctype html><html><body>404</body></html>", encoding="utf-8")
    assert "is a web page, not weights" in describe(page).reason
    torch.save({"state_dict": {"layer.weight": torch.zeros(2)}}, tmp_path / "other.pt")
    assert "of no family that tuwen knows" in describe(tmp_path / "other.pt").reason
    assert "does not exist" in describe(tmp_path / "nothing").reason


def test_sizes_that_the_tensors_do_not_tell_are_asked_for(tmp_path: Path) -> None:
    folder = CASES / "vit_b16_module_optimizer"
    shutil.copy(folder / "checkpoint.pt", tmp_path)  # without the model_configs beside it
    with pytest.raises(CheckpointError, match="pass config="):
        tuwen.load(tmp_path / "checkpoint.pt", folder / "vocab.txt")
