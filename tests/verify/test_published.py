"""What is known of published models, compared with stand-ins that have the published sizes or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tuwen import keymap
from tuwen.errors import InputError, UsageError
from tuwen.models import brivl, chinese_clip, ernie_vil2
from tuwen.nn.heads import unit
from tuwen.verify.published import verify


def on_meta(module_of: Any, variant: str) -> nn.Module:
    with torch.device("meta"):
        built: nn.Module = module_of.build(module_of.VARIANTS[variant])
    return built


def clip(variant: str = "rn50", **changed: Any) -> Any:
    settings = {"family": "chinese-clip", "variant": variant, "name": f"chinese-clip/{variant}"}
    return SimpleNamespace(**settings, module=on_meta(chinese_clip, variant), **changed)


def test_a_published_variant_has_its_parameters() -> None:
    (stage,) = verify(clip(), "", {}).stages
    assert (stage.name, stage.ok) == ("parameters", True)


def test_another_number_of_parameters_deviates() -> None:
    model = clip()
    model.name = "chinese-clip/vit-b-16"
    report = verify(model, "", {})
    assert not report.ok
    assert report.stages[0].problem == "76,989,537 instead of 188,262,913"


def test_of_a_model_of_other_sizes_nothing_is_known() -> None:
    model = clip()
    model.name = "chinese-clip"
    with pytest.raises(InputError, match="--case"):
        verify(model, "", {})


def test_a_file_that_nothing_needs_is_refused() -> None:
    with pytest.raises(UsageError, match="--picture is of no use for chinese-clip/rn50"):
        verify(clip(), "", {"picture": Path("a.png")})


# -- ERNIE-ViL 2.0 ----------------------------------------------------------------------------------------------------


class Port:
    """Gives the numbers that are known of PaddleNLP's weights, off by `off` where its epsilon is not `eps`."""

    family, variant, name = "ernie-vil2", "base", "ernie-vil2 of the test"

    def __init__(self, eps: float = 1e-5, off: float = 0.01) -> None:
        self.module: Any = nn.Module()
        self.module.text = nn.LayerNorm(2, eps=1e-5)
        self.module.log_scale = nn.Parameter(torch.tensor(ernie_vil2.reference.TEMPERATURE))
        self.eps, self.off = eps, off

    @property
    def logit_scale(self) -> float:
        return float(self.module.log_scale.detach().exp())

    def encode_text(self, texts: Sequence[str], normalize: bool = True) -> Tensor:
        if normalize:  # of the captions: what gives the known logits with the picture
            cosine = torch.tensor(ernie_vil2.reference.LOGITS)[:, None] / self.logit_scale
            along = unit(torch.tensor(ernie_vil2.reference.IMAGE_BEGINS))
            across = unit(torch.stack([-along[1], along[0], *torch.zeros(3)]))
            found = cosine * along + (1 - cosine**2).sqrt() * across
        else:
            reference = ernie_vil2.reference
            begins, ends = (
                torch.tensor(part.get(texts[0], ())) for part in (reference.TEXT_BEGINS, reference.TEXT_ENDS)
            )
            found = torch.cat([begins, torch.zeros(9), ends])[None]
        return found if self.module.text.eps == self.eps else found + self.off

    def encode_image(self, images: Sequence[str], normalize: bool) -> Tensor:
        return torch.tensor([ernie_vil2.reference.IMAGE_BEGINS])


@pytest.mark.parametrize(("eps", "said"), [(1e-5, "epsilon of the config"), (1e-12, "epsilon 1e-12")])
def test_the_epsilon_that_fits_the_known_numbers_is_named(eps: float, said: str) -> None:
    model = Port(eps)
    report = verify(model, "", {})  # type: ignore[arg-type]
    assert report.ok
    assert {stage.name.partition(" (")[2].rstrip(")") for stage in report.stages} == {said}
    assert report.unchecked == ["--picture: COCO's val2017/000000039769.jpg"]
    assert model.module.text.eps == 1e-5


def test_a_picture_gives_the_known_logits() -> None:
    report = verify(Port(), "", {"picture": Path("cats.jpg")})  # type: ignore[arg-type]
    assert [stage.name.partition(" (")[0] for stage in report.stages[-2:]] == [
        "image feature, begin",
        "logits of two captions",
    ]
    assert report.ok
    assert not report.unchecked


def test_numbers_that_fit_neither_epsilon_deviate() -> None:
    report = verify(Port(eps=1.0), "", {})  # type: ignore[arg-type]
    assert [stage.ok for stage in report.stages] == [True, False, False, False]


def test_weights_at_another_temperature_are_not_those_that_the_numbers_are_of() -> None:
    model = Port()
    model.module.log_scale.data.fill_(2.6)
    with pytest.raises(InputError, match="nothing is published"):
        verify(model, "", {})  # type: ignore[arg-type]


# -- BriVL ------------------------------------------------------------------------------------------------------------


def published_file() -> dict[str, Tensor]:
    """Names and shapes of BriVL-1.0-5500w.pth, momentum copies and counting rows included."""
    own = keymap.store(dict(on_meta(brivl, "1.0").state_dict()), brivl.KEYS["original"])
    own["textencoder.backbone.bert.embeddings.position_ids"] = torch.empty(1, 512, dtype=torch.int64, device="meta")
    return own | {name.replace("encoder.", "encoder_mom.", 1): tensor for name, tensor in own.items()}


def test_the_published_file_has_its_tensors_and_bytes() -> None:
    found = brivl.reference.file_checks(published_file())
    assert [ours for _, ours, _ in found] == [theirs for _, _, theirs in found] == [2_320, 2_191_943_168]


def test_a_part_of_the_file_or_another_precision_is_not_counted() -> None:
    tensors = published_file()
    assert not brivl.reference.file_checks({name: one for name, one in tensors.items() if "_mom" not in name})
    assert not brivl.reference.file_checks({name: one.half() for name, one in tensors.items()})


def test_the_example_must_be_the_original_one(tmp_path: Path) -> None:
    path = tmp_path / "example.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"not the original's example of 3 pairs: example.jsonl:1: its image_id"):
        brivl.reference.checks(None, {"pairs": path})
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="it has 0 rows"):
        brivl.reference.checks(None, {"pairs": path})
