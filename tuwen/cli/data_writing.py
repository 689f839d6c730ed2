"""`tuwen data convert` and `tuwen data build`: datasets written in other formats, and what the original tools make."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import console, options
from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tqdm import tqdm

    from tuwen.data.dataset import Dataset
    from tuwen.data.options import Options, Writing

# format -> endings of a target that is one file and not a folder
ONE_FILE = {"arrow": {".arrow"}, "webdataset": {".tar"}, "parquet": {".parquet"}, "table": {".csv", ".tsv", ".jsonl"}}

Form = Annotated[
    str, typer.Option("--from", metavar="FORMAT", help="Its format, else told by looking / 数据集格式，默认自动识别")
]
PictureFolder = Annotated[
    Path | None, typer.Option("--pictures", help="Folder that picture names begin at / 图片路径的起点")
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="OURS=THEIRS", help="Name of a column, e.g. text=caption / 列名对应关系"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there / 覆盖已有文件")]


def reading_options(pictures: Path | None, columns: list[str] | None) -> Options:
    """Options for a reader. UsageError for a column without =."""
    from tuwen.data.options import Options

    pairs = dict(pair.partition("=")[::2] for pair in columns or [])
    if not all(pairs.values()):
        raise UsageError("--column takes OURS=THEIRS, e.g. --column text=caption")
    return Options(columns=pairs, pictures=pictures)


# -- convert ----------------------------------------------------------------------------------------------------------


def convert(
    source: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset in any format / 任意格式的数据集")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="File or folder to write / 输出文件或文件夹")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="The format to write / 输出格式")],
    split: Annotated[str, typer.Option("--split", help="Only this split, by default all / 只转换这个划分")] = "",
    called: Annotated[str, typer.Option("--as", help="Name of the split that is written / 输出的划分名")] = "",
    parts: Annotated[str, typer.Option("--parts", help="Share it out: train=0.8,valid=0.2 / 按比例划分")] = "",
    seed: Annotated[int, typer.Option("--seed", help="Of --parts / 划分的随机种子")] = 0,
    jpeg: Annotated[
        int,
        typer.Option(
            "--jpeg", min=0, max=100, help="Write pictures as JPEG of this quality, e.g. 95 / 重新编码为 JPEG"
        ),
    ] = 0,
    strip_pos: Annotated[
        bool, typer.Option("--strip-pos", help='Without parts of speech ("男人/n 骑/v") / 去掉词性标注')
    ] = False,
    shard_rows: Annotated[
        int, typer.Option("--shard-rows", min=1, help="Samples per tar or Parquet file / 每个分片的样本数")
    ] = 10_000,
    form: Form = "",
    pictures: PictureFolder = None,
    columns: Columns = None,
    label_file: Annotated[
        Path | None, typer.Option("--label-file", help="Names of classes, or labels of answers / 标签文件")
    ] = None,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    overwrite: Overwrite = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a dataset in another format; stopped, run it again to go on / 转换格式，中断后重新运行即可继续

    Memory stays small whatever its size. What is written appears whole at the end, equal to that of a run that was
    never stopped. Pictures keep their bytes, but with --jpeg.
    """
    from dataclasses import replace

    from tuwen.data.formats import check_can_hold, write

    given = replace(reading_options(pictures, columns), jpeg=jpeg, shard_rows=shard_rows, label_file=label_file)
    several = not split and len(_splits(source, form)) > 1
    if called and (parts or several):
        raise UsageError("--as names one split: choose it with --split, and leave out --parts")
    failed: list[tuple[str, str]] = []
    done = []
    datasets = _datasets(source, split, form, given, parts, seed, strip_pos)
    _check_target(target, to, [dataset.split for dataset, _ in datasets])
    for dataset, made in datasets:
        check_can_hold(dataset, to)
        _check_rows(dataset, on_error)
        console.header("data convert", f"{source} {dataset.split}".strip(), f"{to} {target}", quiet=quiet)
        failed += [(failure.id, failure.reason) for failure in dataset.failures]
        with _bar(dataset, quiet) as bar:
            writing = _writing(bar, on_error, overwrite)
            write(dataset, target, to, called or dataset.split, replace(given, made=made), writing)
        failed += [(failure.id, failure.reason) for failure in writing.failures]
        for note in writing.notes:
            console.note(note, quiet)
        done.append([called or dataset.split or "-", dataset.format, to, len(dataset.pictures), len(dataset.texts)])
    _report(target, done, failed, as_json)


def _splits(source: Path, form: str) -> list[str]:
    from tuwen.data.formats import splits

    return splits(source, form)


def _datasets(
    source: Path, split: str, form: str, given: Options, parts: str, seed: int, strip_pos: bool
) -> list[tuple[Dataset, str]]:
    """(dataset, how it was made of the files) for everything that is to be written."""
    from tuwen.data.formats import open_dataset
    from tuwen.data.views import shares, untagged

    names = [split] if split else _splits(source, form) or [""]
    found = [open_dataset(source, name, form, given) for name in names]
    made = "untagged " if strip_pos else ""
    if strip_pos:
        found = [untagged(dataset) for dataset in found]
    if not parts:
        return [(dataset, made) for dataset in found]
    if len(found) != 1:
        raise UsageError(f"--parts shares out one split: choose one of {', '.join(names)} with --split")
    shared = shares(found[0], _shares(parts), seed)
    return [(dataset, f"{made}{parts} {seed} {name}") for name, dataset in shared.items()]


def _check_target(target: Path, to: str, splits: list[str]) -> None:
    """UsageError where several splits are to go into one file."""
    ending = target.suffix.lower()
    if len(splits) > 1 and not target.is_dir() and ending and (to == "ernie-tsv" or ending in ONE_FILE.get(to, ())):
        names = ", ".join(splits)
        raise UsageError(f"{target} is one file for the splits {names}: name a folder, or one of them with --split")


def _shares(parts: str) -> dict[str, float]:
    try:
        return {name: float(share) for name, _, share in (part.strip().partition("=") for part in parts.split(","))}
    except ValueError:
        raise UsageError(f"--parts is {parts!r}, expected e.g. train=0.8,valid=0.2") from None


def _check_rows(dataset: Dataset, on_error: options.OnError) -> None:
    if dataset.failures and on_error is options.OnError.FAIL:
        first = dataset.failures[0]
        raise InputError(f"{first.id}: {first.reason}")


def _bar(dataset: Dataset, quiet: bool) -> tqdm[object]:
    return console.bar(len(dataset.pictures) + len(dataset.texts), " rows", quiet)


def _writing(bar: tqdm[object], on_error: options.OnError, overwrite: bool) -> Writing:
    from tuwen.data.options import Writing
    from tuwen.processing.jpeg import as_jpeg

    def expect(total: int, done: int) -> None:
        bar.reset(total)
        bar.update(done)

    def advance(count: int) -> None:
        bar.update(count)

    return Writing(advance, expect, on_error.value, overwrite, as_jpeg)


def _report(target: Path, done: list[list[object]], failed: list[tuple[str, str]], as_json: bool) -> None:
    columns = ["split", "from", "to", "pictures", "texts"]
    if as_json:
        rows = [dict(zip(columns, row, strict=True)) for row in done]
        failures = [{"id": name, "reason": reason} for name, reason in failed]
        console.result({"target": str(target), "splits": rows, "failures": failures})
    else:
        console.table(columns, done, ["pictures", "texts"])
    console.failures(failed)
    if failed:
        raise typer.Exit(1)


# -- build ------------------------------------------------------------------------------------------------------------


class Built(StrEnum):
    """What to build."""

    LMDB = "lmdb"
    INVERTED = "tr"
    # Arrow tables, see data/building.py
    COCO_KARPATHY = "coco-karpathy"
    F30K_KARPATHY = "f30k-karpathy"
    CONCEPTUAL_CAPTIONS = "conceptual-captions"
    SBU = "sbu"
    VG = "vg"
    VQA = "vqa"
    VQA_FIX = "vqa-fix"
    VGQA_SPLIT = "vgqa-split"
    VGQA = "vgqa"
    VGQA_COCO = "vgqa-coco"
    NLVR2 = "nlvr2"
    SNLI = "snli"


class Style(StrEnum):
    """Whose counts and lines."""

    TUWEN = "tuwen"
    ORIGINAL = "original"


def build(
    source: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder of raw files, for tr a SPLIT_texts.jsonl / 原始文件")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="By default where the original writes / 默认与原版相同")
    ] = None,
    to: Annotated[
        Built,
        typer.Option(
            "--to",
            help="lmdb: build_lmdb_dataset.py; tr: transform_ir_annotation_to_tr.py; others: Arrow tables "
            "/ 构建 LMDB、反向标注或 Arrow 表",
        ),
    ] = Built.LMDB,
    splits: Annotated[
        str, typer.Option("--splits", help="e.g. train,valid,test; by default all / 划分，默认全部")
    ] = "",
    style: Annotated[
        Style, typer.Option("--format", help="original: its counts, its lines on stdout / 与原版完全一致")
    ] = Style.TUWEN,
    pictures: PictureFolder = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Draw the order of a table's rows / 随机打乱表的行序")
    ] = None,
    visual_genome: Annotated[
        Path | None, typer.Option("--visual-genome", help="Its folder, for vgqa: by default ../vg / VG 文件夹")
    ] = None,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    overwrite: Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Build what the original tools build from published files / 从公开的原始文件构建原版工具的产物

    lmdb goes to DATA/lmdb. With --format original every line counts as a picture, also one whose id came before,
    databases that are there are written over with their other keys kept, and the first bad line stops it.

    The others are the data scripts of BridgeTower and VLE: Arrow tables in DATA/arrow, whose rows keep the order of the
    published files. vqa counts people's answers as they wrote them, as VLE does, vqa-fix by their normal form.
    """
    if to not in (Built.LMDB, Built.INVERTED):
        from tuwen.cli import data_tables

        if splits or style is Style.ORIGINAL:
            raise UsageError(f"--splits and --format are for lmdb and tr: {to} writes all tables, as the original does")
        with console.bar(0, " rows", quiet) as bar:
            writing = _writing(bar, on_error, overwrite)
            given = reading_options(pictures, None)
            built = data_tables.build(to.value, source, output, given, writing, seed, visual_genome)
        data_tables.show(built, writing, quiet)
        return
    if pictures or visual_genome or seed is not None:
        raise UsageError(f"--pictures, --visual-genome and --seed are for Arrow tables: {to} has no use for them")
    if to is Built.INVERTED:
        _invert(source, output, style, quiet)
        return
    from tuwen.data import chinese_clip
    from tuwen.data.formats import module

    module("chinese-clip-lmdb")  # tells which package is missing
    known = chinese_clip.splits(source)
    if not known:
        raise InputError(
            f"{source} has no SPLIT_imgs.tsv with a SPLIT_texts.jsonl beside it: there is nothing to build"
        )
    names = [name.strip() for name in splits.split(",")] if splits else known
    target = output or source / "lmdb"
    if style is Style.ORIGINAL:
        _build_original(source, target, names, on_error, quiet)
        return
    failed: list[tuple[str, str]] = []
    done = []
    for name in names:
        dataset = _open_raw(source, name)
        _check_rows(dataset, on_error)
        with _bar(dataset, quiet) as bar:
            writing = _writing(bar, on_error, overwrite)
            module("chinese-clip-lmdb").write(dataset, target, name, reading_options(None, None), writing)
        failed += [(failure.id, failure.reason) for failure in (*dataset.failures, *writing.failures)]
        done.append([name, dataset.format, "chinese-clip-lmdb", len(dataset.pictures), len(dataset.texts)])
    _report(target, done, failed, False)


def _open_raw(source: Path, split: str) -> Dataset:
    from tuwen.data.formats import open_dataset

    return open_dataset(source, split, "chinese-clip")


def _build_original(source: Path, target: Path, names: list[str], on_error: options.OnError, quiet: bool) -> None:
    from tuwen.data.lmdb_building import build_original

    for name in names:
        with console.bar(0, "B", quiet) as bar:
            bar.unit_scale = True
            lines = build_original(source, target, name, _writing(bar, on_error, True))
        for line in lines:
            print(line)
    print("done!")


def _invert(source: Path, output: Path | None, style: Style, quiet: bool) -> None:
    from tuwen.data.inverting import invert

    target, count = invert(source, output)
    if style is Style.TUWEN:
        console.note(f"{console.amount(count, 'picture')} -> {target}", quiet)
