"""EfficientNets on their own: maps in use and in training, statistics, and the structure of the published variants."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.brivl import recipe
from tuwen import checkpoint, keymap
from tuwen.models.brivl.names import efficientnet_keys
from tuwen.nn.efficientnet import SCALES, STAGES, Block, EfficientNet, EfficientNetConfig, scaled

KEYS = efficientnet_keys()


def check(case: Case, expected: Expected) -> None:
    for name in case.settings["specs"]:
        for height, width in case.settings["sizes"]:
            count = 2 * 3 * height * width
            values = recipe.units(f"input.{height}x{width}", count, case.settings["weight_seed"])
            pixels = 2 * torch.from_numpy(values).reshape(2, 3, height, width)
            check_use(expected, f"{name}.eval.{height}x{width}.", network(case, name), pixels)
            check_training(expected, f"{name}.train.{height}x{width}.", network(case, name), pixels)
    check_structure(expected)


def network(case: Case, name: str) -> EfficientNet:
    spec = case.settings["specs"][name]
    module = EfficientNet(
        scaled(224, spec["channel_multiplier"], spec["depth_multiplier"], spec["head_channels"], spec["num_classes"])
    )
    theirs = checkpoint.read(case.path / f"{name}.pth").tensors
    ours, _ = keymap.load(theirs, KEYS, expected=module.state_dict())
    module.load_state_dict(ours)
    return module.eval()


def named(states: list[Tensor]) -> dict[str, Tensor]:
    """The maps after the stem and after each stage, by the names they were recorded under."""
    return {"stem": states[0]} | {f"blocks.{number}": state for number, state in enumerate(states[1:])}


def check_use(expected: Expected, start: str, module: EfficientNet, pixels: Tensor) -> None:
    """With norms folded into the weights, and as they are."""
    for what in ("folded", ""):
        with torch.set_grad_enabled(not what):
            states = module.states(pixels)
            features = module.head(states[-1])
        expected.close(f"{start}features", features, what)
        stages = named(states)
        for stage in [stage for stage in stages if f"{start}{stage}" in expected]:
            expected.close(f"{start}{stage}", stages[stage][:1], what)
        check_sums(expected, start, stages, what)


def check_training(expected: Expected, start: str, module: EfficientNet, pixels: Tensor) -> None:
    """With the statistics of the batch, and what it leaves in the running ones."""
    module.train()
    states = module.states(pixels)
    expected.close(f"{start}features", module.head(states[-1]))
    check_sums(expected, start, named(states), "")
    theirs = keymap.store(module.state_dict(), KEYS)
    for key in [key for key in expected.keys(start) if "running_" in key]:
        expected.close(key, theirs[key.removeprefix(start)])


def check_sums(expected: Expected, start: str, stages: dict[str, Tensor], what: str) -> None:
    """Shapes of the maps without the batch; sums of the values and of their magnitudes, which stand for all of them."""
    expected.equal(f"{start}shapes", {stage: list(state.shape[1:]) for stage, state in stages.items()}, what)
    for stage, sums in expected.value(f"{start}sums").items():
        exact = stages[stage].detach().double()
        ours = torch.stack([exact.sum(), exact.abs().sum()])
        wanted = torch.tensor(sums, dtype=torch.float64)
        expected.compare(f"{start}sums.{stage} {what}".strip(), ours, wanted, expected.atol, expected.rtol)


def check_structure(expected: Expected) -> None:
    theirs = expected.value("structure")
    ours = {f"tf_efficientnet_{name}_ns": scaled(size, width, depth) for name, (width, depth, size) in SCALES.items()}
    expected.same("names of structure", sorted(theirs), sorted(name for name in ours if name in theirs))
    for name, described in theirs.items():
        with torch.device("meta"):
            module = EfficientNet(ours[name])
        expected.same(f"structure.{name}", description(ours[name], module), described)
        if name == "tf_efficientnet_b5_ns":
            expected.equal("b5_keys", [f"{key} {list(shape)}" for key, shape in shapes(module)])


def description(config: EfficientNetConfig, module: EfficientNet) -> dict[str, Any]:
    """Of one network what the table has of each."""
    parameters = [(name, tensor.numel()) for name, tensor in module.named_parameters()]
    names = "\n".join(sorted(f"{key} {shape}" for key, shape in shapes(module)))
    return {
        "params": sum(count for _, count in parameters),
        "params_without_classifier": sum(count for name, count in parameters if not name.startswith("classifier")),
        "tensors": len(module.state_dict()),
        "stem": config.stem,
        "head": config.head,
        "stages": [stage_of(module, number) for number in range(len(STAGES))],
        "keys_sha256": hashlib.sha256(names.encode()).hexdigest(),
    }


def stage_of(module: EfficientNet, number: int) -> dict[str, Any]:
    blocks = [block for block in module.stages[number].children() if isinstance(block, Block)]
    first, last = blocks[0], blocks[-1]
    return {
        "type": "DepthwiseSeparableConv" if first.widen is None else "InvertedResidual",
        "repeats": len(blocks),
        "kernel": first.look.conv.kernel_size[0],
        "stride": first.look.stride,
        "out": first.narrow.conv.out_channels,
        "se_first": first.squeeze.reduce.weight.shape[0],
        "mid_first": first.look.conv.out_channels,
        "mid_rest": last.look.conv.out_channels,
        "se_rest": last.squeeze.reduce.weight.shape[0],
    }


def shapes(module: EfficientNet) -> list[tuple[str, tuple[int, ...]]]:
    """Published name and shape of every tensor, in the order of the published file."""
    return [(key, tuple(tensor.shape)) for key, tensor in keymap.store(module.state_dict(), KEYS).items()]
