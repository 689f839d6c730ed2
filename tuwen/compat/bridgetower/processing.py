"""BridgeTower's processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuwen.compat.outputs import Encoding
from tuwen.compat.preparing import Pictures, Prepared, open_words, opened
from tuwen.loading import read_config
from tuwen.models import bridgetower
from tuwen.saving import CONFIG

LONGEST = 512  # ids of a text that the published models have positions for


class BridgeTowerImageProcessor(Pictures):
    """Pictures -> pixel_values and pixel_mask.

    Settings, each with its published default: do_resize, size, size_divisor, resample, do_rescale, rescale_factor,
    do_normalize, image_mean, image_std, do_center_crop, crop_size (the size, where it is not given), do_pad.
    """

    KIND = "bridgetower"
    MASKED = True


class BridgeTowerProcessor(Prepared):
    """A tokenizer and an image processor behind one call."""

    model_input_names = ("input_ids", "attention_mask", "pixel_values", "pixel_mask")

    def __call__(
        self, images: Any = None, text: Any = None, *, return_tensors: str | None = None, **options: Any
    ) -> Encoding:
        """-> input_ids, attention_mask (B, T), pixel_values (B, 3, H, W), pixel_mask (B, H, W), for what was passed.

        options: padding, truncation, max_length, text_pair, as of `Words`.
        """
        return self.encoded(text, images, return_tensors, options)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path) -> BridgeTowerProcessor:
        """From a folder or a published name; InputError where it holds no tokenizer or no picture settings."""
        found = opened(pretrained_model_name_or_path, BridgeTowerImageProcessor.KIND)
        words = open_words(found.folder, segments=False, longest=longest_text(found.folder))
        return cls(BridgeTowerImageProcessor.over(found.pipeline), words, found.folder)


def longest_text(folder: Path) -> int:
    """How many ids of a text the model in this folder takes."""
    if not (folder / CONFIG).is_file():
        return LONGEST
    settings = read_config(folder / CONFIG)
    own = "tuwen" in settings
    sizes = (
        bridgetower.config_from_own(settings["config"])
        if own
        else bridgetower.read_sizes("transformers", settings, {}, {}, None)
    )
    return sizes.text.longest
