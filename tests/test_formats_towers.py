"""ERNIE-ViL 2.0 and BriVL in each other's published formats: there and back, and what a format does otherwise."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

import tuwen
from tests.models import tiny_brivl
from tests.models.files_towers import CFG, SIZES, brivl_tensors, write_brivl, write_ernie
from tests.models.tiny_towers import WORDS
from tuwen import checkpoint, keymap
from tuwen.errors import CheckpointError, UsageError
from tuwen.formats import convert, describe
from tuwen.models import brivl
from tuwen.processing.image import ImagePipeline

TEXTS = ["一只红色的猫", "a red cat"]


@pytest.fixture(scope="module")
def research(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ernie(tmp_path_factory.mktemp("research"))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, research: Path) -> Path:
    folder = tmp_path_factory.mktemp("port") / "folder"
    convert(research, folder, "paddlenlp", config=SIZES)
    return folder


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brivl(tmp_path_factory.mktemp("brivl"))


def used(path: Path) -> dict[str, Tensor]:
    """The tensors of a file but the head that nothing uses."""
    found = checkpoint.read(path).tensors
    return {name: tensor for name, tensor in found.items() if not name.startswith("visual.classfy.")}


def same_bits(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in theirs)


# -- ERNIE-ViL 2.0 ----------------------------------------------------------------------------------------------------


def test_a_research_file_comes_back_bit_for_bit(research: Path, tmp_path: Path) -> None:
    done = convert(research, tmp_path / "own", config=SIZES)
    assert done.dropped == ("visual.classfy.weight", "visual.classfy.bias")
    done = convert(tmp_path / "own", tmp_path / "back" / "model.pdparams", "original")
    assert [path.name for path in done.files] == ["model.pdparams", "vocab.txt", "ernie_config.json"]
    same_bits(used(tmp_path / "back" / "model.pdparams"), used(research))
    again = tuwen.load(tmp_path / "back" / "model.pdparams", config=tmp_path / "back" / "ernie_config.json")
    assert again.fingerprint == tuwen.load(research, config=SIZES).fingerprint
    assert (tmp_path / "back" / "vocab.txt").read_bytes() == research.with_name("vocab.txt").read_bytes()


def test_the_file_is_what_paddle_saves(research: Path, tmp_path: Path) -> None:
    convert(research, tmp_path / "model.pdparams", "original", config=SIZES)
    content = pickle.loads((tmp_path / "model.pdparams").read_bytes())
    names = content.pop("StructuredToParameterName@@")
    assert names.keys() == content.keys() == used(research).keys()
    assert content["visual.blocks.0.attn.qkv.weight"].shape == (32, 96)  # (in, out)
    assert content["contrastive_loss_mm.temperature_b"].shape == (1,)
    assert all(isinstance(array, np.ndarray) for array in content.values())


def test_the_text_towers_settings_are_in_the_releases_words(research: Path, tmp_path: Path) -> None:
    convert(research, tmp_path / "model.pdparams", "original", config=SIZES)
    told = json.loads((tmp_path / "ernie_config.json").read_text("utf-8"))
    assert (told["hidden_size"], told["num_attention_heads"], told["intermediate_size"]) == (32, 2, 64)
    assert (told["vocab_size"], told["max_position_embeddings"]) == (len(WORDS), 48)
    assert told["vision"]["num_heads"] == 2  # which neither a tensor nor a file of the release tells


def test_both_layouts_hold_the_same_weights_and_come_back(research: Path, port: Path, tmp_path: Path) -> None:
    names = {path.name for path in port.iterdir()}
    assert names == {
        "config.json",
        "model_state.pdparams",
        "preprocessor_config.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    assert (port / "vocab.txt").read_text("utf-8") == "".join(word + "\n" for word in WORDS)
    convert(port, tmp_path / "model.pdparams", "original")
    same_bits(used(tmp_path / "model.pdparams"), used(research))
    assert (tmp_path / "vocab.txt").read_bytes() == research.with_name("vocab.txt").read_bytes()
    first, second = tuwen.load(research, config=SIZES), tuwen.load(port)
    assert torch.equal(first.encode_text(TEXTS), second.encode_text(TEXTS))


def test_a_port_folder_comes_back_from_our_own(port: Path, tmp_path: Path) -> None:
    convert(port, tmp_path / "own")
    done = convert(tmp_path / "own", tmp_path / "back", "paddlenlp")
    assert not done.notes
    same_bits(used(tmp_path / "back"), used(port))
    assert tuwen.load(tmp_path / "back").fingerprint == tuwen.load(port).fingerprint
    assert (tmp_path / "back" / "config.json").read_bytes() == (port / "config.json").read_bytes()


def test_other_rules_for_pictures_and_texts_are_told_and_measured(research: Path, port: Path, tmp_path: Path) -> None:
    to_port = convert(research, tmp_path / "port", "paddlenlp", config=SIZES).notes
    to_research = convert(port, tmp_path / "model.pdparams", "original").notes
    for notes, rules in ((to_port, "PaddleNLP's"), (to_research, "the research release's")):
        (pictures,) = (note for note in notes if note.startswith("pictures"))
        off = float(pictures.partition("off by up to ")[2].partition(",")[0])
        assert 0 < off < 0.1
        assert any(f"texts become tokens by {rules} rules" in note for note in notes)
    assert any("ViT-B/16 and ViT-L/14 written into it" in note for note in to_research)


def test_another_epsilon_is_written_and_its_effect_measured(port: Path, tmp_path: Path) -> None:
    tuwen.load(port, text_eps=1e-12).save(tmp_path / "own")
    notes = convert(tmp_path / "own", tmp_path / "model.pdparams", "original").notes
    assert notes[0].startswith("text.eps 1e-05 instead of 1e-12: its scores are off by up to ")
    convert(tmp_path / "own", tmp_path / "port", "paddlenlp")
    told = json.loads((tmp_path / "port" / "config.json").read_text("utf-8"))
    assert told["text_config"]["layer_norm_eps"] == 1e-12


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text": {"segments": 2}}, "adds no segments or tasks to its words"),
        ({"text": {"tasks": 3, "task": 1}}, "adds no segments or tasks to its words"),
        ({"text": {"activation": "quick_gelu"}}, "quick_gelu for pictures and gelu or relu for texts"),
        ({"image": {"activation": "gelu"}}, "this model gelu and gelu: write it for paddlenlp or tuwen"),
    ],
)
def test_what_the_release_has_no_place_for_is_refused(
    changed: dict[str, dict[str, object]], said: str, port: Path, tmp_path: Path
) -> None:
    from tuwen.loading import new

    model = tuwen.load(port)
    sizes = model.towers.config
    for tower, values in changed.items():
        sizes = replace(sizes, **{tower: replace(getattr(sizes, tower), **values)})
    new("ernie-vil2", sizes, model.processor, ("zh",), "cpu").save(tmp_path / "own")
    with pytest.raises(CheckpointError, match=said):
        convert(tmp_path / "own", tmp_path / "new" / "model.pdparams", "original")
    assert not (tmp_path / "new").exists()
    convert(tmp_path / "own", tmp_path / "port", "paddlenlp")  # which has
    assert torch.equal(
        tuwen.load(tmp_path / "port").encode_text(TEXTS), tuwen.load(tmp_path / "own").encode_text(TEXTS)
    )


def test_a_format_that_a_family_has_not_is_refused_with_those_it_has(
    research: Path, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no format 'transformers': its models are written as tuwen or paddlenlp"):
        convert(research, tmp_path / "x", "transformers", config=SIZES)
    with pytest.raises(CheckpointError, match=r"brivl has no format 'paddlenlp': .* tuwen or original"):
        convert(file, tmp_path / "x", "paddlenlp", file.parent / "encoder", CFG)
    with pytest.raises(UsageError, match=r"must end in \.pdparams"):
        convert(research, tmp_path / "x.pt", "original", config=SIZES)


def test_a_weight_file_inside_a_folder_takes_its_config(port: Path) -> None:
    found = describe(port / "model_state.pdparams")
    assert found.usable and found.sizes["image"]["width"] == 32


# -- BriVL ------------------------------------------------------------------------------------------------------------


def test_a_brivl_file_comes_back_with_all_that_the_original_asks_for(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "own", "tuwen", file.parent / "encoder", CFG)
    done = convert(tmp_path / "own", tmp_path / "back" / "brivl.pth", "original")
    assert [path.name for path in done.files] == ["brivl.pth", "vocab.txt", "cfg.yml", "config.json"]
    content = torch.load(tmp_path / "back" / "brivl.pth")
    assert content.keys() == {"learnable"}
    assert content["learnable"].keys() == brivl_tensors().keys()
    own = {name: one for name, one in brivl_tensors().items() if "_mom." not in name}
    same_bits({name: content["learnable"][name] for name in own}, own)
    same_bits(brivl.momentum(content["learnable"]), own)  # copies, which share the file's bytes
    assert (tmp_path / "back" / "brivl.pth").stat().st_size < 0.75 * file.stat().st_size
    back = tmp_path / "back"
    again = tuwen.load(back / "brivl.pth", back, back / "cfg.yml", device="cpu")
    assert again.fingerprint == tuwen.load(file, file.parent / "encoder", CFG, device="cpu").fingerprint
    assert any("momentum copies, which only training reads, are the encoders themselves" in note for note in done.notes)


def test_the_published_configuration_is_written_in_its_words(file: Path, tmp_path: Path) -> None:
    grid = {"GRID": True, "MODEL": {**CFG["MODEL"], "BOX_GRID": 3}}
    done = convert(file, tmp_path / "brivl.pth", "original", file.parent / "encoder", grid)
    told = yaml.safe_load((tmp_path / "cfg.yml").read_text("utf-8"))
    assert told["GRID"] and told["MODEL"]["BOX_GRID"] == 3
    assert (told["MODEL"]["IMG_SIZE"], told["MODEL"]["MAX_TEXT_LEN"]) == (tiny_brivl.SIZE, 12)
    assert "CNN" not in told["MODEL"]
    assert any("none of B0 to B7" in note for note in done.notes)
    assert any("BriVL-1.0's code ignores the grid" in note for note in done.notes)


@pytest.mark.parametrize("variant", ["1.0", "roberta-base", "roberta-large"])
def test_a_published_model_is_named_by_its_settings(variant: str) -> None:
    sizes = brivl.VARIANTS[variant]
    with torch.device("meta"):
        theirs = keymap.store(brivl.build(sizes).state_dict(), brivl.KEYS["original"])
    whole = brivl.original_tensors(theirs, sizes)
    shapes = {name: tuple(tensor.shape) for name, tensor in whole.items()}
    told = brivl.original_file(sizes, None, "x", shapes)  # type: ignore[arg-type]
    assert told.settings is not None and told.settings["MODEL"]["CNN"] == (
        "tf_efficientnet_b7_ns" if variant == "roberta-large" else "tf_efficientnet_b5_ns"
    )
    assert told.settings["MODEL"]["ENCODER"].endswith("-large") == (variant == "roberta-large")
    assert brivl.read_sizes("original", told.settings, shapes, {}, told.text) == sizes
    assert not any("lacks" in note for note in told.notes)


@pytest.mark.parametrize("tower", ["image", "text"])
def test_one_tower_is_written_alone(tower: str, file: Path, tmp_path: Path) -> None:
    done = convert(file, tmp_path / "one.pth", "original", file.parent / "encoder", CFG, tower=tower)
    content = torch.load(tmp_path / "one.pth")
    if tower == "image":
        assert content.keys() == {"learnable"}
        assert not (tmp_path / "config.json").exists()
    else:  # the file that Text2Poster loads
        assert all(name.startswith("text_model.learnable.textencoder.") for name in content)
    assert any("asks for both towers" in note for note in done.notes)
    words = None if tower == "image" else tmp_path
    again = tuwen.load(tmp_path / "one.pth", words, tmp_path / "cfg.yml", device="cpu")
    wanted = tuwen.load(file, file.parent / "encoder", CFG, device="cpu", tower=tower)
    assert again.module.state_dict().keys() == wanted.module.state_dict().keys()
    same_bits(dict(again.module.state_dict()), dict(wanted.module.state_dict()))


def test_momentum_copies_can_be_what_is_written(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "own", "tuwen", file.parent / "encoder", CFG, momentum=True)
    wanted = tuwen.load(file, file.parent / "encoder", CFG, device="cpu", momentum=True)
    assert tuwen.load(tmp_path / "own", device="cpu").fingerprint == wanted.fingerprint


def test_parts_that_strict_loading_asks_for_and_the_model_lacks_are_named() -> None:
    sizes = replace(
        tiny_brivl.CONFIG,
        image=replace(tiny_brivl.CONFIG.image, classes=0, counters=False),
        text=replace(tiny_brivl.TEXT, pooler=False),
    )
    notes = brivl.original_file(sizes, None, "x", {}).notes  # type: ignore[arg-type]
    (said,) = (note for note in notes if "strict loading" in note)
    assert "classifier of the picture network, its counts of batches, the pooler" in said


def test_a_description_tells_towers_and_momentum_copies(file: Path, tmp_path: Path) -> None:
    encoder = file.parent / "encoder"
    whole = describe(file, CFG, encoder)
    assert whole.momentum and whole.tasks == ("embed", "search", "classify")
    text = describe(write_brivl(tmp_path, "textencoder."), CFG, encoder)
    assert not text.momentum and text.tasks == ("embed",)
    assert "text" in text.sizes and "image" not in text.sizes
    assert "pass tokenizer=" in describe(file, CFG).reason


def test_pictures_that_are_prepared_alike_are_not_remarked_on(file: Path, tmp_path: Path) -> None:
    done = convert(file, tmp_path / "brivl.pth", "original", file.parent / "encoder", CFG)
    assert not any(note.startswith("pictures") for note in done.notes)
    assert tuwen.load(file, file.parent / "encoder", CFG).processor.image == ImagePipeline.brivl(tiny_brivl.SIZE)
