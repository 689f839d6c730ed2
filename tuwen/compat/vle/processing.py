"""VLE's processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuwen.compat.outputs import Encoding
from tuwen.compat.preparing import Pictures, Prepared, open_words, opened


class VLEProcessor(Prepared):
    """A tokenizer and a picture pipeline behind one call; `tokenizer` and `image_processor` are its halves."""

    model_input_names = ("input_ids", "token_type_ids", "attention_mask", "pixel_values")

    def __call__(
        self, text: Any = None, images: Any = None, return_tensors: str | None = None, **options: Any
    ) -> Encoding:
        """-> input_ids, token_type_ids, attention_mask (B, L), and pixel_values (B, 3, S, S), for what was passed.

        options: padding, truncation, max_length, text_pair, as of `Words`. Without truncation nothing is cut.
        """
        return self.encoded(text, images, return_tensors, options)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path) -> VLEProcessor:
        """From a folder or a published name; InputError where it holds no tokenizer or no picture settings."""
        found = opened(pretrained_model_name_or_path, Pictures.KIND)
        words = open_words(found.folder, segments=True, longest=None)
        return cls(Pictures.over(found.pipeline), words, found.folder)
