"""Cases that a model recorded of itself: which stages are found, from which inputs, and what is not compared."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.cli.conftest import save_pictures
from tests.models.tiny_towers import save_brivl, save_ernie
from tuwen.errors import InputError
from tuwen.loading import load
from tuwen.model import Model
from tuwen.models.ernie_vil2.reference import epsilon
from tuwen.nn.heads import unit
from tuwen.processing.boxes import prepare
from tuwen.types import Images, Texts
from tuwen.verify.case import open_case
from tuwen.verify.recorded import verify

TEXTS = ["一只猫", "红色的草地", "cat"]
EXACTLY = {"atol": 1e-6, "rtol": 1e-5}


@pytest.fixture(scope="module")
def ernie(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(save_ernie(tmp_path_factory.mktemp("ernie") / "model"), device="cpu")


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(save_brivl(tmp_path_factory.mktemp("brivl") / "model"), device="cpu")


def recorded(folder: Path, tensors: dict[str, Tensor], **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "case.json").write_text(json.dumps({"tolerance": EXACTLY, **settings}), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "expected.safetensors")
    return folder


def features(model: Model, pictures: list[Path]) -> dict[str, Tensor]:
    image, text = model.encode_image(pictures), model.encode_text(TEXTS)
    return {
        "vision.embed": image,
        "text.embed": text,
        "logits_per_text": model.logit_scale * text @ image.T,
        "grad.x": torch.ones(1),
    }


def test_pictures_beside_the_case_and_texts_in_it_are_the_inputs(ernie: Model, tmp_path: Path) -> None:
    pictures = sorted(save_pictures(tmp_path / "images", 3).iterdir())
    tensors = features(ernie, pictures) | {"input_ids": ernie.processor.texts(TEXTS, 9).ids}
    names = [path.name for path in pictures]
    case = open_case(recorded(tmp_path, tensors, family="ernie_vil", texts=TEXTS, images=names))
    report = verify(ernie, case)
    assert report.ok
    assert {stage.name for stage in report.stages} == tensors.keys() - {"grad.x"}
    assert report.unchecked == ["grad.x"]


def test_rows_of_a_data_file_are_inputs_too_and_its_settings_tell_the_length(ernie: Model, tmp_path: Path) -> None:
    pictures = sorted(save_pictures(tmp_path / "somewhere", 3).iterdir())
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in pictures]
    lines = [f"{text}\t{row}\t{picture}\n" for row, (text, picture) in enumerate(zip(TEXTS, encoded, strict=True))]
    (tmp_path / "pairs.data").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "settings.yaml").write_text("max_text_seqlen: 4\n", encoding="utf-8")
    tensors = {"text.embed": ernie.encode_text(["一只猫", "红色", "cat"])}
    files = {"data": "pairs.data", "config": "settings.yaml"}
    report = verify(ernie, open_case(recorded(tmp_path, tensors, family="ernie_vil", files=files)))
    assert not report.ok  # "一只猫" has five tokens
    tensors = {"text.embed": ernie.encode_text(["一只", "红色", "cat"])[1:]}
    report = verify(ernie, open_case(recorded(tmp_path, tensors, family="ernie_vil", files=files)))
    assert report.stages[0].problem == "shape (3, 32) instead of (2, 32)"


def test_boxes_of_a_jsonl_and_the_first_rows_of_large_stages_are_compared(regions: Model, tmp_path: Path) -> None:
    pictures = sorted(save_pictures(tmp_path / "images", 3).iterdir())
    boxes: list[list[list[float]]] = [[[1, 2, 30, 20]], [], [[0, 0, 9, 9], [5, 5, 40, 30]]]
    rows = [
        {"image_id": f"images/{path.name}", "sentences": [["sur_text", text]], "bbox": own}
        for path, text, own in zip(pictures, TEXTS, boxes, strict=True)
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    module: Any = regions.module
    pixels = regions.processor.images(pictures).pixels
    places, mask = prepare(boxes, [(40, 48)] * 3, 64, 4)
    with torch.no_grad():
        image = module.encode_image(Images(pixels, None, places, mask))
        tensors = {
            "np_img": unit(image),
            "np_text": regions.encode_text(TEXTS),
            "image.feature": image[:2],
            "image.feature_map": module.image.cnn(pixels[1:2]),
            "pixel_values": pixels[1:2],
            "img_len": torch.tensor([[2], [1], [3]]),
            "image_mask": torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]),
        }
    rule = "per tensor: max|got - expected| <= atol + rtol * max|expected|"
    folder = recorded(tmp_path, tensors, family="brivl", data="data.jsonl", tolerance_rule=rule)
    report = verify(regions, open_case(folder))
    assert report.ok, report
    assert {stage.name for stage in report.stages} == tensors.keys()


def test_stages_at_another_epsilon_are_recomputed_with_it(ernie: Model, tmp_path: Path) -> None:
    ids = ernie.processor.texts(TEXTS, 9).ids
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    text: Any = ernie.module.text
    with epsilon(text, 1e-3), torch.no_grad():
        other = unit(ernie.towers.encode_text(Texts(ids, ids != 0)))
        logits = ernie.logit_scale * other @ unit(ernie.towers.encode_image(Images(pixels))).T
    tensors = {"input_ids": ids, "pixel_values": pixels}
    tensors |= {"text.embed.eps1e-3": other, "logits_per_text.eps1e-3": logits}
    report = verify(ernie, open_case(recorded(tmp_path, tensors, family="ernie_vil")))
    assert report.ok, report
    assert {stage.name for stage in report.stages} == tensors.keys()
    assert text.embeddings.norm.eps == 1e-5


def test_texts_padded_to_other_lengths_are_recomputed_at_those(regions: Model, tmp_path: Path) -> None:
    pictures = sorted(save_pictures(tmp_path / "images", 2).iterdir())
    image = regions.encode_image(pictures)
    module: Any = regions.module
    tensors: dict[str, Tensor] = {}
    for length in (9, 20):  # the model's own is 16
        texts = regions.processor.texts(TEXTS, length if length < 16 else None)
        ids = torch.nn.functional.pad(texts.ids, (0, length - texts.ids.shape[1]))
        module.text.length = length
        features = unit(module.encode_text(Texts(ids, ids != 0))).detach()
        tensors |= {f"text_features.{length}": features, f"similarity.{length}": image @ features.T}
        tensors |= {f"input_ids.{length}": ids, f"text_len.{length}": (ids != 0).sum(1)}
    module.text.length = 16
    names = [path.name for path in pictures]
    report = verify(
        regions, open_case(recorded(tmp_path, tensors, family="brivl", kind="nmi_grid", texts=TEXTS, images=names))
    )
    assert report.ok, report
    assert {stage.name for stage in report.stages} == tensors.keys()


def test_a_case_of_another_family_is_refused(ernie: Model, tmp_path: Path) -> None:
    folder = recorded(tmp_path, {"np_img": torch.ones(1)}, family="brivl")
    with pytest.raises(InputError, match="a case of brivl, the model is of ernie-vil2"):
        verify(ernie, open_case(folder))


def test_a_case_of_which_nothing_is_recomputed_is_refused(ernie: Model, tmp_path: Path) -> None:
    folder = recorded(tmp_path, {"losses": torch.ones(1)}, family="ernie_vil", task=["train", "losses"])
    with pytest.raises(InputError, match=r"it is about train\+losses"):
        verify(ernie, open_case(folder))
