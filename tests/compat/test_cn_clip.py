"""The snippet of the original's README, with its import lines changed and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import tuwen.compat.cn_clip as clip
from tuwen.compat.cn_clip import available_models, load_from_name
from tuwen.errors import TuwenError

CASE = Path(__file__).parents[1] / "golden" / "cases" / "chinese_clip" / "vit_b16_module_optimizer"


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """What a download folder holds, with a tiny model under the published file's name."""
    shutil.copy(CASE / "checkpoint.pt", tmp_path / "clip_cn_vit-b-16.pt")
    shutil.copy(CASE / "vocab.txt", tmp_path)
    shutil.copytree(CASE / "model_configs", tmp_path / "model_configs")
    return tmp_path


def test_the_published_snippet_gives_the_recorded_numbers(downloads: Path) -> None:
    case = json.loads((CASE / "case.json").read_text(encoding="utf-8"))
    expected = load_file(CASE / "expected.safetensors")

    device = "cpu"
    model, preprocess = load_from_name("ViT-B-16", device=device, download_root=str(downloads))
    model.eval()
    image = preprocess(Image.open(CASE / "images" / case["images"][0])).unsqueeze(0).to(device)
    text = clip.tokenize(case["texts"]).to(device)

    with torch.no_grad():
        image_features = model.encode_image(image)
        text_features = model.encode_text(text)
        # Normalised for further use, as the snippet does.
        image_features /= image_features.norm(dim=-1, keepdim=True)
        text_features /= text_features.norm(dim=-1, keepdim=True)

        logits_per_image, logits_per_text = model.get_similarity(image, text)
        probs = logits_per_image.softmax(dim=-1).cpu().numpy()

    assert torch.equal(text, expected["input_ids"])
    torch.testing.assert_close(logits_per_image, expected["load_from_name.logits_per_image"][:1], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(logits_per_text, logits_per_image.T)
    assert probs.shape == (1, len(case["texts"]))
    assert probs.sum() == pytest.approx(1)


def test_forward_gives_unit_features_and_the_scale_or_the_features_of_one_side(downloads: Path) -> None:
    model, _ = load_from_name("ViT-B-16", device="cpu", download_root=str(downloads))
    image, text = torch.randn(2, 3, 48, 48), clip.tokenize(["杰尼龟", "妙蛙种子"])
    with torch.no_grad():
        images, texts, scale = model(image, text)
        assert torch.equal(model(image, None), model.encode_image(image))
        assert torch.equal(model(None, text), model.encode_text(text))
    torch.testing.assert_close(images.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(2))
    assert scale == model.logit_scale.exp()
    assert not model.training


def test_dropped_patches_change_the_features(downloads: Path) -> None:
    model, _ = load_from_name("ViT-B-16", device="cpu", download_root=str(downloads))
    image = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        assert not torch.allclose(model.encode_image(image, mask_ratio=0.5), model.encode_image(image))


def test_names_come_in_the_originals_order() -> None:
    assert available_models() == ["ViT-B-16", "ViT-L-14", "ViT-L-14-336", "ViT-H-14", "RN50"]


def test_an_unknown_name_lists_the_models() -> None:
    with pytest.raises(RuntimeError, match="ViT-B-17 not found; available models"):
        load_from_name("ViT-B-17", device="cpu")


def test_a_file_needs_the_names_of_its_towers(downloads: Path) -> None:
    with pytest.raises(AssertionError, match="vision_model_name"):
        load_from_name(str(downloads / "clip_cn_vit-b-16.pt"), device="cpu")


def test_a_file_of_other_sizes_than_the_named_towers_is_refused(downloads: Path) -> None:
    with pytest.raises(TuwenError, match="does not fit the sizes"):
        load_from_name(
            str(downloads / "clip_cn_vit-b-16.pt"),
            device="cpu",
            vision_model_name="ViT-B-16",
            text_model_name="RoBERTa-wwm-ext-base-chinese",
            input_resolution=224,
        )


def test_tokenize_pads_with_zeros_and_cuts_before_the_end_token(downloads: Path) -> None:
    load_from_name("ViT-B-16", device="cpu", download_root=str(downloads))
    long, short = clip.tokenize(["杰尼龟" * 30, "杰尼龟"], context_length=8)
    assert long[-1] == short[4] != 0
    assert short[5:].tolist() == [0, 0, 0]
    assert clip.tokenize("杰尼龟").shape == (1, 52)
