"""A name, folder or file -> a model, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models import tiny
from tuwen import checkpoint, keymap
from tuwen.errors import CheckpointError, InputError, ModelNotFound, UsageError
from tuwen.loading import Source, load, read_config, recognise
from tuwen.model import Model
from tuwen.models import chinese_clip
from tuwen.models.chinese_clip import KEYS
from tuwen.processing.wordpiece import WordPiece


def original_settings() -> tuple[dict[str, object], dict[str, object]]:
    """The pair of JSON files of the tiny ViT model."""
    image, text = tiny.VIT.image, tiny.VIT.text
    vision: dict[str, object] = {
        "embed_dim": tiny.VIT.embedding,
        "image_resolution": image.image_size,
        "vision_layers": 2,
        "vision_width": image.width,
        "vision_patch_size": 8,
        "vision_head_width": 16,
    }
    words: dict[str, object] = {
        "vocab_size": text.vocabulary,
        "text_attention_probs_dropout_prob": 0.1,
        "text_hidden_act": "gelu",
        "text_hidden_dropout_prob": 0.1,
        "text_hidden_size": text.width,
        "text_initializer_range": 0.02,
        "text_intermediate_size": text.hidden,
        "text_max_position_embeddings": text.positions,
        "text_num_attention_heads": text.heads,
        "text_num_hidden_layers": text.layers,
        "text_type_vocab_size": 2,
    }
    return vision, words


def write_original(folder: Path, prefix: str = "", extra: dict[str, Tensor] | None = None) -> Path:
    """The tiny model as an original `.pt` with its vocabulary and its pair of JSON files."""
    tensors = keymap.store(tiny.module().state_dict(), KEYS["original"]) | (extra or {})
    path = folder / "clip_cn_tiny.pt"
    checkpoint.write_original(path, {prefix + name: tensor for name, tensor in tensors.items()}, {"epoch": 1})
    (folder / "vocab.txt").write_text("\n".join(tiny.VOCABULARY) + "\n", encoding="utf-8")
    configs = folder / "configs"
    configs.mkdir()
    for name, settings in zip(("ViT-tiny.json", "RoBERTa-tiny.json"), original_settings(), strict=True):
        (configs / name).write_text(json.dumps(settings), encoding="utf-8")
    return path


def same_weights(model: Model, other: torch.nn.Module) -> bool:
    return checkpoint.digest(model.module.state_dict()) == checkpoint.digest(other.state_dict())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_an_original_file_is_loaded_with_what_lies_beside_it(tmp_path: Path, prefix: str) -> None:
    path = write_original(tmp_path, prefix, {"bert.pooler.dense.weight": torch.zeros(2)})
    model = load(path, config=tmp_path / "configs", device="cpu")
    assert same_weights(model, tiny.module())
    assert model.module.config == tiny.VIT
    assert (model.family, model.variant, model.languages) == ("chinese-clip", None, ("zh",))
    assert not model.module.training


def test_a_transformers_folder_is_loaded_by_its_own_rules(tmp_path: Path) -> None:
    tensors = keymap.store(tiny.module().state_dict(), KEYS["transformers"])
    checkpoint.write_safetensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "vocab.txt").write_text("\n".join(tiny.VOCABULARY) + "\n", encoding="utf-8")
    settings = chinese_clip.transformers_settings(tiny.VIT)
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "preprocessor_config.json").write_text('{"size": 40, "crop_size": 32}', encoding="utf-8")
    model = load(tmp_path, device="cpu")
    assert same_weights(model, tiny.module())
    assert isinstance(model.processor.tokenizer, WordPiece)
    assert model.processor.tokenizer.style == "transformers"
    assert (model.processor.image.size, model.processor.image.crop) == (40, (32, 32))


def test_half_rounding_is_asked_for_by_name(tmp_path: Path) -> None:
    path = write_original(tmp_path)
    model = load(path, config=tmp_path / "configs", device="cpu", rounding="half")
    words = model.module.state_dict()["text.embeddings.words.weight"]
    exact = tiny.module().state_dict()["text.embeddings.words.weight"]
    assert torch.equal(words, exact.half().float())
    with pytest.raises(UsageError, match="rounding is 'fp16': it must be one of exact, half"):
        load(path, rounding="fp16")


def test_changing_a_loaded_model_leaves_its_file_alone(tmp_path: Path) -> None:
    path = write_original(tmp_path)
    before = path.read_bytes()
    model = load(path, config=tmp_path / "configs", device="cpu")
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.add_(1)
    del model
    assert path.read_bytes() == before


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_weights_come_in_the_type_asked_for(tmp_path: Path, dtype: str) -> None:
    model = load(write_original(tmp_path), config=tmp_path / "configs", device="cpu", dtype=dtype)
    assert {str(parameter.dtype) for parameter in model.module.parameters()} == {f"torch.{dtype}"}


# -- what is wrong is named ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chinese-clip/vit-b16", "did you mean chinese-clip/vit-b-16"),
        ("chinese-clip/RN50", "did you mean chinese-clip/rn50"),
        ("qqqq", "known names are demo, chinese-clip/rn50"),
        ("missing.pt", "no model, file or folder is called 'missing.pt'"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ModelNotFound, match=said):
        load(name)


def test_a_wrong_dtype_lists_the_right_ones() -> None:
    with pytest.raises(UsageError, match="dtype is 'int8': it must be one of float32, bfloat16, float16"):
        load("demo", dtype="int8")


def test_a_file_of_no_family_shows_some_of_its_names(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    checkpoint.write_safetensors(path, {"layers.0.weight": torch.zeros(2), "layers.1.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"other\.safetensors holds 2 tensors \(layers\.0\.weight"):
        load(path)


def test_a_file_without_a_tokenizer_says_what_to_pass(tmp_path: Path) -> None:
    path = write_original(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(InputError, match=r"clip_cn_tiny\.pt comes without a tokenizer: pass tokenizer="):
        load(path, config=tmp_path / "configs")


def test_a_vocabulary_that_is_too_large_belongs_to_another_model(tmp_path: Path) -> None:
    path = write_original(tmp_path)
    words = [*tiny.VOCABULARY, "字", "词"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    entries, rows = len(words), len(tiny.VOCABULARY)
    with pytest.raises(InputError, match=f"has {entries} entries but the model's word table only {rows} rows"):
        load(path, config=tmp_path / "configs")


def test_a_config_that_does_not_fit_names_the_tensors(tmp_path: Path) -> None:
    path = write_original(tmp_path)
    settings = read_config(tmp_path / "configs") | {"vision_layers": 3, "text_intermediate_size": 64}
    with pytest.raises(CheckpointError) as caught:
        load(path, config=settings)
    said = str(caught.value)
    assert "clip_cn_tiny.pt does not fit the sizes of its config" in said
    assert "12 missing: image.blocks.2." in said
    assert "text.blocks.0.mlp.expand.weight (48, 32) instead of (64, 32)" in said


def test_a_tensor_without_a_place_is_named(tmp_path: Path) -> None:
    path = write_original(tmp_path, extra={"visual.adapter.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"1 of \d+ tensors have no place: visual\.adapter\.weight"):
        load(path, config=tmp_path / "configs")


def test_a_folder_without_weights_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is an empty folder: expected model\.safetensors"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "cannot be read as JSON"), ("[1]", "holds a JSON list"), ('{"a": 1}', "no Chinese-CLIP config")],
)
def test_a_config_that_is_none_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = write_original(tmp_path)
    config = tmp_path / "config.txt"
    config.write_text(content, encoding="utf-8")
    with pytest.raises((InputError, UsageError), match=said):
        load(path, config=config)


def test_a_folder_that_tuwen_saved_in_part_says_what_it_lacks(tmp_path: Path) -> None:
    tiny.model().save(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(settings | {"family": "clip-9000"}), encoding="utf-8")
    with pytest.raises(InputError, match="clip-9000"):
        load(tmp_path)


# -- configs ---------------------------------------------------------------------------------------------------------


def test_the_text_towers_keys_win_over_the_image_towers(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text_hidden_size": 1, "shared": "text"}', encoding="utf-8")
    (tmp_path / "b.json").write_text('{"embed_dim": 2, "shared": "image"}', encoding="utf-8")
    assert read_config(tmp_path) == {"text_hidden_size": 1, "embed_dim": 2, "shared": "text"}
    with pytest.raises(InputError, match="holds no JSON file"):
        empty = tmp_path / "empty"
        empty.mkdir()
        read_config(empty)


def test_recognising_tells_family_and_format() -> None:
    source = Source(Path("x.pt"), Path())
    for form in KEYS:
        config = tiny.RESNET if "resnet" in form else tiny.VIT
        tensors = keymap.store(tiny.module(config).state_dict(), KEYS[form])
        assert recognise(tensors, source) == ("chinese-clip", form)
