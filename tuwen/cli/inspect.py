"""`tuwen inspect`: what a weight file or folder is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.errors import InputError

if TYPE_CHECKING:
    from tuwen.formats import Description

SHOWN = 5  # names of tensors that loading leaves out
WHAT = {
    "checkpoint": "a checkpoint",
    "state-dict": "a state dict",
    "lightning": "a PyTorch Lightning checkpoint",
    "deepspeed": "a DeepSpeed checkpoint",
    "optimizer": "an optimizer's state",
    "tar": "a tar archive",
}


def command(
    path: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="What to look at / 要查看的文件或文件夹")],
    config: options.Config = None,
    fingerprint: Annotated[
        bool, typer.Option("--fingerprint", help="Also load it and tell its fingerprint / 加载模型并显示指纹")
    ] = False,
    tokenizer: options.Tokenizer = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Say what a weight file or folder is, or why it cannot be read / 说明权重文件是什么，或为何不能读取"""
    path = path.expanduser()
    if not path.exists():
        raise InputError(f"{path} does not exist: name a weight file, or a folder with one")
    from tuwen.data.embedded import read_manifest

    console.header("inspect", str(path), quiet=quiet)
    manifest = read_manifest(path) if path.is_dir() else None
    if manifest is not None:
        _show(manifest if as_json else _embedded(manifest), as_json)
        return
    from tuwen.formats import describe

    found = describe(path, config, tokenizer)
    facts = _everything(found) if as_json else _facts(found)
    if fingerprint and found.usable:
        from tuwen.cli.ready import ready

        facts["fingerprint"] = ready(str(path), tokenizer=tokenizer, config=config).fingerprint
    _show(facts, as_json)
    if not found.usable:
        raise InputError(found.reason)


def _everything(found: Description) -> dict[str, Any]:
    """All that is known, as JSON can say it: a trainer's settings may hold arrays, and keys that are no text."""
    facts: dict[str, Any] = json.loads(json.dumps(asdict(found), default=str, skipkeys=True))
    return {**facts, "usable": found.usable}


def _facts(found: Description) -> dict[str, str]:
    facts = {
        "what": WHAT.get(found.kind, found.kind),
        "container": found.container,
        "inside": found.detail,
        "model": " ".join(filter(None, [found.family, found.variant])),
        "format": found.format,
        "heads": ", ".join(f"{name} ({' x '.join(map(str, widths))})" for name, widths in found.heads.items()),
        "answers": f"{found.answers:,}" if found.answers else "",
        "tasks": ", ".join(found.tasks),
        "parameters": f"{found.parameters:,}" if found.parameters else "",
        "tensors": f"{found.tensors:,}" if found.tensors else "",
        "momentum": "copies of the encoders, for load(momentum=True)" if found.momentum else "",
        "types": ", ".join(f"{count:,} {dtype}" for dtype, count in found.dtypes.items()),
    }
    for name, size in found.sizes.items():
        if isinstance(size, dict):
            facts[f"sizes: {name}"] = _sizes(size)
    facts["sizes"] = _sizes({name: size for name, size in found.sizes.items() if not isinstance(size, dict)})
    if found.dropped:
        more = len(found.dropped) - SHOWN
        facts["left out"] = ", ".join(found.dropped[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
    facts |= {name: str(found.extra[name]) for name in ("epoch", "step", "global_step", "name") if name in found.extra}
    settings = _count(found.extra.get("hyper_parameters", {}))
    facts["settings"] = f"{settings:,} of the training run; --json shows them" if settings else ""
    return {name: value for name, value in facts.items() if value}


def _sizes(sizes: dict[str, Any]) -> str:
    """A list is written without its brackets and quotes."""
    shown = {name: " ".join(map(str, size)) if isinstance(size, list) else str(size) for name, size in sizes.items()}
    return ", ".join(f"{name} {size}" for name, size in shown.items())


def _count(value: Any) -> int:
    """The single values in dicts of dicts."""
    return sum(map(_count, value.values())) if isinstance(value, dict) else 1


def _embedded(manifest: dict[str, Any]) -> dict[str, str]:
    """What there is to say of a folder that `tuwen embed` wrote."""
    model = manifest["model"]
    facts = {"what": "a folder that `tuwen embed` wrote", "model": model["name"], "fingerprint": model["fingerprint"]}
    facts |= {"width": str(model["embedding"]), "type": manifest["dtype"], "input": str(manifest.get("input", ""))}
    for kind, name in (("image", "pictures"), ("text", "texts")):
        if kind in manifest:
            facts[name] = f"{manifest[kind]['count']:,}, {manifest[kind]['features']} and {manifest[kind]['rows']}"
    facts["failures"] = f"{len(manifest['failures']):,}"
    return facts


def _show(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.result(facts)
    else:
        console.table(["property", "value"], list(facts.items()))
