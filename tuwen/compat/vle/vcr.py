"""VLE's pipelines for visual commonsense reasoning, on items of the data set's annotation files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tuwen.compat.outputs import Encoding
from tuwen.compat.vle.choices import VLEForChoice, VLEForVCRQ2A, VLEForVCRQA2R
from tuwen.compat.vle.pipelines import Runner
from tuwen.compat.vle.processing import VLEProcessor
from tuwen.errors import InputError
from tuwen.processing.decode import decode
from tuwen.processing.patches import area_of, check_box, patches
from tuwen.processing.vcr import LENGTH, Names, batch, prepare


class VLEForVCRQ2APipeline:
    """The right one of four answers. People are named in turn for as long as the pipeline lives, as in the original."""

    def __init__(self, vle_processor: VLEProcessor, model: VLEForVCRQ2A, device: Any = None) -> None:
        self.items = Items(vle_processor, model, device)

    def __call__(self, vcr_image_root: str | Path, meta_inputs: Any) -> Any:
        """-> [{"score": logits of the choices (4,), "pred": number of the best (1,)}], tensors on the CPU.

        vcr_image_root: the folder that img_fn and metadata_fn begin in; meta_inputs: an item of an annotation file, or
        several, which give a result each.
        """
        return self.items.run(vcr_image_root, meta_inputs, reasons=False)


class VLEForVCRQA2RPipeline:
    """The right one of four reasons for the right answer; otherwise as `VLEForVCRQ2APipeline`."""

    def __init__(self, vle_processor: VLEProcessor, model: VLEForVCRQA2R, device: Any = None) -> None:
        self.items = Items(vle_processor, model, device)

    def __call__(self, vcr_image_root: str | Path, meta_inputs: Any) -> Any:
        """As of `VLEForVCRQ2APipeline`."""
        return self.items.run(vcr_image_root, meta_inputs, reasons=True)


class Items:
    """A model with its processor and the counter of names."""

    def __init__(self, vle_processor: VLEProcessor, model: VLEForChoice, device: Any = None) -> None:
        self.runner = Runner(vle_processor, model, device)
        self.names = Names()

    def run(self, root: str | Path, items: Any, reasons: bool) -> Any:
        """A result for one item, or for each of several."""

        def work(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
            return [self._one(Path(root), row, reasons) for row in rows]

        return self.runner.run(items, work, 1)

    def _one(self, root: Path, item: Mapping[str, Any], reasons: bool) -> list[dict[str, torch.Tensor]]:
        logits = self.runner.forward(self.prepared(root, item, reasons))
        return [{"score": row, "pred": row.argmax(-1, keepdim=True)} for row in logits]

    def prepared(self, root: Path, item: Mapping[str, Any], reasons: bool) -> Encoding:
        """What the model takes: for each choice a row of ids (1, 80), its boxes and types; the picture once."""
        words = self.runner.vle_processor.tokenizer.rules
        choices = item["rationale_choices"] if reasons else item["answer_choices"]
        answer = item["answer_choices"][item["answer_label"]] if reasons else None
        rows = prepare(words, item["question"], choices, item["objects"], answer, self.names)
        picture = decode(root / item["img_fn"])
        used = {number for row in rows for number in row.objects}
        cells = self._cells(root / item["metadata_fn"], picture.size, len(item["objects"]), used)
        texts, boxes = batch(rows, cells, words.pad_id, LENGTH)
        label = item.get("rationale_label" if reasons else "answer_label")
        return Encoding(
            input_ids=texts.ids[:, None],
            attention_mask=texts.mask[:, None].long(),
            token_type_ids=torch.zeros_like(texts.ids[:, None]),
            pixel_values=self.runner.vle_processor.image_processor(picture, "pt")["pixel_values"],
            patch_ids=[[own] for own in boxes.patches],
            extend_token_type_ids=[
                ([kinds], [words]) for kinds, words in zip(boxes.image_types, boxes.text_types, strict=True)
            ],
            vcr_labels=None if label is None else [label],
            return_loss=True,
        )

    def _cells(self, path: Path, size: tuple[int, int], objects: int, used: set[int]) -> list[list[int]]:
        """The patches of each object's box, by the boxes in pixels that the item's metadata file lists."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["boxes"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read for the boxes of its objects: {error}") from None
        if len(found) < objects:
            raise InputError(f"{path} has {len(found)} boxes for {objects} objects")
        sizes = self.runner.model.towers.config.image
        # As published: the grid covers the picture from edge to edge, although the model sees its middle.
        area = area_of(self.runner.vle_processor.image_processor.pipeline, *size, mapping="whole")
        for number in used:
            check_box(found[number], *size, number)
        return [patches(box, area, sizes.side) if number in used else [] for number, box in enumerate(found)]
