"""ERNIE-ViL 2.0 and BriVL of a layer or two, in each container that they were published in."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from tests.models.tiny_towers import WORDS, save_brivl, save_ernie
from tuwen import keymap
from tuwen.loading import load
from tuwen.models import brivl, ernie_vil2


@dataclass(frozen=True)
class Given:
    """A model's path, and the options that say what its files do not."""

    path: Path
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> list[object]:
        """The options on the command line."""
        return [word for name, path in self.options.items() for word in (f"--{name}", path)]


Numbers = dict[str, Any]
Make = Callable[[Path], Given]

TEXT_HEADS = {"hidden_act": "gelu", "num_attention_heads": 2}
PORT = {
    "model_type": "ernie_vil",
    "text_config": {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 48,
        "type_vocab_size": 0,
    },
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    },
}
PORT_PICTURES = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
BERT = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
REGIONS = {
    "MODEL": {
        "IMG_SIZE": 64,
        "MAX_IMG_LEN": 4,
        "MAX_TEXT_LEN": 16,
        "IMG_TRANSFORMER_HEAD": 2,
        "TEXT_TRANSFORMER_HEAD": 2,
    },
    "CNN_CUSTOM": {"channel_multiplier": 0.1, "depth_multiplier": 0.1, "head_channels": 24, "num_classes": 0},
}


def ernie_tensors(folder: Path, form: str) -> dict[str, Tensor]:
    """Under the names and in the layout of the research release, or of PaddleNLP."""
    own = load(save_ernie(folder / "own"), device="cpu").module.state_dict()
    return keymap.store(own, ernie_vil2.KEYS[form])


def arrays(tensors: dict[str, Tensor]) -> Numbers:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def vocabulary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")


def research(folder: Path, protocol: int = 4, wrap: Callable[[Numbers], Numbers] = lambda tensors: tensors) -> Given:
    """A .pdparams file of the research release beside its vocabulary."""
    vocabulary(folder)
    path = folder / "ERNIE_VIL2_BASE_ViT.pdparams"
    path.write_bytes(pickle.dumps(wrap(arrays(ernie_tensors(folder, "research"))), protocol))
    heads = {"vision": {"num_heads": 2}, "text": TEXT_HEADS}
    (folder / "sizes.json").write_text(json.dumps(heads), encoding="utf-8")
    return Given(path, {"config": folder / "sizes.json"})


def nested(tensors: Numbers) -> Numbers:
    return {"model": tensors, "epoch": 3, "optimizer": {}}


def cut(tensors: Numbers) -> Numbers:
    """With one array in slices, as protocols that cannot hold a larger one have it."""
    name = "text_model.word_emb.weight"
    whole = tensors[name].reshape(-1)
    half = whole.size // 2
    slices = {f"{name}@@.0": whole[:half], f"{name}@@.1": whole[half:]}
    told = {name: {"OriginShape": tensors[name].shape, "slices": list(slices)}}
    rest = {key: tensor for key, tensor in tensors.items() if key != name}
    return {**rest, **slices, "UnpackBigParamInfor@@": told}


def port(folder: Path, container: str) -> Given:
    """A folder of PaddleNLP: one .pdparams file, two of them with an index, or safetensors."""
    vocabulary(folder / "model")
    for name, content in (("config.json", PORT), ("preprocessor_config.json", PORT_PICTURES)):
        (folder / "model" / name).write_text(json.dumps(content), encoding="utf-8")
    tensors = ernie_tensors(folder, "paddlenlp")
    if container == "safetensors":
        from tuwen.checkpoint import write_safetensors

        write_safetensors(folder / "model" / "model.safetensors", tensors)
        return Given(folder / "model")
    numbers = arrays(tensors)
    if container == "shards":
        names = list(numbers)
        places = {name: f"model_state-0000{1 + place % 2}-of-00002.pdparams" for place, name in enumerate(names)}
        for file in sorted(set(places.values())):
            part = {name: numbers[name] for name in names if places[name] == file}
            (folder / "model" / file).write_bytes(pickle.dumps(part, 4))
        index = json.dumps({"metadata": {}, "weight_map": places})
        (folder / "model" / "model_state.pdparams.index.json").write_text(index, encoding="utf-8")
    else:
        (folder / "model" / "model_state.pdparams").write_bytes(pickle.dumps(numbers, 4))
    return Given(folder / "model")


def regions(folder: Path, name: str, legacy: bool = False, half: bool = False) -> Given:
    """BriVL's .pth file, momentum copies included, or a .tar of it; its configuration and text encoder beside it."""
    own = load(save_brivl(folder / "own"), device="cpu").module.state_dict()
    tensors = {
        key: tensor.half() if half else tensor for key, tensor in keymap.store(own, brivl.KEYS["original"]).items()
    }
    tensors |= {key.replace("encoder.", "encoder_mom.", 1): tensor for key, tensor in tensors.items()}
    file = io.BytesIO()
    torch.save({"learnable": tensors}, file, _use_new_zipfile_serialization=not legacy)
    path = folder / name
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            entry = tarfile.TarInfo("BriVL-1.0-5500w/BriVL-1.0-5500w.pth")
            entry.size = len(file.getvalue())
            archive.addfile(entry, io.BytesIO(file.getvalue()))
    else:
        path.write_bytes(file.getvalue())
    (folder / "cfg.yml").write_text(yaml.safe_dump(REGIONS), encoding="utf-8")
    vocabulary(folder / "encoder")
    (folder / "encoder" / "config.json").write_text(json.dumps(BERT), encoding="utf-8")
    return Given(path, {"config": folder / "cfg.yml", "tokenizer": folder / "encoder"})


CONTAINERS: dict[str, Make] = {
    "ernie-vil2, pdparams": research,
    "ernie-vil2, pdparams of protocol 2": lambda folder: research(folder, 2),
    "ernie-vil2, pdparams of a run": lambda folder: research(folder, 4, nested),
    "ernie-vil2, pdparams in slices": lambda folder: research(folder, 2, cut),
    "ernie-vil2, folder of PaddleNLP": lambda folder: port(folder, "pdparams"),
    "ernie-vil2, shards of PaddleNLP": lambda folder: port(folder, "shards"),
    "ernie-vil2, safetensors of PaddleNLP": lambda folder: port(folder, "safetensors"),
    "ernie-vil2, own": lambda folder: Given(save_ernie(folder / "own")),
    "brivl, pth": lambda folder: regions(folder, "BriVL-1.0-5500w.pth"),
    "brivl, legacy pth": lambda folder: regions(folder, "BriVL-1.0-5500w.pth", legacy=True),
    "brivl, pth in half precision": lambda folder: regions(folder, "brivl.pth", half=True),
    "brivl, tar": lambda folder: regions(folder, "BriVL-1.0-5500w.tar"),
    "brivl, own": lambda folder: Given(save_brivl(folder / "own")),
}
