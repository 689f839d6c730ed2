"""`tuwen fill`: the words that a text about a picture leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuwen.cli import console, options
from tuwen.cli.language import warn_language
from tuwen.cli.ready import described, ready
from tuwen.errors import UsageError


def command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture / 图片")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help='Such as "a <mask> on the grass" / 含 <mask> 的句子')],
    model: options.Model = "bridgetower/base-itm-mlm",
    k: Annotated[int, typer.Option("-k", min=1, help="Words per <mask> / 每个 <mask> 的候选词数")] = 5,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Fill the <mask> in a text about a picture / 根据图片填补句中的 <mask>"""
    if not text.strip():
        raise UsageError('the text is empty: expected one such as "a <mask> on the grass"')
    loaded = ready(model, device, dtype, tokenizer, config)
    loaded.need("fill")
    console.header("fill", described(model, loaded), quiet=quiet)
    warn_language(loaded, [text], quiet)
    masks = loaded.fill(image, text, k)
    if as_json:
        plain = [[{"text": word.text, "probability": round(word.probability, 6)} for word in words] for words in masks]
        console.result({"image": str(image), "text": text, "masks": plain})
        return
    numbered = [(number, *place) for number, words in enumerate(masks, 1) for place in enumerate(words, 1)]
    rows = [[number, rank, _visible(word.text), f"{word.probability:.1%}"] for number, rank, word in numbered]
    names = ["mask", "rank", "word", "probability"]
    first = 0 if len(masks) > 1 else 1  # one mask needs no number
    console.table(names[first:], [row[first:] for row in rows], ["mask", "rank", "probability"])


def _visible(word: str) -> str:
    """A word that a terminal can show: a vocabulary also holds spaces, control characters and parts of letters."""
    return word if word.isprintable() and word.strip() else repr(word)
