"""`tuwen match`: how likely each text describes each picture."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.language import warn_language
from tuwen.cli.ready import described, ready
from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.data.folder import Failure, PictureFile
    from tuwen.data.rows import Rows
    from tuwen.model import Model

COLUMNS = ["image", "text", "probability"]
KEY = ["image", "text"]
SHOWN = 5  # texts per picture where all of them do not fit the screen


def command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures and folders / 图片和文件夹")],
    text: Annotated[
        list[str] | None, typer.Option("--text", "-t", help="A description; may come again / 描述文字，可重复")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option("--texts", help="File with a text per line / 每行一条描述的文件")
    ] = None,
    model: options.Model = "bridgetower/base-itm-mlm",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a .csv, .jsonl or .parquet / 写入表格文件，可续跑")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin the output anew / 覆盖已有输出，重新开始")
    ] = False,
    memory: Annotated[
        float,
        typer.Option("--memory", min=0, metavar="GB", help="Room for the texts' states, in GB / 文本状态的内存上限"),
    ] = 2.0,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Score how well texts describe pictures; run again to go on / 判断文字与图片是否相符，可续跑"""
    from tuwen.data.rows import Rows, check_ending

    if output is not None:
        check_ending(output)
    asked = read_texts(text, texts)
    root, pictures, failures = gather(images)
    if failures and on_error is options.OnError.FAIL:
        raise InputError(f"{failures[0].id}: {failures[0].reason}")
    loaded = ready(model, device, dtype, tokenizer, config)
    loaded.need("match")
    counts = [console.amount(len(pictures), "picture"), console.amount(len(asked), "text")]
    console.header("match", described(model, loaded), ", ".join(counts), quiet=quiet)
    warn_language(loaded, asked, quiet)
    settings = {"model": model, "fingerprint": loaded.fingerprint, "dtype": dtype, "pictures": root} if output else {}
    with Rows(output, COLUMNS, KEY, settings, overwrite) as rows:
        for failure in failures:
            rows.fail(failure.id, failure.reason)
        _run(loaded, pictures, asked, memory, rows, on_error, quiet)
        rows.finish([(picture.id, one) for picture in pictures for one in asked])
        _show(rows, [picture.id for picture in pictures], asked, output, as_json, quiet)
    console.failures(rows.failures)
    if rows.failures:
        raise typer.Exit(1)


def read_texts(given: Sequence[str] | None, file: Path | None) -> list[str]:
    """Those of the option, then those of the file, each once.

    UsageError where there is none, or an empty one; InputError for a file that is missing or holds none.
    """
    from tuwen.data.folder import read_lines

    found = [text.strip() for text in given or []]
    if not all(found):
        raise UsageError("a text is empty: give --text what the picture may show")
    if file is not None:
        lines = [line for _, line in read_lines(file.expanduser())]
        if not lines:
            raise InputError(f"{file} holds no texts: expected one per line")
        found += lines
    if not found:
        raise UsageError('there is nothing to match with: give a text with --text "...", or a file with --texts')
    return list(dict.fromkeys(found))


def gather(paths: Sequence[Path]) -> tuple[str, list[PictureFile], list[Failure]]:
    """The folder that holds everything, the pictures, each once, named by their paths below it, and what cannot be
    listed. InputError where a path does not exist or there is no picture."""
    from tuwen.data.folder import find

    found = [find(path) for path in paths]
    if not any(part.pictures or part.failures for part in found):
        raise InputError(f"{', '.join(map(str, paths))} {'holds' if len(paths) == 1 else 'hold'} no pictures")
    try:
        root = os.path.commonpath([part.root for part in found])
    except ValueError:  # several drives of Windows
        root = ""
    pictures = {
        picture.source: replace(picture, id=_below(root, part.root, picture.id))
        for part in found
        for picture in part.pictures
    }
    failures = {
        name: replace(failure, id=name)
        for part in found
        for failure in part.failures
        for name in [_below(root, part.root, failure.id)]
    }
    return root, list(pictures.values()), list(failures.values())


def _below(root: str, folder: Path, name: str) -> str:
    return (folder / name).relative_to(root).as_posix() if root else (folder / name).as_posix()


# -- the work ---------------------------------------------------------------------------------------------------------


def _run(
    model: Model,
    pictures: Sequence[PictureFile],
    texts: list[str],
    memory: float,
    rows: Rows,
    on_error: options.OnError,
    quiet: bool,
) -> None:
    """Score what has no row yet, picture by picture; each row is kept at once."""
    from tuwen.tasks.match import match_rows

    left = [(picture, list(_missing(rows, picture, texts))) for picture in pictures]
    left = [(picture, numbers) for picture, numbers in left if numbers]
    total, missing = len(pictures) * len(texts), sum(len(numbers) for _, numbers in left)
    start = time.perf_counter()
    with console.bar(total, " pairs", quiet, done=total - missing) as bar:
        paths = [picture.source for picture, _ in left]
        stream = match_rows(model, paths, texts, lambda number: left[number][1], memory_gb=memory) if left else ()
        for number, scores in stream:
            picture, numbers = left[number]
            if isinstance(scores, InputError):
                if on_error is options.OnError.FAIL:
                    raise scores
                rows.fail(picture.id, str(scores))
                bar.set_postfix(failed=len(rows.failures))
            else:
                for place in numbers:
                    values = [picture.id, texts[place], round(float(scores[place]), 6)]
                    rows.add(dict(zip(COLUMNS, values, strict=True)), _stamp(picture))
            bar.update(len(numbers))
    if rows.failures and not len(rows):
        raise InputError(f"no picture could be read; the first: {rows.failures[0][0]}: {rows.failures[0][1]}")
    if rows.added:
        seconds = time.perf_counter() - start
        console.note(f"{rows.added:,} pairs in {seconds:.1f} s, {rows.added / seconds:.1f}/s", quiet)


def _missing(rows: Rows, picture: PictureFile, texts: Sequence[str]) -> Iterator[int]:
    return (place for place, text in enumerate(texts) if not rows.done((picture.id, text), _stamp(picture)))


def _stamp(picture: PictureFile) -> str:
    """Another one after the picture was changed."""
    return f"{picture.size_bytes}:{picture.modified_ns}"


# -- what is shown ----------------------------------------------------------------------------------------------------


def _show(rows: Rows, pictures: list[str], texts: list[str], output: Path | None, as_json: bool, quiet: bool) -> None:
    failures = [{"id": name, "reason": reason} for name, reason in rows.failures]
    if output is not None:
        summary = {"rows": len(rows), "matched": rows.added, "failed": len(failures), "file": str(output)}
        if as_json:
            console.result({**summary, "failures": failures})
        else:
            console.table(list(summary), [list(summary.values())], ["rows", "matched", "failed"])
            if not rows.added:
                console.note(f"{output} is up to date / 已是最新", quiet)
        return
    found = list(rows.ordered([(name, text) for name in pictures for text in texts]))
    several = len({row["image"] for row in found}) > 1 and len(texts) > 1
    if not several:
        found.sort(key=lambda row: -row["probability"])  # stable
    if as_json:
        console.result({"rows": found, "failures": failures})
    elif several:
        _matrix(found, texts)
    else:
        columns = ["match", *(["image"] if len(texts) == 1 else ["text"])]
        shown = [[f"{row['probability']:.1%}", row[columns[1]]] for row in found]
        console.table(columns, shown, ["match"])


def _matrix(found: list[dict[str, Any]], texts: list[str]) -> None:
    """Pictures down, texts across: under themselves where they fit the screen, else under numbers, else the best."""
    scores: dict[str, list[float]] = {}
    for row in found:
        scores.setdefault(row["image"], []).append(row["probability"])
    names = max(map(console.width, ["image", *scores]))
    numbers = [str(number) for number in range(1, len(texts) + 1)]
    if names + sum(2 + max(6, console.width(text)) for text in texts) <= console.screen():
        headings = texts
    elif names + sum(2 + max(6, len(number)) for number in numbers) <= console.screen():
        headings = numbers
        console.table(["", "text"], list(zip(numbers, texts, strict=True)), [""])
        print()
    else:
        _best(scores, texts)
        return
    rows = [[name, *(f"{score:.1%}" for score in line)] for name, line in scores.items()]
    console.table(["image", *headings], rows, headings)


def _best(scores: dict[str, list[float]], texts: list[str]) -> None:
    """A line for each picture and each of its likeliest texts."""
    rows = []
    for name, line in scores.items():
        best = sorted(range(len(texts)), key=lambda place: -line[place])[:SHOWN]
        rows += [[name, f"{line[place]:.1%}", texts[place]] for place in best]
    console.table(["image", "match", "text"], rows, ["match"])
