"""Box pooling on its own: the samples in boxes of one picture, and what becomes of them in the layer behind."""

from __future__ import annotations

from safetensors.torch import load_file
from torch.nn import functional as F

from tests.golden.case import Case, Expected
from tests.golden.kinds.brivl.towers import sampled
from tuwen.nn.regions import pool_boxes


def check(case: Case, expected: Expected) -> None:
    given = load_file(case.path / case.settings["inputs"])
    weight, bias = given["conv.weight"].flatten(1), given["conv.bias"]
    for number, size in enumerate(case.settings["image_sizes"]):
        states, boxes = given[f"map.{number}"], given[f"boxes.{number}"]
        for samples in case.settings["grid_sizes"]:
            expected.close(f"grid.{number}.{samples}", sampled(states[0], boxes[0], size, samples))
            pooled = F.linear(pool_boxes(states, boxes, size, samples), weight, bias)
            expected.close(f"pooled.{number}.{samples}", pooled)
    # There a single box loses its place among the dimensions; here it keeps it.
    one = pool_boxes(given["map.0"], given["boxes.0"][:, :1], case.settings["image_sizes"][0], 4)
    expected.equal("one_box_shape", [one.shape[0], one.shape[2]])
    expected.same("shape of one box", list(one.shape[:2]), [len(one), 1])
