"""The table: family name -> the module that defines it; and every published model by name."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tuwen.hub import Published

FAMILIES = {
    "chinese-clip": "tuwen.models.chinese_clip",
    "bridgetower": "tuwen.models.bridgetower",
    "vle": "tuwen.models.vle",
    "ernie-vil2": "tuwen.models.ernie_vil2",
    "brivl": "tuwen.models.brivl",
}

EN = ("en",)

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
    "brivl/1.0": Published(
        "shunxing1234/BriVL",
        "BriVL-1.0-5500w.pth",
        273_818_904,
        380,
        2048,
        words="hfl/chinese-roberta-wwm-ext",
    ),
    "ernie-vil2/base": Published("PaddlePaddle/ernie_vil-2.0-base-zh", "", 203_738_881, 224, 768),
    "bridgetower/base": Published("BridgeTower/bridgetower-base", "", 326_347_008, 288, 0, EN, ()),
    "bridgetower/base-itm-mlm": Published(
        "BridgeTower/bridgetower-base-itm-mlm", "", 365_595_995, 288, 0, EN, ("match", "fill")
    ),
    "bridgetower/large-itm-mlm": Published(
        "BridgeTower/bridgetower-large-itm-mlm", "", 917_091_419, 294, 0, EN, ("match", "fill")
    ),
    "bridgetower/large-itm-mlm-itc": Published(
        "BridgeTower/bridgetower-large-itm-mlm-itc",
        "",
        919_190_108,
        294,
        512,
        EN,
        ("embed", "search", "classify", "match", "fill"),
    ),
    "vle/base": Published("hfl/vle-base", "", 380_235_880, 224, 0, EN, ("match", "ground", "fill")),
    "vle/large": Published("hfl/vle-large", "", 933_643_368, 224, 0, EN, ("match", "ground", "fill")),
    "vle/base-vqa": Published("hfl/vle-base-for-vqa", "", 386_346_297, 576, 0, EN, ("answer",)),
    "vle/large-vqa": Published("hfl/vle-large-for-vqa", "", 942_032_953, 504, 0, EN, ("answer",)),
    "vle/base-vcr-q2a": Published("hfl/vle-base-for-vcr-q2a", "", 381_047_809, 384, 0, EN, ("choose",)),
    "vle/base-vcr-qa2r": Published("hfl/vle-base-for-vcr-qa2r", "", 381_047_809, 384, 0, EN, ("choose",)),
    "vle/large-vcr-q2a": Published("hfl/vle-large-for-vcr-q2a", "", 934_969_345, 336, 0, EN, ("choose",)),
    "vle/large-vcr-qa2r": Published("hfl/vle-large-for-vcr-qa2r", "", 934_969_345, 336, 0, EN, ("choose",)),
}


def family(name: str) -> ModuleType:
    """The module of a family; its names are those that CONTRIBUTING.md lists."""
    return import_module(FAMILIES[name])


def able(task: str) -> list[str]:
    """The published models that can do a task."""
    return [name for name, published in PUBLISHED.items() if task in published.tasks]
