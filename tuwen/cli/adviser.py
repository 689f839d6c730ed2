"""The options of a language model as adviser, and the adviser they describe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.llm.advise import Adviser
    from tuwen.llm.captions import Captioner
    from tuwen.llm.client import Client
    from tuwen.llm.prompt import Template


class Form(StrEnum):
    """What a language model is asked for."""

    SHORT = "short"
    LONG = "long"
    BOTH = "both"


Llm = Annotated[bool, typer.Option("--llm", help="Let an LLM decide among the answers / 由大语言模型在候选答案中裁决")]
Url = Annotated[
    str | None,
    typer.Option("--llm-url", help="OpenAI-compatible endpoint; or TUWEN_LLM_URL / 兼容 OpenAI 的服务地址"),
]
Key = Annotated[str | None, typer.Option("--llm-key", help="Its key; better TUWEN_LLM_KEY / 密钥，建议用环境变量")]
Name = Annotated[str | None, typer.Option("--llm-model", help="The LLM; or TUWEN_LLM_MODEL / 大语言模型名称")]
Forms = Annotated[Form, typer.Option("--llm-form", help="A letter, a sentence, or both / 短回答、整句回答或两者")]
ShortTemplate = Annotated[
    Path | None, typer.Option("--short-template", help="Your own prompt for the letter / 自定义短回答提示词文件")
]
LongTemplate = Annotated[
    Path | None, typer.Option("--long-template", help="Your own prompt for the sentence / 自定义整句回答提示词文件")
]
Captions = Annotated[
    str,
    typer.Option(
        "--captions",
        metavar="FILE|vision|tags",
        help="A .csv/.tsv/.jsonl of image and caption, a vision LLM, or scored tags / 图片描述的来源",
    ),
]
VisionModel = Annotated[
    str | None, typer.Option("--vision-model", help="For --captions vision; by default the LLM / 看图的模型")
]
TagsModel = Annotated[
    str, typer.Option("--tags-model", metavar="MODEL", help="For --captions tags: two towers / 打标签的双塔模型")
]
TagsFile = Annotated[
    Path | None, typer.Option("--tags", help="For --captions tags: a label per line / 标签文件，每行一个")
]
Parameters = Annotated[
    str, typer.Option("--llm-parameters", help='JSON, e.g. {"temperature": 0, "max_tokens": null} / 请求参数')
]
Timeout = Annotated[float, typer.Option("--llm-timeout", min=0.1, help="Seconds per request / 每次请求的秒数上限")]
Retries = Annotated[int, typer.Option("--llm-retries", min=0, help="Further attempts / 失败后重试次数")]
Concurrency = Annotated[int, typer.Option("--llm-concurrency", min=1, help="Requests at once / 同时请求数")]
Cache = Annotated[
    Path | None, typer.Option("--llm-cache", help="Folder of kept replies; else in ~/.cache / 回复缓存文件夹")
]


@dataclass(frozen=True)
class Asked:
    """What the options say."""

    url: str | None
    key: str | None
    name: str | None
    form: Form
    short_template: Path | None
    long_template: Path | None
    captions: str
    vision_model: str | None
    tags_model: str
    tags: Path | None
    parameters: str
    timeout_s: float
    retries: int
    concurrency: int
    cache: Path | None


@dataclass(frozen=True)
class Ready:
    """An adviser, its connection, the forms it answers in, and what makes its answers what they are."""

    adviser: Adviser
    client: Client
    forms: list[str]
    settings: dict[str, Any]


def prepare(asked: Asked, device: str | None) -> Ready:
    """Check the options, from the cheapest to the dearest, and load what captions need; nothing is sent yet.

    UsageError or InputError for what is missing or contradicts itself, MissingExtra without the openai package.
    """
    from tuwen.llm.endpoint import cache_folder, connect, endpoint

    to = endpoint(
        asked.url,
        asked.key,
        asked.name,
        timeout_s=asked.timeout_s,
        retries=asked.retries,
        concurrency=asked.concurrency,
        parameters=_parameters(asked.parameters),
    )
    templates = _templates(asked)
    client = connect(to, asked.cache or cache_folder())
    caption_of, source = _captions(asked, client, device)
    from tuwen.llm.advise import Adviser

    settings = {
        "llm": to.model,
        "llm url": to.url,
        "llm parameters": dict(to.parameters),
        "templates": {template.form: template.fingerprint for template in templates},
        "captions": source,
    }
    forms = [template.form for template in templates]
    return Ready(Adviser(client, caption_of, templates), client, forms, settings)


def _parameters(given: str) -> dict[str, Any]:
    try:
        parameters = json.loads(given)
    except ValueError:
        parameters = None
    if not isinstance(parameters, dict):
        raise UsageError(f'--llm-parameters is {given!r}: it must be a JSON object such as {{"temperature": 0}}')
    return parameters


def _templates(asked: Asked) -> list[Template]:
    from tuwen.llm.prompt import FORMS, template

    files = {"short": asked.short_template, "long": asked.long_template}
    wanted = FORMS if asked.form is Form.BOTH else (asked.form.value,)
    for form, file in files.items():
        if file is not None and form not in wanted:
            raise UsageError(f"--{form}-template goes with --llm-form {form} or both, not with {asked.form.value}")
    return [template(form, files[form]) for form in wanted]


def _captions(asked: Asked, client: Client, device: str | None) -> tuple[Captioner, dict[str, str]]:
    """The captioner, and what to remember about it."""
    from tuwen.data.table import ENDINGS
    from tuwen.llm import captions

    if asked.captions == "vision":
        return captions.from_vision_model(client, asked.vision_model), {
            "vision": asked.vision_model or client.endpoint.model
        }
    if asked.captions == "tags":
        return _tags(asked, device)
    if not captions.is_caption_file(asked.captions):
        endings = ", ".join(ENDINGS)
        raise UsageError(f"--captions is {asked.captions!r}: it must be vision, tags, or a file ending in {endings}")
    file = Path(asked.captions).expanduser()
    return captions.from_file(file), {"file": str(file.resolve())}


def _tags(asked: Asked, device: str | None) -> tuple[Captioner, dict[str, str]]:
    from tuwen.cli.ready import ready
    from tuwen.data.folder import read_lines
    from tuwen.llm.captions import from_tags
    from tuwen.scenes.words import names

    model = ready(asked.tags_model, device)
    if "classify" not in model.tasks:
        raise UsageError(f"--tags-model {asked.tags_model} cannot score tags: name a two-tower model such as demo")
    language = "en" if "en" in model.languages else "zh"
    labels = list(dict.fromkeys(names(language)))
    if asked.tags is not None:
        labels = list(dict.fromkeys(text for _, text in read_lines(asked.tags)))
        if not labels:
            raise InputError(f"{asked.tags} holds no tags: expected one per line")
    return from_tags(model, labels, language), {"tags by": model.fingerprint, "tags": str(asked.tags or "bundled")}
