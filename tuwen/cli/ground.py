"""`tuwen ground`: where in a picture is what a text says?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.language import warn_language
from tuwen.cli.ready import described, ready
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

    from tuwen.tasks.ground import Grid, Grounding

ENDINGS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class Area(StrEnum):
    """What of the picture the grid is laid over."""

    CROP = "crop"
    WHOLE = "whole"


def command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture / 图片")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for / 要找的内容")],
    model: options.Model = "vle/base",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the overlay: .png, .jpg, .webp / 写出叠加图")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Write the scores of the patches, .npy / 写出各图块得分")
    ] = None,
    heat: Annotated[
        bool, typer.Option("--heat", help="Colours of the probabilities instead of darkening / 用颜色表示概率")
    ] = False,
    area: Annotated[
        Area,
        typer.Option("--area", help="Grid over what the model sees, or, as VLE's own code, over all / 网格覆盖的区域"),
    ] = Area.CROP,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Find what a text says in a picture, patch by patch / 在图片中定位文字所描述的内容"""
    if output is not None and output.suffix.lower() not in ENDINGS:
        raise UsageError(f"the output {output} must end in {', '.join(ENDINGS)}")
    if scores is not None and scores.suffix != ".npy":
        raise UsageError(f"the scores {scores} must end in .npy")
    loaded = ready(model, device, dtype, tokenizer, config)
    loaded.need("ground")
    console.header("ground", described(model, loaded), quiet=quiet)
    warn_language(loaded, [text], quiet)
    found = loaded.ground(image, text, area.value)
    if output is not None:
        write_picture(output, found.heat() if heat else found.overlay())
    if scores is not None:
        write_scores(scores, found.scores)
    files = [str(path) for path in (output, scores) if path is not None]
    _show(found, image, text, files, as_json)


def write_picture(path: Path, picture: Image.Image) -> None:
    """The file appears whole; a .jpg loses transparency."""
    from tuwen.checkpoint import replacing

    form = ENDINGS[path.suffix.lower()]
    if form == "JPEG" and picture.mode not in ("RGB", "L"):
        picture = picture.convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        picture.save(temporary, form)


def write_scores(path: Path, scores: Grid) -> None:
    """float32 (rows, columns); the file appears whole."""
    import numpy as np

    from tuwen.checkpoint import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("xb") as file:
        np.save(file, scores)


def _show(found: Grounding, image: Path, text: str, files: list[str], as_json: bool) -> None:
    rows, columns = found.scores.shape
    row, column = divmod(int(found.scores.argmax()), columns)
    box = [round(edge, 1) for edge in found.box(row, column)]
    best: dict[str, Any] = {
        "row": row,
        "column": column,
        "box": box,
        "score": round(float(found.scores[row, column]), 6),
        "probability": round(float(found.probabilities[row, column]), 6),
    }
    if as_json:
        grids = {
            "scores": [[round(float(score), 8) for score in line] for line in found.scores],
            "probabilities": [[round(float(score), 6) for score in line] for line in found.probabilities],
        }
        area = [round(edge, 1) for edge in found.area]
        about = {"image": str(image), "text": text, "area": area, "best": best}
        console.result({**about, "rows": rows, "columns": columns, **grids, "files": files})
        return
    corners = " ".join(f"{edge:g}" for edge in box)
    values = [text, f"{rows} x {columns}", corners, best["score"], f"{best['probability']:.1%}", ", ".join(files)]
    names = ["text", "patches", "best patch, pixels", "score", "probability", "file"]
    console.table(names[: 6 if files else 5], [values[: 6 if files else 5]], ["score", "probability"])
