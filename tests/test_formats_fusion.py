"""BridgeTower, METER and VLE from each format into the others: the same bits, or a reason why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import fusing
from tests.fusing import ANSWERING, BRIDGETOWER, CASES, PRETRAINED, TEXTS, VLE_ANSWERING, VLE_PRETRAINED, pictures
from tests.models import tiny_fusion
from tuwen import checkpoint
from tuwen.errors import CheckpointError, UsageError
from tuwen.formats import convert, describe
from tuwen.loading import load
from tuwen.model import Model
from tuwen.models.bridgetower import Config
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import open_tokenizer

ROBERTA = PRETRAINED.parent / "roberta"
PAIRS = CASES / "bridgetower" / "orig_nlvr2" / "checkpoint" / "BridgeTower_ftfpt_tiny_nlvr2.ckpt"
RETRIEVAL = CASES / "bridgetower" / "orig_retrieval" / "checkpoint" / "BridgeTower_ftfpt_tiny_irtr_itm_itc_f30k.ckpt"
ENTAILING = CASES / "bridgetower" / "orig_snli" / "checkpoint" / "BridgeTower_ftfpt_tiny_snlive.ckpt"
LAYOUT = CASES / "bridgetower" / "hf_published_layout" / "checkpoint"
GROUNDING = CASES / "vle" / "pbc_base" / "checkpoint"
CHOOSING = CASES / "vle" / "vcr_q2a" / "checkpoint"
ORIGINALS = {"pretrained": PRETRAINED, "vqa": ANSWERING, "nlvr2": PAIRS, "retrieval": RETRIEVAL, "snli": ENTAILING}
FOLDERS = {
    "bridgetower": BRIDGETOWER,
    "bridgetower of 2022": LAYOUT,
    "vle for answers": VLE_ANSWERING,
    "vle for grounding": GROUNDING,
    "vle for choices": CHOOSING,
    "vle pretrained": VLE_PRETRAINED,
}


def tensors(path: Path) -> dict[str, Tensor]:
    return checkpoint.read(path).tensors


def assert_same_bits(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype, name
        assert torch.equal(ours[name], tensor), name


def tiny(config: Config, folder: Path) -> Path:
    """A model of random weights that tuwen saved, with a RoBERTa's tokenizer."""
    tokenizer = open_tokenizer(ROBERTA)
    sizes = replace(config, text=replace(config.text, vocabulary=381, positions=40))
    sizes = replace(sizes, heads={name: (381,) if name == "fill" else size for name, size in sizes.heads.items()})
    pipeline = ImagePipeline.transform("clip", sizes.image.image_size)
    processor = Processor(tokenizer, pipeline, 14)
    Model("bridgetower", tiny_fusion.module(sizes), processor, languages=("en",), device="cpu").save(folder)
    return folder


# -- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ORIGINALS)
def test_an_original_checkpoint_comes_back_bit_for_bit_and_in_order(name: str, tmp_path: Path) -> None:
    place = ORIGINALS[name]
    done = convert(place, tmp_path / "ours", tokenizer=place.parent / "roberta")
    assert not done.notes
    back = convert(tmp_path / "ours", tmp_path / "back" / "model.ckpt", to="original")
    assert not back.notes
    assert [path.name for path in back.files] == ["model.ckpt", "vocab.json", "merges.txt", "config.json"]
    kept = {key: tensor for key, tensor in tensors(place).items() if key not in done.dropped}
    after = tensors(tmp_path / "back" / "model.ckpt")
    assert_same_bits(after, kept)
    again = load(tmp_path / "back" / "model.ckpt", device="cpu")  # RoBERTa's files lie beside it
    original = load(place, tokenizer=place.parent / "roberta", device="cpu")
    assert again.fingerprint == original.fingerprint
    assert again.towers.config == original.towers.config


def test_the_settings_of_a_run_say_what_the_originals_say(tmp_path: Path) -> None:
    convert(PRETRAINED, tmp_path / "model.ckpt", "original", tokenizer=ROBERTA)
    told = checkpoint.read(PRETRAINED).extra["hyper_parameters"]["config"]
    written = checkpoint.read(tmp_path / "model.ckpt").extra["hyper_parameters"]["config"]
    assert {name: told[name] for name in written} == written
    roberta = json.loads((ROBERTA / "config.json").read_text(encoding="utf-8"))
    ours = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert {name: roberta[name] for name in ours} == ours


@pytest.mark.parametrize("name", FOLDERS)
def test_a_published_folder_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    done = convert(FOLDERS[name], tmp_path / "ours")
    back = convert(tmp_path / "ours", tmp_path / "back", to="transformers")
    assert not done.notes
    assert not back.notes
    kept = {key: tensor for key, tensor in tensors(FOLDERS[name]).items() if key not in done.dropped}
    assert_same_bits(tensors(tmp_path / "back"), kept)
    again, original = load(tmp_path / "back", device="cpu"), load(FOLDERS[name], device="cpu")
    assert again.fingerprint == original.fingerprint
    assert again.towers.config == original.towers.config


@pytest.mark.parametrize("config", [tiny_fusion.METER, tiny_fusion.BRIDGETOWERS["meter with gates"]])
def test_meter_is_written_as_an_original_and_as_nothing_else(config: Config, tmp_path: Path) -> None:
    folder = tiny(config, tmp_path / "ours")
    convert(folder, tmp_path / "back" / "meter.ckpt", "original")
    again, ours = load(tmp_path / "back" / "meter.ckpt", device="cpu"), load(folder, device="cpu")
    assert again.fingerprint == ours.fingerprint
    assert not again.towers.config.fusion.bridge
    with pytest.raises(CheckpointError, match="transformers has no METER, which has no bridges"):
        convert(folder, tmp_path / "theirs", "transformers")
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("name", ["scaled_add", "interpolate"])
def test_other_bridges_are_kept_in_transformers_and_refused_for_the_original(name: str, tmp_path: Path) -> None:
    sizes = replace(tiny_fusion.BRIDGETOWERS[name], heads={"match": (2,)})
    folder = tiny(sizes, tmp_path / "ours")
    done = convert(folder, tmp_path / "theirs", "transformers")
    assert "BridgeTowerImageProcessor" in done.notes[0]  # the tiny model has the original's pictures
    again, ours = load(tmp_path / "theirs", device="cpu"), load(folder, device="cpu")
    assert again.towers.config == ours.towers.config
    assert checkpoint.digest(again.module.state_dict()) == checkpoint.digest(ours.module.state_dict())
    with pytest.raises(CheckpointError, match="the original has bridges of the kind 'add'"):
        convert(folder, tmp_path / "model.ckpt", "original")


@pytest.mark.parametrize("to", ["transformers", "original"])
def test_a_body_alone_has_no_prefix(to: str, tmp_path: Path) -> None:
    model = fusing.opened("vle")
    model.module.config = replace(model.towers.config, heads={})
    model.module.heads = torch.nn.ModuleDict()
    model.save(tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "theirs", to)
    assert "text_model.encoder.rel_embeddings.weight" in tensors(tmp_path / "theirs")
    assert load(tmp_path / "theirs", device="cpu").tasks == ()


# -- from one to the other --------------------------------------------------------------------------------------------


def test_an_original_in_transformers_differs_as_much_as_is_said(tmp_path: Path) -> None:
    done = convert(PRETRAINED, tmp_path / "theirs", "transformers", tokenizer=ROBERTA)
    epsilon, pictures_differ = done.notes
    assert epsilon.startswith(
        "fusion.eps 1e-05 instead of 1e-12, word_eps 1e-05 instead of 1e-12: its scores are off by"
    )
    assert "which cannot do what the transform 'clip' does" in pictures_differ
    assert done.dropped[-1] == "temperature"
    said = float(epsilon.partition("up to ")[2].partition(",")[0])
    ours, theirs = fusing.model("original"), load(tmp_path / "theirs", device="cpu")
    theirs.processor = ours.processor
    for image in pictures(3):
        for text in TEXTS:
            one, other = (fusing.pair_by_pair(model, "match", image, text) for model in (ours, theirs))
            assert (one - other).abs().max() < 10 * said
    assert 1e-7 < said < 1e-3


def test_an_original_from_transformers_differs_as_much_as_is_said(tmp_path: Path) -> None:
    sizes = replace(tiny_fusion.BRIDGETOWER, heads={"match": (2,), "fill": (30,)})
    sizes = replace(sizes, fusion=replace(sizes.fusion, hidden=64))
    sizes = replace(sizes, text=replace(sizes.text, hidden=64))
    folder = tiny(sizes, tmp_path / "ours")
    done = convert(folder, tmp_path / "model.ckpt", "original")
    assert len(done.notes) == 1  # the tiny model has the original's pictures and texts
    assert "fusion.eps 1e-12 instead of 1e-05, word_eps 1e-12 instead of 1e-05" in done.notes[0]
    written = load(tmp_path / "model.ckpt", device="cpu")
    ours = load(folder, device="cpu").module.state_dict()
    assert float(written.module.get_parameter("temperature").detach()) == pytest.approx(0.07)
    assert_same_bits({k: v for k, v in written.module.state_dict().items() if k != "temperature"}, ours)


def test_other_pictures_and_longer_texts_of_transformers_are_said(tmp_path: Path) -> None:
    sizes = replace(tiny_fusion.BRIDGETOWER, heads={"match": (2,)})
    sizes = replace(
        sizes, fusion=replace(sizes.fusion, hidden=64, eps=1e-12), text=replace(sizes.text, hidden=64), word_eps=1e-12
    )
    folder = tiny(sizes, tmp_path / "ours")
    model = load(folder, device="cpu")
    pipeline = ImagePipeline.from_bridgetower({"size": 24, "size_divisor": 8})
    model.processor = replace(model.processor, image=pipeline, context_length=38, overflow="error")
    model.save(tmp_path / "theirs")
    notes = convert(tmp_path / "theirs", tmp_path / "model.ckpt", "original").notes
    assert "pictures are prepared by the original's transform 'clip'" in notes[0]
    assert notes[1] == "texts are cut to 50 tokens"


@pytest.mark.parametrize(
    ("place", "to", "said"),
    [
        (
            BRIDGETOWER,
            "original",
            "itc_text_head, .*logit_scale cannot be converted: the original feeds its contrastive",
        ),
        (
            RETRIEVAL,
            "transformers",
            "itc_text_head, itc_image_head, .*cannot be converted: transformers feeds its contr",
        ),
        (ANSWERING, "transformers", r"transformers has no place for vqa_classifier: keep the \.ckpt"),
        (PAIRS, "transformers", "transformers has no place for nlvr2_classifier"),
        (ENTAILING, "transformers", "transformers has no place for snli_classifier"),
    ],
)
def test_what_the_other_format_has_no_place_for_is_named(place: Path, to: str, said: str, tmp_path: Path) -> None:
    tokenizer = place.parent / "roberta" if place.is_file() else None
    with pytest.raises(CheckpointError, match=said):
        convert(place, tmp_path / "x" / "model.ckpt", to, tokenizer=tokenizer)
    assert not (tmp_path / "x").exists()


def test_sizes_that_the_other_format_cannot_say_are_named(tmp_path: Path) -> None:
    sizes = replace(tiny_fusion.ORIGINAL, heads={"match": (2,)}, types=2)
    folder = tiny(sizes, tmp_path / "ours")  # its fusion is wider inside than its RoBERTa
    with pytest.raises(CheckpointError, match=r"no place for all of this model: fusion\.hidden 128 \(it would be 48\)"):
        convert(folder, tmp_path / "theirs", "transformers")
    sizes = replace(tiny_fusion.BRIDGETOWER, heads={})
    with pytest.raises(CheckpointError, match="feed-forward layers are a multiple of their width"):
        convert(tiny(sizes, tmp_path / "other"), tmp_path / "model.ckpt", "original")


def test_an_original_needs_its_own_ending_and_a_place_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.ckpt"):
        convert(PRETRAINED, tmp_path / "model.pt", "original", tokenizer=ROBERTA)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.json exists already and is another model's"):
        convert(PRETRAINED, tmp_path / "model.ckpt", "original", tokenizer=ROBERTA)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_two_checkpoints_with_one_roberta_may_lie_together(tmp_path: Path) -> None:
    for name in ("one.ckpt", "two.ckpt"):
        convert(PRETRAINED, tmp_path / name, "original", tokenizer=ROBERTA)
    assert (
        load(tmp_path / "one.ckpt", device="cpu").fingerprint == load(tmp_path / "two.ckpt", device="cpu").fingerprint
    )


# -- transformers reads them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [BRIDGETOWER, PRETRAINED], ids=["heads", "original"])
def test_transformers_gives_the_same_scores_from_our_folder(place: Path, tmp_path: Path) -> None:
    from transformers import BridgeTowerForImageAndTextRetrieval, BridgeTowerForMaskedLM, BridgeTowerProcessor

    convert(place, tmp_path / "theirs", "transformers", tokenizer=None if place.is_dir() else ROBERTA)
    ours = load(tmp_path / "theirs", device="cpu")
    processor = BridgeTowerProcessor.from_pretrained(tmp_path / "theirs")
    image, text = pictures(1)[0], "a <mask> looking out of the window"
    given = processor(image, text, return_tensors="pt")
    assert given["input_ids"].tolist() == ours.processor.ids([text])
    torch.testing.assert_close(given["pixel_values"], ours.processor.images([image]).pixels, atol=1e-5, rtol=1e-5)
    matching, filling = (
        kind.from_pretrained(tmp_path / "theirs", dtype=torch.float32, attn_implementation="eager").eval()
        for kind in (BridgeTowerForImageAndTextRetrieval, BridgeTowerForMaskedLM)
    )
    with torch.no_grad():
        match = matching(**given).logits.softmax(1)[:, 1:]
        words = filling(**given).logits[0].softmax(1)
    torch.testing.assert_close(ours.match(image, text), match, atol=2e-5, rtol=1e-4)
    (best,) = ours.fill(image, text, top_k=1)
    place_of_mask = given["input_ids"][0].tolist().index(ours.processor.tokenizer.mask_id or 0)
    assert best[0].probability == pytest.approx(float(words[place_of_mask].max()), rel=1e-4)


# -- described --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "family", "form", "heads", "tasks", "answers"),
    [
        (BRIDGETOWER, "bridgetower", "transformers", "fill match contrast", "embed search classify match fill", 0),
        (PRETRAINED, "bridgetower", "original", "match fill", "match fill", 0),
        (ANSWERING, "bridgetower", "original", "answer", "answer", 0),
        (PAIRS, "bridgetower", "original", "pair", "pair", 0),
        (RETRIEVAL, "bridgetower", "original", "match contrast", "embed search classify match", 0),
        (VLE_ANSWERING, "vle", "transformers", "answer", "answer", 13),
        (GROUNDING, "vle", "transformers", "ground", "ground", 0),
        (CHOOSING, "vle", "transformers", "choose", "choose", 0),
        (CASES / "vle" / "containers" / "base_only", "vle", "transformers-bare", "", "", 13),
    ],
)
def test_a_description_tells_heads_tasks_and_sizes(
    place: Path, family: str, form: str, heads: str, tasks: str, answers: int
) -> None:
    seen = describe(place, config=place.parent / "roberta" / "config.json" if place.is_file() else None)
    assert seen.usable, seen.reason
    assert (seen.family, seen.format, seen.answers) == (family, form, answers)
    assert set(seen.heads) == set(heads.split())
    assert seen.tasks == tuple(tasks.split())
    assert seen.sizes["fusion"]["layers"] >= 1
    assert "heads" not in seen.sizes
    assert seen.parameters == sum(tensor.numel() for name, tensor in tensors(place).items() if name not in seen.dropped)


def test_a_description_names_what_is_left_out_and_what_is_published() -> None:
    assert describe(VLE_PRETRAINED).dropped[-2:] == ("extra_pretraining_head.0.weight", "extra_pretraining_head.0.bias")
    assert "position_ids" in " ".join(describe(LAYOUT).dropped)


def test_a_description_says_what_is_missing_and_what_is_known_all_the_same(tmp_path: Path) -> None:
    seen = describe(PRETRAINED)
    assert (seen.family, seen.format) == ("bridgetower", "original")
    assert "pass the folder with its config.json" in seen.reason
    folder = shutil.copytree(VLE_ANSWERING, tmp_path / "model")
    (folder / "config.json").unlink()
    seen = describe(folder)
    assert seen.family == "vle"
    assert "need the config.json beside them" in seen.reason


def test_a_converted_model_is_described_like_its_source(tmp_path: Path) -> None:
    convert(VLE_ANSWERING, tmp_path / "ours")
    one, other = describe(VLE_ANSWERING), describe(tmp_path / "ours")
    facts: tuple[str, ...] = ("family", "heads", "tasks", "answers", "sizes", "parameters", "variant")
    values: list[list[Any]] = [[getattr(seen, fact) for fact in facts] for seen in (one, other)]
    assert values[0] == values[1]
