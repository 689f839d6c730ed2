"""Both families need nothing of what their originals were written with: every container, in a process without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.published_towers import CONTAINERS
from tuwen.loading import load

ABSENT = ("paddle", "paddlenlp", "timm", "torchvision", "cv2", "transformers", "easydict", "detectron2")
TEXTS = ["红色的猫", "a red cat", "草地"]
PROGRAM = """
import importlib.abc, json, sys

ABSENT = frozenset(json.loads(sys.argv[1]))


class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
import tuwen

for line in sys.stdin:
    asked = json.loads(line)
    model = tuwen.load(asked["path"], device="cpu", **asked["options"])
    image, text = model.encode_image(asked["pictures"]), model.encode_text(asked["texts"])
    found = {"image": image.tolist(), "text": text.tolist()}
    if model.takes_boxes:
        found["boxes"] = model.encode_image(asked["pictures"], boxes=asked["boxes"]).tolist()
    found["labels"] = [label.name for (label, *_) in model.classify(asked["pictures"], ["猫", "草地"])]
    print(json.dumps(found))
assert not ABSENT & {name.partition(".")[0] for name in sys.modules}
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.RandomState(3)
    shapes = {"a.jpg": (50, 70, 3), "b.png": (64, 40, 4), "c.png": (33, 33)}
    for name, shape in shapes.items():
        Image.fromarray(noise.randint(0, 256, shape, dtype=np.uint8)).save(folder / name)
    return [str(folder / name) for name in shapes]


def test_every_container_gives_the_same_without_paddle_timm_torchvision_opencv_and_transformers(
    tmp_path: Path, pictures: list[str]
) -> None:
    boxes: list[Any] = [[[1, 2, 30, 40]], [], None]
    given = {kind: make(tmp_path / str(number)) for number, (kind, make) in enumerate(CONTAINERS.items())}
    lines = [
        json.dumps(
            {
                "path": str(one.path),
                "options": {name: str(path) for name, path in one.options.items()},
                "pictures": pictures,
                "texts": TEXTS,
                "boxes": boxes,
            }
        )
        for one in given.values()
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(ABSENT)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    for (kind, one), line in zip(given.items(), done.stdout.splitlines(), strict=True):
        found, model = json.loads(line), load(one.path, device="cpu", **one.options)
        wanted = {"image": model.encode_image(pictures), "text": model.encode_text(TEXTS)}
        if model.takes_boxes:
            wanted["boxes"] = model.encode_image(pictures, boxes=boxes)
            assert not np.allclose(wanted["boxes"], wanted["image"], atol=1e-5)
        for name, features in wanted.items():
            np.testing.assert_allclose(found[name], features, atol=1e-6, err_msg=f"{kind}, {name}")
        assert found["labels"] == [labels[0].name for labels in model.classify(pictures, ["猫", "草地"])]
