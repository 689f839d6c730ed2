"""What is known of published models, compared with stand-ins that have the published sizes or numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tuwen import checkpoint, keymap
from tuwen.errors import InputError, UsageError
from tuwen.models import brivl, chinese_clip, ernie_vil2
from tuwen.nn.heads import unit
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import NoTokenizer
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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A weight file of which nothing is known."""
    checkpoint.write_safetensors(tmp_path / "some.safetensors", {"x": torch.zeros(1)})
    return tmp_path / "some.safetensors"


class Port:
    """Gives the numbers that are known of PaddleNLP's weights, off by `off` where its epsilon is not `eps`."""

    family, variant, name = "ernie-vil2", "base", "ernie-vil2 of the test"

    def __init__(self, eps: float = 1e-5, off: float = 0.01) -> None:
        self.processor = Processor(NoTokenizer(), ImagePipeline.ernie(224))
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
        assert self.processor.image == ImagePipeline.from_paddlenlp({})  # whatever the file's own rule is
        return torch.tensor([ernie_vil2.reference.IMAGE_BEGINS])


@pytest.mark.parametrize(("eps", "said"), [(1e-5, "epsilon of the config"), (1e-12, "epsilon 1e-12")])
def test_the_epsilon_that_fits_the_known_numbers_is_named(eps: float, said: str, file: Path) -> None:
    model = Port(eps)
    report = verify(model, file, {})  # type: ignore[arg-type]
    assert report.ok
    assert {stage.name.partition(" (")[2].rstrip(")") for stage in report.stages} == {said}
    assert report.unchecked == ["--picture: COCO's val2017/000000039769.jpg"]
    assert model.module.text.eps == 1e-5


def test_a_picture_gives_the_known_logits(file: Path) -> None:
    report = verify(Port(), file, {"picture": Path("cats.jpg")})  # type: ignore[arg-type]
    assert [stage.name.partition(" (")[0] for stage in report.stages[-2:]] == [
        "image feature, begin",
        "logits of two captions",
    ]
    assert report.ok
    assert not report.unchecked


def test_numbers_that_fit_neither_epsilon_deviate(file: Path) -> None:
    report = verify(Port(eps=1.0), file, {})  # type: ignore[arg-type]
    assert [stage.ok for stage in report.stages] == [True, False, False, False]


def test_weights_at_another_temperature_are_not_those_that_the_numbers_are_of(file: Path) -> None:
    model = Port()
    model.module.log_scale.data.fill_(2.6)
    with pytest.raises(InputError, match="nothing is published"):
        verify(model, file, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["research", "paddlenlp"])
def test_the_published_file_of_either_release_has_its_tensors_and_numbers(form: str) -> None:
    tensors = keymap.store(dict(on_meta(ernie_vil2, "base").state_dict()), ernie_vil2.KEYS[form])
    found = ernie_vil2.reference.file_checks(tensors)
    assert [ours for _, ours, _ in found] == [theirs for _, _, theirs in found]
    assert found[0][2] == {"research": 350, "paddlenlp": 398}[form]
    extra = tensors | {"visual.classfy.weight": torch.zeros(768, 10)}
    assert ernie_vil2.reference.file_checks(extra) == found
    assert not ernie_vil2.reference.file_checks({"image.patches.weight": torch.zeros(1)})


# -- BriVL ------------------------------------------------------------------------------------------------------------


def published_file() -> dict[str, Tensor]:
    """Names and shapes of BriVL-1.0-5500w.pth, momentum copies and counting rows included."""
    own = keymap.store(dict(on_meta(brivl, "1.0").state_dict()), brivl.KEYS["original"])
    return brivl.original_tensors(own, brivl.VARIANTS["1.0"])


def sized(variant: str, tower: str | None = None, **changed: Any) -> Any:
    sizes = brivl.VARIANTS[variant]
    sizes = dataclasses.replace(sizes, image=dataclasses.replace(sizes.image, **changed))
    sizes = sizes if tower is None else brivl.of_tower(sizes, tower)
    with torch.device("meta"):
        module = brivl.build(sizes)
    return SimpleNamespace(variant=brivl.variant_of(sizes), module=module)


@pytest.mark.parametrize("variant", list(brivl.VARIANTS))
@pytest.mark.parametrize(("tower", "classes"), [(None, 1000), (None, 0), ("image", 0), ("text", 1000)])
def test_every_part_of_a_published_model_has_its_parameters(variant: str, tower: str | None, classes: int) -> None:
    model = sized(variant, tower, classes=classes)
    count = sum(parameter.numel() for parameter in model.module.parameters())
    known = brivl.reference.parameters(model)
    assert known == count if model.variant else known is None
    assert brivl.reference.parameters(SimpleNamespace(variant=None)) is None


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
