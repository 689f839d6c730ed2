"""`tuwen search`: find pictures or texts in an embedded folder, and let a second model order what was found."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.language import warn_language
from tuwen.cli.ready import described, ready, short
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from tuwen.data.embedded import Embedded
    from tuwen.errors import InputError
    from tuwen.model import Model
    from tuwen.search.gallery import Answer, Hit

DEPTH = 100  # results that are reranked
ON_SHEET = 6  # pictures across


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
    reranker: Annotated[
        str | None,
        typer.Option("--rerank", metavar="MODEL", help="Order what was found by this model's match / 用匹配模型重排"),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", min=1, help="How many are reranked, by default 100 or -k / 参与重排的结果数，默认 100"),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page of the results / 同时写出网页")] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", help="Also write a contact sheet, .png; of --rerank before and after / 同时写出图表"),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Instead of the one OUT names / 代替该文件夹记录的模型")
    ] = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Search an embedded folder by text, picture or both / 在已嵌入的文件夹中用文字、图片或两者搜索"""
    _check(query, image, what, reranker, depth, sheet)
    from tuwen.data.embedded import open_embedded
    from tuwen.search.gallery import Answer, check_fingerprint, nearest, part_of

    embedded = open_embedded(folder)
    kind = what.value if what else "image" if embedded.images or reranker else "text"
    count = len(part_of(embedded, kind).rows)
    again = embedded.manifest["model"]
    loaded = _load(embedded, model, device)
    check_fingerprint(embedded, loaded.fingerprint)
    judge = None if reranker is None else ready(reranker, device)
    if judge is not None:
        judge.need("match")
    looked = console.amount(count, "picture" if kind == "image" else "text")
    second = f"reranked by {described(reranker, judge)}" if reranker and judge else ""
    console.header("search", described(model or again["name"], loaded), looked, second, quiet=quiet)
    found = (depth or max(DEPTH, k)) if judge else k
    (hits,) = nearest(embedded, _features(loaded, query, image), found, kind)
    answer = Answer(query or "", hits, str(image) if image else "")
    failed: list[tuple[str, str]] = []
    if judge is not None:
        answer, failed = _rerank(judge, answer, quiet)
    best = replace(answer, hits=answer.hits[:k])
    if as_json:
        _print_json(best, query, failed if judge else None)
    else:
        _print(best, kind)
    zh, en = _about(count, kind, str(again["name"]), reranker, len(hits))
    if html is not None:
        from tuwen.search.page import write_page

        html.parent.mkdir(parents=True, exist_ok=True)
        write_page(html, [best], zh, en)
        console.note(f"page / 网页: {html}", quiet)
    if sheet is not None:
        _draw(sheet, answer, min(k, ON_SHEET), zh)
        console.note(f"contact sheet / 缩略图表: {sheet}", quiet)
    console.failures(failed)
    if failed:
        raise typer.Exit(1)


def _check(
    query: str | None,
    image: Path | None,
    what: options.What | None,
    reranker: str | None,
    depth: int | None,
    sheet: Path | None,
) -> None:
    """UsageError for options that contradict each other."""
    asks = bool(query and query.strip())
    if image is None and not asks:
        raise UsageError("there is nothing to look for: give a text, or a picture with --image")
    if what is options.What.BOTH:
        raise UsageError("--what is both: search one kind at a time, image or text")
    if reranker is not None and not asks:
        raise UsageError("--rerank asks whether a text describes a picture: give a text to look for")
    if reranker is not None and what is options.What.TEXT:
        raise UsageError("--rerank asks whether a text describes a picture: search pictures, with --what image")
    if depth is not None and reranker is None:
        raise UsageError("--depth says how many results are reranked: give --rerank MODEL, or -k for more results")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UsageError(f"the sheet {sheet} must end in .png")


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


def _rerank(judge: Model, answer: Answer, quiet: bool) -> tuple[Answer, list[tuple[str, str]]]:
    """The hits in their new order, and those whose pictures cannot be read any more."""
    from tuwen.search.rerank import rerank

    warn_language(judge, [answer.query], quiet)
    failed: list[tuple[str, str]] = []
    with console.bar(len(answer.hits), " pictures", quiet) as bar:

        def skip(hit: Hit, error: InputError) -> None:
            failed.append((hit.id, str(error)))
            bar.set_postfix(failed=len(failed))

        (ordered,) = rerank(judge, [answer], len(answer.hits), skip, lambda: bar.update(1))
    return ordered, failed


# -- what is shown ----------------------------------------------------------------------------------------------------


def _print_json(answer: Answer, query: str | None, failed: list[tuple[str, str]] | None) -> None:
    """Fields that say nothing are left out; of reranked hits `match` is always there, null where it is not known."""
    rows = []
    for hit in answer.hits:
        kept = {key: value for key, value in asdict(hit).items() if value not in ("", None)}
        rows.append(kept if failed is None else {**kept, "match": hit.match})
    data: dict[str, Any] = {"query": query, "image": answer.image or None, "hits": rows}
    if failed is not None:
        data["failures"] = [{"id": name, "reason": reason} for name, reason in failed]
    console.result(data)


def _print(answer: Answer, kind: str) -> None:
    if answer.reranked:
        lines = [
            [hit.rank, hit.moved, "-" if hit.match is None else f"{hit.match:.1%}", f"{hit.score:.4f}", hit.id]
            for hit in answer.hits
        ]
        console.table(["rank", "moved", "match", "cosine", "picture"], lines, ["rank", "match", "cosine"])
        return
    columns = ["rank", "score", "picture"] if kind == "image" else ["rank", "score", "id", "text"]
    rows = [[hit.rank, f"{hit.score:.4f}", hit.id] + ([hit.text] if hit.text else []) for hit in answer.hits]
    console.table(columns, rows, ["rank", "score"])


def _about(count: int, kind: str, name: str, reranker: str | None, depth: int) -> tuple[str, str]:
    """What was searched and by which models, in Chinese and in English."""
    zh = f"在 {count:,} {'张图片' if kind == 'image' else '条文本'}中精确检索，模型 {short(name)}"
    en = f"Exact search over {console.amount(count, 'picture' if kind == 'image' else 'text')}, model {short(name)}"
    if reranker is not None:
        zh += f"；前 {depth:,} 张由 {short(reranker)} 重排"
        en += f"; the first {depth:,} reranked by {short(reranker)}"
    return zh, en


def _draw(path: Path, answer: Answer, columns: int, subtitle: str) -> None:
    from tuwen.search.sheet import write_before_after, write_sheet

    path.parent.mkdir(parents=True, exist_ok=True)
    if answer.reranked:
        write_before_after(path, [answer], columns, "tuwen 图文 · 重排前后", subtitle)
    else:
        write_sheet(path, [replace(answer, hits=answer.hits[:columns])], "tuwen 图文 · 检索", subtitle)
