"""The table: family name -> the module that defines it; and every published model by name."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tuwen.hub import Published

FAMILIES = {"chinese-clip": "tuwen.models.chinese_clip"}

# Exact parameter counts, so that listing the models needs no torch; the tests compare them with the modules.
PUBLISHED = {
    "chinese-clip/rn50": Published("OFA-Sys/chinese-clip-rn50", "clip_cn_rn50.pt", 76_989_537, 224, 1024),
    "chinese-clip/vit-b-16": Published(
        "OFA-Sys/chinese-clip-vit-base-patch16", "clip_cn_vit-b-16.pt", 188_262_913, 224, 512
    ),
    "chinese-clip/vit-l-14": Published(
        "OFA-Sys/chinese-clip-vit-large-patch14", "clip_cn_vit-l-14.pt", 406_233_089, 224, 768
    ),
    "chinese-clip/vit-l-14-336": Published(
        "OFA-Sys/chinese-clip-vit-large-patch14-336px", "clip_cn_vit-l-14-336.pt", 406_560_769, 336, 768
    ),
    "chinese-clip/vit-h-14": Published(
        "OFA-Sys/chinese-clip-vit-huge-patch14", "clip_cn_vit-h-14.pt", 957_598_209, 224, 1024
    ),
}


def family(name: str) -> ModuleType:
    """The module of a family; its names are those that CONTRIBUTING.md lists."""
    return import_module(FAMILIES[name])
