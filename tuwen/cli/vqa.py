"""`tuwen vqa`: questions about one picture or a folder of them, one row per picture and question."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tuwen.cli import adviser, console, options
from tuwen.cli.language import warn_language
from tuwen.cli.ready import described, ready, short
from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.data.folder import Found, PictureFile
    from tuwen.data.questions import Question
    from tuwen.data.rows import Rows
    from tuwen.llm.advise import Advice, Case
    from tuwen.llm.prompt import Candidate
    from tuwen.model import Model
    from tuwen.tasks.answer import Answer

COLUMNS = ["image", "question", "answer", "probability", "candidates"]
KEY = ["image", "question"]
SHOWN_CANDIDATES = 4  # to a language model
ON_SHEET = 20  # pictures down

Todo = list[tuple["PictureFile", list[str]]]
Skip = Callable[["PictureFile", Sequence[str], InputError], None]


class Answered(NamedTuple):
    """A picture, a question, and the model's answers, best first."""

    picture: PictureFile
    question: str
    candidates: list[Answer]


def command(
    pictures: Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder or picture / 图片或文件夹")],
    question: Annotated[
        list[str] | None, typer.Option("-q", "--question", help="A question; may come again / 问题，可重复")
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option("--questions", help=".txt, or .csv/.tsv/.jsonl with question[, image] / 问题文件，可指定图片"),
    ] = None,
    model: options.Model = "vle/base-vqa",
    k: Annotated[int, typer.Option("-k", min=1, help="Candidate answers per question / 每个问题的候选答案数")] = 5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a .csv, .jsonl or .parquet / 写入表格文件，可续跑")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin the output anew / 覆盖已有输出，重新开始")
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", help="Also draw the first pictures with their answers, .png / 同时画出前若干图及其答案"
        ),
    ] = None,
    llm: adviser.Llm = False,
    llm_url: adviser.Url = None,
    llm_key: adviser.Key = None,
    llm_model: adviser.Name = None,
    llm_form: adviser.Forms = adviser.Form.BOTH,
    short_template: adviser.ShortTemplate = None,
    long_template: adviser.LongTemplate = None,
    captions: adviser.Captions = "tags",
    vision_model: adviser.VisionModel = None,
    tags_model: adviser.TagsModel = "demo",
    tags: adviser.TagsFile = None,
    llm_parameters: adviser.Parameters = "{}",
    llm_timeout: adviser.Timeout = 60.0,
    llm_retries: adviser.Retries = 4,
    llm_concurrency: adviser.Concurrency = 4,
    llm_cache: adviser.Cache = None,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="JSON of the answers, for weights that do not name them / 权重没有的答案表"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No header, no progress bar / 不显示标题和进度条")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Ask questions about pictures; run again to go on / 就图片提问，可续跑

    With --llm, a description, the question and the candidates also go to a language model, which decides.
    """
    from tuwen.data.folder import find

    asked = adviser.Asked(
        llm_url,
        llm_key,
        llm_model,
        llm_form,
        short_template,
        long_template,
        captions,
        vision_model,
        tags_model,
        tags,
        llm_parameters,
        llm_timeout,
        llm_retries,
        llm_concurrency,
        llm_cache,
    )
    if output is not None:
        from tuwen.data.rows import check_ending

        check_ending(output)
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UsageError(f"the sheet {sheet} must end in .png")
    entries, failed = _questions(question, questions)
    found = find(pictures)
    todo, more = _plan(found, entries)
    failed += more
    if failed and on_error is options.OnError.FAIL:
        raise InputError(f"{failed[0][0]}: {failed[0][1]}")
    advice = adviser.prepare(asked, device) if llm else None
    loaded = ready(model, device, dtype, tokenizer, config, answers)
    loaded.need("answer")
    counts = [console.amount(len(todo), "picture"), console.amount(sum(len(texts) for _, texts in todo), "question")]
    llm_name = f"LLM {advice.client.endpoint.model}" if advice else ""
    console.header("vqa", described(model, loaded), ", ".join(counts), llm_name, quiet=quiet)
    warn_language(loaded, list(dict.fromkeys(entry.text for entry in entries)), quiet)
    # The fingerprint, not the name: the same model may be called by its name here and by its folder there.
    settings = {"model": loaded.fingerprint, "dtype": dtype, "candidates": k}
    settings |= {"pictures": str(found.root), **(advice.settings if advice else {})}
    extra = ["caption", *(f"{form}_answer" for form in advice.forms), "llm"] if advice else []
    from tuwen.data.rows import Rows

    with Rows(output, [*COLUMNS, *extra], KEY, settings, overwrite) as rows:
        for name, reason in failed:
            rows.fail(name, reason)
        _run(loaded, todo, k, rows, advice, on_error, quiet)
        order = [(picture.id, text) for picture, texts in todo for text in texts]
        rows.finish(order)
        _show(rows, order, output, extra, as_json, quiet)
        if sheet is not None:
            _draw(sheet, rows, todo, model, quiet)
    console.failures(rows.failures)
    if rows.failures:
        raise typer.Exit(1)


def _questions(given: list[str] | None, file: Path | None) -> tuple[list[Question], list[tuple[str, str]]]:
    """Those of the option, then those of the file; and the file's bad rows."""
    from tuwen.data.questions import Question, read_questions

    entries = [Question(text.strip()) for text in given or []]
    if any(not entry.text for entry in entries):
        raise UsageError("a question is empty: give a text to -q")
    if file is not None:
        read, failures = read_questions(file)
        return entries + read, [(failure.id, failure.reason) for failure in failures]
    if not entries:
        raise UsageError('there is nothing to ask: give a question with -q "...", or a file with --questions')
    return entries, []


def _plan(found: Found, entries: list[Question]) -> tuple[Todo, list[tuple[str, str]]]:
    """Who is asked what; and what cannot be asked."""
    from tuwen.data.questions import pair_up

    if not found.pictures and not found.failures:
        raise InputError(f"{found.root} holds no pictures")
    todo, lost = pair_up(found.pictures, entries)
    return todo, [(failure.id, failure.reason) for failure in [*found.failures, *lost]]


# -- the work ---------------------------------------------------------------------------------------------------------


def _run(
    model: Model,
    todo: Todo,
    k: int,
    rows: Rows,
    advice: adviser.Ready | None,
    on_error: options.OnError,
    quiet: bool,
) -> None:
    """Answer what has no row yet, and keep each row as soon as it is complete."""
    missing = [
        (picture, [text for text in texts if not rows.done((picture.id, text), _stamp(picture))])
        for picture, texts in todo
    ]
    missing = [(picture, texts) for picture, texts in missing if texts]
    total, left = (sum(len(texts) for _, texts in part) for part in (todo, missing))
    start = time.perf_counter()
    with console.bar(total, " rows", quiet, done=total - left) as bar:

        def skip(picture: PictureFile, texts: Sequence[str], error: InputError) -> None:
            if on_error is options.OnError.FAIL:
                raise error
            rows.fail(picture.id, str(error))
            bar.update(len(texts))
            bar.set_postfix(failed=len(rows.failures))

        # Closed at once when something stops the loop: requests that wait must not outlive it.
        with closing(_advised(_answers(model, missing, k, skip), advice)) as stream:
            for answered, said in stream:
                _keep(rows, answered, said)
                bar.update(1)
                if said is not None and said.failed:
                    bar.set_postfix(failed=len(rows.failures))
    if rows.failures and not len(rows):
        raise InputError(f"no question could be answered; the first: {rows.failures[0][1]}")
    if rows.added:
        seconds = time.perf_counter() - start
        console.note(f"{rows.added:,} answered in {seconds:.1f} s, {rows.added / seconds:.1f}/s", quiet)


def _answers(model: Model, todo: Todo, k: int, skip: Skip) -> Iterator[Answered]:
    """Picture by picture, every picture and every question encoded once; `skip` is told of what cannot be read."""
    from tuwen.tasks.answer import answer_rows

    if not todo:
        return
    places = {text: place for place, text in enumerate(dict.fromkeys(text for _, texts in todo for text in texts))}

    def wanted(number: int) -> list[int]:
        return [places[text] for text in todo[number][1]]

    for number, found in answer_rows(model, [picture.source for picture, _ in todo], list(places), k, wanted):
        picture, texts = todo[number]
        if isinstance(found, InputError):
            skip(picture, texts, found)
            continue
        for text in texts:
            yield Answered(picture, text, found[places[text]])


def _advised(
    answers: Iterator[Answered], advice: adviser.Ready | None
) -> Generator[tuple[Answered, Advice | None], None, None]:
    if advice is None:
        for answered in answers:
            yield answered, None
        return
    from tuwen.llm.advise import Case, advised

    def case(answered: Answered) -> Case[Answered]:
        shown: Sequence[Candidate] = answered.candidates[:SHOWN_CANDIDATES]
        return Case(answered.picture.id, answered.picture.source, answered.question, shown, answered)

    try:
        for done, said in advised(advice.adviser, map(case, answers), advice.client.endpoint.concurrency):
            yield done.tag, said
    finally:
        advice.client.close()


def _keep(rows: Rows, answered: Answered, said: Advice | None) -> None:
    picture, question, candidates = answered
    listed = [{"text": candidate.text, "probability": round(candidate.probability, 6)} for candidate in candidates]
    values = [picture.id, question, listed[0]["text"], listed[0]["probability"], listed]
    if said is not None:
        values += [said.caption, *said.answers.values(), said.status]
        if said.failed:
            rows.fail(f"{picture.id}, {question}", said.failed)
    again = said is not None and bool(said.failed)
    rows.add(dict(zip(rows.columns, values, strict=True)), _stamp(picture), again)


def _stamp(picture: PictureFile) -> str:
    """Another one after the picture was changed."""
    return f"{picture.size_bytes}:{picture.modified_ns}"


# -- what is shown ----------------------------------------------------------------------------------------------------


def _show(
    rows: Rows, order: Sequence[tuple[str, str]], output: Path | None, extra: list[str], as_json: bool, quiet: bool
) -> None:
    failures = [{"id": name, "reason": reason} for name, reason in rows.failures]
    if output is not None:
        summary = {"rows": len(rows), "answered": rows.added, "failed": len(failures), "file": str(output)}
        if as_json:
            console.result({**summary, "failures": failures})
        else:
            console.table(list(summary), [list(summary.values())], ["rows", "answered", "failed"])
            if not rows.added:
                console.note(f"{output} is up to date / 已是最新", quiet)
    elif as_json:
        console.result({"rows": list(rows.ordered(order)), "failures": failures})
    else:
        columns = ["image", "question", "answer", "probability", *extra[1:]]
        shown = [[_cell(row[name]) for name in columns] for row in rows.ordered(order)]
        console.table(columns, shown, ["probability"])


def _cell(value: Any) -> str:
    return f"{value:.1%}" if isinstance(value, float) else str(value)


def _draw(path: Path, rows: Rows, todo: Todo, name: str, quiet: bool) -> None:
    """The first pictures that have answers, each with its questions; bars show how likely the answers are."""
    from tuwen.search.answer_sheet import Asked, Questioned, write_answers
    from tuwen.tasks.answer import Answer

    sources = {picture.id: picture.source for picture, _ in todo}
    asked: dict[str, list[Asked]] = {}
    for row in rows.ordered([(picture.id, text) for picture, texts in todo for text in texts]):
        if row["image"] not in sources or (row["image"] not in asked and len(asked) == ON_SHEET):
            continue
        candidates = [Answer(candidate["text"], candidate["probability"]) for candidate in row["candidates"]]
        asked.setdefault(row["image"], []).append(Asked(row["question"], candidates))
    pictures = [Questioned(sources[image], questions) for image, questions in asked.items()]
    shown = f"中的 {len(pictures):,} 张" if len(pictures) < len(todo) else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_answers(path, pictures, "tuwen 图文 · 就图片提问", f"{len(todo):,} 张图片{shown}，模型 {short(name)}")
    console.note(f"sheet of {console.amount(len(pictures), 'picture')} / 答案图: {path}", quiet)
