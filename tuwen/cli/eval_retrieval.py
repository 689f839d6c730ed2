"""`tuwen eval retrieval`, `topk` and `score`: texts and pictures that find each other, from models or from files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, eval_options, eval_run, options
from tuwen.cli.eval_run import Needs, Outcome, Watch
from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.evaluate.features import Features
    from tuwen.evaluate.scored import Scored
    from tuwen.model import Model


class Protocol(StrEnum):
    """Whose definitions count; original: those of the model's family."""

    OWN = "own"
    ORIGINAL = "original"
    CHINESE_CLIP = "chinese-clip"
    PADDLENLP = "paddlenlp"
    ERNIE = "ernie-vil2"
    BRIVL = "brivl"
    BRIDGETOWER = "bridgetower"


class Format(StrEnum):
    """What to write beside the run."""

    TUWEN = "tuwen"
    ORIGINAL = "original"


class Query(StrEnum):
    """What is asked with."""

    TEXT = "text"
    IMAGE = "image"


class Script(StrEnum):
    """Whose evaluation script."""

    OWN = "own"
    ORIGINAL = "original"
    PADDLENLP = "paddlenlp"


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="A dataset, or a name for the one in --data; with --features a file of texts will do; or "
            "cross_modal_embeddings.out, or a folder of np_img.npy and np_text.npy / 数据集路径或名称，或特征文件",
        ),
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="Name, folder or weight file; several compare / 模型，可多个"
        ),
    ] = None,
    features: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--features",
            metavar="IMAGE TEXT",
            help="Features instead of a model: .npy, .jsonl or folders of tuwen embed / 直接给出图片与文本特征",
        ),
    ] = None,
    data: eval_options.Data = None,
    split: eval_options.Split = "",
    protocol: Annotated[
        Protocol, typer.Option("--protocol", help="Ours, or as an original's script counts / 评测协议")
    ] = Protocol.OWN,
    submit: Annotated[
        Path | None,
        typer.Option("--submit", metavar="FILE", help="Write ten pictures for each text, as JSON lines / 写出提交文件"),
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="original: write every file of the original's scripts, too / 同时写出原版文件"),
    ] = Format.TUWEN,
    batch_size: options.BatchSize = 32,
    source: eval_options.Form = "",
    pictures: eval_options.PictureFolder = None,
    strip_pos: eval_options.StripPos = False,
    first: eval_options.First = None,
    output: eval_options.Output = None,
    skip_existing: eval_options.SkipExisting = False,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Texts find their pictures, pictures their texts / 图文检索评测

    Any number of pictures may belong to a text, and texts to a picture. Features are kept in RUNS/features, so that the
    same model on the same set needs no second pass.
    """
    asked = eval_options.Asked(
        set=name,
        models=model or [],
        data=data,
        split=split,
        form=source,
        pictures=pictures,
        strip_pos=strip_pos,
        first=first,
        output=output,
        skip_existing=skip_existing,
        submit=submit,
        on_error=on_error,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
        settings={} if protocol is Protocol.OWN else {"protocol": protocol.value},
    )
    if form is Format.ORIGINAL and output is None:
        raise UsageError("--format original needs a folder to write into: name it with -o")
    if model is None:
        _from_files(asked, features, protocol, form)
        return
    if features is not None:
        raise UsageError("--features takes the place of a model: leave out one of the two")
    if not name:
        raise UsageError("name the dataset to evaluate on: tuwen eval retrieval SET -m MODEL")

    from tuwen.data.dataset import PAIRS

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import retrieval

        (one,) = models
        rule = retrieval.protocol_of(protocol.value, one.family)
        how = "fail" if watch.on_error is None else "skip"
        image, text = retrieval.encode(one, dataset, rule, asked.features, batch_size, how, watch.advance)
        for failure in image.failures:
            if watch.on_error is not None:
                watch.on_error(failure.id, InputError(failure.reason))
        return _outcome(image, text, dataset, rule, _folder(asked, form, watch.stem))

    given = eval_run.opened(asked)
    if form is Format.ORIGINAL and given.known is not None and given.known.folds:
        raise UsageError(
            f"{given.known.name} is evaluated in parts, for which no files are: leave out --format original"
        )

    def check(models: list[Model], dataset: Dataset) -> None:
        from tuwen.evaluate import retrieval
        from tuwen.evaluate.original import files

        rule = retrieval.protocol_of(protocol.value, models[0].family)
        if form is Format.ORIGINAL:
            files.check(rule)

    needs, both = Needs(PAIRS, "embed", check), lambda of: len(of.pictures) + len(of.texts)
    eval_run.run("retrieval", asked, evaluate, needs, given=given, total=both)


def _folder(asked: eval_options.Asked, form: Format, stem: str) -> Path | None:
    """Where the original's files go: a folder called as the run is, so that no two share one."""
    if form is Format.TUWEN or asked.output is None:
        return None
    return asked.output / "original" / stem


def _outcome(image: Features, text: Features, dataset: Dataset, rule: str, folder: Path | None) -> Outcome:
    from tuwen.evaluate import retrieval
    from tuwen.evaluate.original import files

    scored = retrieval.score(image, text, dataset, rule)
    lines = [] if folder is None else files.write_files(folder, rule, image, text, dataset)[1]

    def submit(path: Path) -> None:
        files.write_predictions(path, image, text)

    return Outcome(scored, submit, (lambda: print("\n".join(lines))) if lines else None)


# -- from files -------------------------------------------------------------------------------------------------------


def _from_files(
    asked: eval_options.Asked, features: tuple[Path, Path] | None, protocol: Protocol, form: Format
) -> None:
    """The same without a model: features that are there already."""
    from tuwen.evaluate import feature_files, retrieval

    rule = protocol.value
    path = Path(asked.set).expanduser()
    if features is None:
        if not asked.set or not feature_files.is_pairs(path):
            raise UsageError("name a model with -m, or features with --features IMAGE TEXT")
        image, text, dataset = feature_files.of_rows(*feature_files.read_pairs(path), path)
        if protocol is Protocol.ORIGINAL:
            rule = retrieval.BRIVL if path.is_dir() else retrieval.ERNIE
    else:
        if protocol is Protocol.ORIGINAL:
            rule = retrieval.CHINESE_CLIP
        read = [feature_files.read(side, what) for side, what in zip(features, ("image", "text"), strict=True)]
        image, text, dataset = _matched(asked, read)
    folder = None
    if form is Format.ORIGINAL:
        from tuwen.evaluate.original import files

        files.check(rule)
        source = (features or (path,))[0].resolve().stem
        folder = _folder(asked, form, f"{eval_run.name_of(asked)}.{rule}.{source}.{_digest(image, text)}")
    outcome = _outcome(image, text, dataset, rule, folder)
    _show_scored(outcome.scored, asked.as_json)
    if rule in (retrieval.ERNIE, retrieval.BRIVL) and not asked.as_json:
        from tuwen.evaluate.original import files

        print("\n".join(files.printed(rule, image, text, dataset)))
    elif outcome.show is not None and not asked.as_json:
        outcome.show()
    if asked.submit is not None and outcome.submit is not None:
        outcome.submit(asked.submit)
        console.note(f"-> {asked.submit}", asked.quiet)


def _digest(image: Features, text: Features) -> str:
    from hashlib import sha256

    digest = sha256()
    for side in (image, text):
        digest.update("\n".join(side.ids).encode())
        digest.update(side.vectors.tobytes())
    return digest.hexdigest()[:8]


def _matched(asked: eval_options.Asked, read: list[Any]) -> tuple[Features, Features, Dataset]:
    from tuwen.evaluate import feature_files

    if not asked.set:
        return feature_files.of_rows(read[0], read[1], Path())
    path = Path(asked.data or asked.set).expanduser()
    alone = path.is_file() and path.suffix == ".jsonl" and not asked.form
    dataset = feature_files.annotated(path, read[0]) if alone else eval_run.opened(asked).dataset
    return (*feature_files.of_dataset(read[0], read[1], dataset), dataset)


def _show_scored(scored: Scored, as_json: bool) -> None:
    if as_json:
        console.result({"figures": scored.figures, "notes": scored.notes})
        return
    rows = [[name, f"{value:g}" if "rank" in name else f"{100 * value:.2f}"] for name, value in scored.figures.items()]
    if rows:
        console.table(["figure", "value"], rows, ["value"])
    for note in scored.notes:
        console.note(f"note / 注意: {note}")


def topk(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Features of pictures: .npy, .jsonl or a folder")],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="Features of texts / 文本特征")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="JSON lines to write / 输出文件")],
    k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many of each query / 每个查询的结果数")] = 10,
    query: Annotated[Query, typer.Option("--query", help="What asks / 用什么检索")] = Query.TEXT,
    quiet: options.Quiet = False,
) -> None:
    """The nearest of each query, exactly, as the original's predictions file / 精确近邻，写成预测文件"""
    from tuwen.evaluate import feature_files
    from tuwen.evaluate.original import topk as script

    found = script.write(output, feature_files.read(image, "image"), feature_files.read(text, "text"), k, query.value)
    console.note(f"-> {output}, {console.amount(len(found), 'query', 'queries')}", quiet)


def score(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="What is right: a file of texts / 标准答案")],
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="JSON lines, best first / 预测文件")],
    output: Annotated[Path | None, typer.Argument(metavar="OUT", help="Score as JSON / 分数文件")] = None,
    script: Annotated[
        Script,
        typer.Option(
            "--protocol", help="original: as Chinese-CLIP's evaluation.py and _tr, errors included / 评测协议"
        ),
    ] = Script.OWN,
    as_json: options.AsJson = False,
) -> None:
    """Recall of a file of predictions, whichever way they go / 计算预测文件的召回率"""
    from tuwen.evaluate import predictions as found
    from tuwen.evaluate.original import evaluation

    if script is Script.OWN:
        scored = found.score(gold, predictions)
        if output is not None:
            evaluation.write_json(output, found.as_json(scored))
        _show_scored(scored, as_json)
        return
    if output is None:
        raise UsageError("the original's script writes a file: tuwen eval score GOLD PREDICTIONS OUT.json")
    whose = "chinese-clip" if script is Script.ORIGINAL else script.value
    query = "text" if evaluation.asks_with_text(gold) else "image"
    print("\n".join(evaluation.evaluate(gold, predictions, output, evaluation.RULES[whose, query])))
