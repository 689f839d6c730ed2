"""`tuwen search`: find pictures or texts in an embedded folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import console, options
from tuwen.cli.ready import described, ready
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from tuwen.data.embedded import Embedded
    from tuwen.model import Model


def command(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that `tuwen embed` wrote / 已嵌入的文件夹")],
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="What to look for / 查询文字")] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", help="Search by a picture, alone or with the text / 以图搜图，可与文字同用"),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many results / 结果数")] = 20,
    what: Annotated[
        options.What | None, typer.Option("--what", help="Search pictures or texts: image, text / 搜图片或文本")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page of the results / 同时写出网页")] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Instead of the one OUT names / 代替该文件夹记录的模型")
    ] = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Search an embedded folder by text, picture or both / 在已嵌入的文件夹中用文字、图片或两者搜索"""
    if image is None and not (query and query.strip()):
        raise UsageError("there is nothing to look for: give a text, or a picture with --image")
    if what is options.What.BOTH:
        raise UsageError("--what is both: search one kind at a time, image or text")
    from tuwen.data.embedded import open_embedded
    from tuwen.search.gallery import Answer, check_fingerprint, nearest, part_of

    embedded = open_embedded(folder)
    kind = what.value if what else "image" if embedded.images else "text"
    count = len(part_of(embedded, kind).rows)
    again = embedded.manifest["model"]
    loaded = _load(embedded, model, device)
    check_fingerprint(embedded, loaded.fingerprint)
    looked = console.amount(count, "picture" if kind == "image" else "text")
    console.header("search", described(model or again["name"], loaded), looked, quiet=quiet)
    (hits,) = nearest(embedded, _features(loaded, query, image), k, kind)
    answer = Answer(query or "", hits, str(image) if image else "")
    if as_json:
        rows = [{key: value for key, value in asdict(hit).items() if value not in ("", None)} for hit in hits]
        console.result({"query": query, "image": answer.image or None, "hits": rows})
    else:
        columns = ["rank", "score", "picture"] if kind == "image" else ["rank", "score", "id", "text"]
        lines = [[hit.rank, f"{hit.score:.4f}", hit.id] + ([hit.text] if hit.text else []) for hit in hits]
        console.table(columns, lines, ["rank", "score"])
    if html is not None:
        _write(html, answer, count, str(again["name"]), kind)
        console.note(f"page / 网页: {html}", quiet)


def _load(embedded: Embedded, model: str | None, device: str | None) -> Model:
    if model is not None:
        return ready(model, device, embedded.manifest["model"].get("dtype", "float32"))
    again = embedded.manifest["model"]
    paths = {key: Path(again[key]) for key in ("tokenizer", "config") if key in again}
    return ready(again["name"], device, again.get("dtype", "float32"), **paths)


def _features(model: Model, query: str | None, image: Path | None) -> Tensor:
    """(1, E), unit length: of the text, of the picture, or half way between the two."""
    from tuwen.nn.heads import unit

    parts = []
    if query and query.strip():
        parts.append(model.encode_text([query]))
    if image is not None:
        parts.append(model.encode_image([image]))
    return unit(sum(parts[1:], start=parts[0]))


def _write(path: Path, answer: object, count: int, name: str, kind: str) -> None:
    from tuwen.search.gallery import Answer
    from tuwen.search.page import write_page

    assert isinstance(answer, Answer)
    path.parent.mkdir(parents=True, exist_ok=True)
    zh = f"在 {count:,} {'张图片' if kind == 'image' else '条文本'}中精确检索，模型 {name}"
    en = f"Exact search over {console.amount(count, 'picture' if kind == 'image' else 'text')}, model {name}"
    write_page(path, [answer], zh, en)
