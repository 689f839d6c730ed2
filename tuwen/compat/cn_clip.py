"""The API of the package cn_clip 1.6: `import tuwen.compat.cn_clip as clip` in place of `import cn_clip.clip as clip`.

Numbers are the original's, including the rounding of weights to half precision that `load_from_name` does. Two things
are
mended: the model comes back in eval mode (the original's dropout stayed active until `eval()`), and nothing is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tuwen import hub, models
from tuwen.errors import ModelNotFound
from tuwen.loading import load
from tuwen.models.chinese_clip import CONTEXT_LENGTH, VARIANTS, ChineseCLIP, Config
from tuwen.nn.heads import unit
from tuwen.processing.image import ImagePipeline
from tuwen.processing.tokenizer import Tokenizer
from tuwen.processing.wordpiece import WordPiece
from tuwen.types import Images, Texts

if TYPE_CHECKING:
    from PIL import Image

# The original's names, in its order, and ours.
NAMES = {
    "ViT-B-16": "chinese-clip/vit-b-16",
    "ViT-L-14": "chinese-clip/vit-l-14",
    "ViT-L-14-336": "chinese-clip/vit-l-14-336",
    "ViT-H-14": "chinese-clip/vit-h-14",
    "RN50": "chinese-clip/rn50",
}
TEXT_TOWERS = {
    "RBT3-chinese": VARIANTS["rn50"].text,
    "RoBERTa-wwm-ext-base-chinese": VARIANTS["vit-b-16"].text,
    "RoBERTa-wwm-ext-large-chinese": VARIANTS["vit-h-14"].text,
}

# `tokenize` takes no model, so it needs one vocabulary for the process: that of the model loaded last. All published
# models share it.
_tokenizer: Tokenizer | None = None


def available_models() -> list[str]:
    """Names for `load_from_name`."""
    return list(NAMES)


def load_from_name(
    name: str,
    device: str | torch.device | None = None,
    download_root: str | None = None,
    vision_model_name: str | None = None,
    text_model_name: str | None = None,
    input_resolution: int | None = None,
    use_modelscope: bool = False,
) -> tuple[CLIP, Callable[[Image.Image], Tensor]]:
    """-> (model, preprocess), weights rounded to half precision as the original's are; half on a GPU, float32 on a CPU.

    name: one of `available_models()`, whose file is taken from download_root (default ~/.cache/clip) if it is there
    and else fetched; or the path of a .pt, for which the names of both towers and the resolution are required, as in
    the original.
    vocab.txt is looked for beside the file, then on the hub. RuntimeError lists the names if nothing fits.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = "float16" if device.type == "cuda" else "float32"
    if name in NAMES:
        path = _published_file(name, download_root, use_modelscope)
        config = None if (path.parent / "model_configs").is_dir() else VARIANTS[NAMES[name].partition("/")[2]]
    elif Path(name).is_file():
        path = Path(name)
        assert vision_model_name and text_model_name and input_resolution, (
            "Please specify specific 'vision_model_name', 'text_model_name', and 'input_resolution'"
        )
        config = _towers(vision_model_name, text_model_name, input_resolution)
    else:
        raise RuntimeError(f"Model {name} not found; available models = {available_models()}")
    loaded = load(path, _vocabulary(path), config=config, device=device, dtype=dtype, rounding="half")
    global _tokenizer
    _tokenizer = loaded.processor.tokenizer
    module = loaded.module
    assert isinstance(module, ChineseCLIP)
    return CLIP(module).eval(), _transform(loaded.processor.image)


def tokenize(texts: str | Sequence[str], context_length: int = CONTEXT_LENGTH) -> Tensor:
    """texts -> ids (N, context_length) int64: [CLS], at most context_length - 2 ids, [SEP], then zeros; too long is
    cut silently.

    Curly quotes become [UNK] here, as in the original's `clip.tokenize`; its data loaders treat them otherwise.
    """
    asked = [texts] if isinstance(texts, str) else list(texts)
    rows = (_tokenizer or _published_tokenizer()).ids(asked, context_length)
    ids = torch.zeros(len(rows), context_length, dtype=torch.long)
    for row, numbers in zip(ids, rows, strict=True):
        row[: len(numbers)] = torch.tensor(numbers)
    return ids


def image_transform(image_size: int = 224) -> Callable[[Image.Image], Tensor]:
    """PIL picture -> (3, image_size, image_size): resized in its own mode, then RGB, then normalised."""
    return _transform(ImagePipeline(size=(image_size, image_size)))


class CLIP(nn.Module):
    """The original's model class over ours; features are not normalised."""

    def __init__(self, towers: ChineseCLIP) -> None:
        super().__init__()
        self.towers = towers

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the towers compute."""
        return self.towers.text_projection.weight.dtype

    @property
    def logit_scale(self) -> nn.Parameter:
        """The logarithm of what multiplies the cosine."""
        return self.towers.log_scale

    def encode_image(self, image: Tensor, mask_ratio: float = 0) -> Tensor:
        """image (B, 3, R, R) -> (B, E); mask_ratio drops that share of the patches at random, in ViT towers."""
        return self.towers.encode_image(Images(image), mask_ratio)

    def encode_text(self, text: Tensor) -> Tensor:
        """text (B, L), as `tokenize` gives it -> (B, E)."""
        return self.towers.encode_text(Texts(text, text != 0))  # 0 is the padding, by construction of `tokenize`

    def forward(self, image: Tensor | None, text: Tensor | None, mask_ratio: float = 0) -> Any:
        """Both: (unit image features, unit text features, scale). One None: the features of the other."""
        assert image is not None or text is not None, "text and image cannot both be None!"
        if image is None:
            assert text is not None
            return self.encode_text(text)
        if text is None:
            return self.encode_image(image, mask_ratio)
        return unit(self.encode_image(image, mask_ratio)), unit(self.encode_text(text)), self.towers.scale()

    def get_similarity(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """-> logits (pictures, texts) and their transpose: scale times cosine."""
        logits = self.towers.scale() * unit(self.encode_image(image)) @ unit(self.encode_text(text)).T
        return logits, logits.T


def _published_file(name: str, download_root: str | None, use_modelscope: bool) -> Path:
    published = models.PUBLISHED[NAMES[name]]
    root = Path(download_root).expanduser() if download_root else Path.home() / ".cache" / "clip"
    path = root / published.file
    if path.exists() and not path.is_file():
        raise RuntimeError(f"{path} exists and is not a regular file")
    return path if path.is_file() else hub.fetch(published, use_modelscope)[0]


def _vocabulary(weights: Path) -> Path | WordPiece:
    beside = weights.parent / "vocab.txt"
    return beside if beside.is_file() else _published_tokenizer()


def _published_tokenizer() -> WordPiece:
    """The vocabulary that all published models share, from the hub's cache or the network."""
    try:
        return WordPiece.from_vocab(hub.vocabulary(models.PUBLISHED[NAMES["ViT-B-16"]]))
    except ModelNotFound as error:
        raise ModelNotFound(f"no vocabulary: load a model first, or put vocab.txt beside its file ({error})") from None


def _towers(vision: str, text: str, resolution: int) -> Config:
    from dataclasses import replace

    variant = vision.lower()
    if variant not in VARIANTS or text not in TEXT_TOWERS:
        raise RuntimeError(
            f"no towers {vision} and {text}; known are {', '.join([*NAMES, 'ViT-B-32'])} and {', '.join(TEXT_TOWERS)}"
        )
    known = VARIANTS[variant]
    return replace(known, image=replace(known.image, image_size=resolution), text=TEXT_TOWERS[text])


def _transform(pipeline: ImagePipeline) -> Callable[[Image.Image], Tensor]:
    def preprocess(image: Image.Image) -> Tensor:
        return pipeline.normalise(torch.from_numpy(pipeline.pixels(image))[None])[0]

    return preprocess
