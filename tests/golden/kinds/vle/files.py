"""The same weights in every container that a user may own, and a pretraining file opened for each of its heads."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.vle.stages import check_file, check_inputs, loaded, module_of, pooled_of
from tests.golden.kinds.written import check_written_back
from tuwen import keymap
from tuwen.loading import load
from tuwen.model import Model
from tuwen.models import vle
from tuwen.types import Images, Texts

HEADS = {"VLEForVQA": "answer", "VLEForITM": "match", "VLEForPBC": "ground", "VLEForMLM": "fill"}


def check_containers(case: Case, expected: Expected) -> None:
    for variant in case.settings["variants"]:
        folder, words = case.path / variant["folder"], case.path / "processor"
        model = load(folder, tokenizer=words, device="cpu")
        texts, images = model.processor.texts(case.texts), model.processor.images(case.images)
        check_inputs(expected, texts, images)
        check_written_back(expected, folder, model, vle)
        kinds = {parameter.dtype for parameter in model.module.parameters()}
        expected.same(f"{variant['name']} is computed in", kinds, {torch.float32})
        with torch.inference_mode():
            expected.close(f"{variant['name']}.output", output(model, images, texts, variant["class"]))
            if "file" in variant:  # the file alone, with the sizes that it does not tell
                alone = load(folder / variant["file"], tokenizer=words, config=folder / "config.json", device="cpu")
                ours = output(alone, images, texts, variant["class"])
                expected.close(f"{variant['name']}.output", ours, "of the file alone")
    # What the original opens, and more: we have opened every one.
    names = sorted(variant["name"] for variant in case.settings["variants"])
    expected.same("names of containers", names, sorted(expected.value("loaded_by_original")))


def output(model: Model, images: Images, texts: Texts, kind: str) -> Tensor:
    """What the published class `kind` gives first."""
    module, fused = module_of(model), module_of(model)(images, texts)
    assert fused.image is not None
    if kind == "VLEModel":
        return pooled_of(fused)
    if kind == "VLEForMLM":
        return module.words(fused.text)
    states = fused.image[:, 1:] if kind == "VLEForPBC" else fused.pooled
    return module.heads[HEADS[kind]](states)


def check_pretraining(case: Case, expected: Expected) -> None:
    """A body, three heads, and one that nobody knows; opened for answers, that head starts anew and is named."""
    model = loaded(case)
    check_file(expected, case, model)
    texts, images = model.processor.texts(case.texts), model.processor.images(case.images)
    check_inputs(expected, texts, images)
    expected.same("tasks", set(model.tasks), {"match", "ground", "fill"})
    asked = load(case.path / "checkpoint", device="cpu", heads=("answer",))
    with torch.inference_mode():
        for kind in ("VLEModel", "VLEForITM", "VLEForPBC", "VLEForMLM"):
            expected.close(kind, output(model, images, texts, kind))
        expected.close("VLEForVQA.pooler_output", pooled_of(module_of(asked)(images, texts)))
    before = keymap.store(model.module.state_dict(), vle.KEYS["transformers"])
    after = keymap.store(asked.module.state_dict(), vle.KEYS["transformers"])
    expected.equal("vqa_head_new", sorted(after.keys() - before.keys()))


def check_towers(case: Case, expected: Expected) -> None:
    """A model from two towers: they keep their weights, everything else is new."""
    texts = Texts(expected.tensor("input_ids"), expected.tensor("attention_mask").bool())
    images = Images(expected.tensor("pixel_values"))
    for variant in case.settings["variants"]:
        name, settings = variant["name"], variant["kwargs"]
        for folder in (variant["vision"], case.settings["vision_only_folder"]):
            made = vle.from_towers(case.path / folder, case.path / "text", settings)
            with torch.inference_mode():
                states = made.image.states(images.pixels)
                expected.close(f"{name}.image_features", made.image.norm_out(states[-1]), f"of {folder}")
                expected.close(f"{name}.text_features", made.text(texts), f"of {folder}")
            theirs = expected.value(name)
            fresh = {
                key.partition(".")[0]
                for key in keymap.store(made.state_dict(), vle.KEYS["transformers-bare"])
                if not key.startswith(("vision_model.", "text_model."))
            }
            expected.same(f"{name} new parameters", sorted(fresh), theirs["new_parameters"])
            sizes = made.config.fusion
            ours = {
                "hidden_size": sizes.width,
                "num_hidden_layers": sizes.layers,
                "num_token_types": made.config.types,
                "vision_model_type": "clip_vision_model",  # whichever of the two folders it came from
            }
            expected.same(f"{name} sizes", ours, {key: theirs[key] for key in ours})
