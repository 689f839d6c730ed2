"""VQA + LLM: description, question and a model's candidates go to a language model, which gives the final answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from tuwen.errors import TuwenError, UsageError
from tuwen.llm.captions import Captioner, once
from tuwen.llm.prompt import Candidate, Template, read_letter

# The published demo's temperature; a letter needs few tokens, but some models begin with a word or two.
TEMPERATURE = 0.7
TOKENS = {"short": 16, "long": 200}
AHEAD = 4  # questions per thread that may wait: what a run that is killed has to ask again at most

Tag = TypeVar("Tag")


class Asks(Protocol):
    """What a language model is asked through."""

    def ask(self, messages: Sequence[dict[str, Any]], model: str | None = None, **defaults: Any) -> str: ...


@dataclass(frozen=True)
class Case(Generic[Tag]):
    """A question about a picture (id and path) with the model's answers, best first, at least one; tag: the asker's."""

    image: str
    source: str
    question: str
    candidates: Sequence[Candidate]
    tag: Tag


@dataclass(frozen=True)
class Advice:
    """What the language model made of a case.

    answers: form -> final answer; where a form got no reply, the model's own best answer.
    failed: why there is no reply, "" if there is; misread: a short reply that names no candidate, so that the first one
    was taken.
    """

    caption: str
    answers: dict[str, str] = field(default_factory=dict)
    failed: str = ""
    misread: str = ""

    @property
    def status(self) -> str:
        """For a table: "ok", or what was wrong and what stands instead."""
        if self.failed:
            return f"failed, kept the model's own answer: {self.failed}"
        if self.misread:
            return f"reply not understood, took the first candidate: {self.misread}"
        return "ok"


class Adviser:
    """Asks for the final answer to one case at a time, from any thread. templates: one for each form that is wanted."""

    def __init__(self, client: Asks, caption_of: Captioner, templates: Sequence[Template]) -> None:
        if not templates:
            raise UsageError("an adviser needs a template: short, long or both")
        self.client = client
        self.caption_of = once(caption_of)
        self.templates = {template.form: template for template in templates}

    def advise(self, case: Case[Any]) -> Advice:
        """Never raises for what goes wrong outside: the advice says so and holds the model's own answer."""
        if not case.candidates:
            raise UsageError(f"there are no candidates for {case.question!r}: an adviser needs at least one")
        own = case.candidates[0].text
        answers = dict.fromkeys(self.templates, own)
        try:
            caption = self.caption_of(case.image, case.source)
        except TuwenError as error:
            return Advice("", answers, f"no caption ({error})")
        misread = failed = ""
        for form, template in self.templates.items():
            prompt = template.fill(caption, case.question, case.candidates)
            try:
                reply = self._ask(prompt, form)
            except TuwenError as error:
                failed = str(error)
                continue
            if form == "short":
                place = read_letter(reply, len(case.candidates))
                misread = "" if place is not None else " ".join(reply.split())[:80]
                answers[form] = case.candidates[place or 0].text
            else:
                answers[form] = " ".join(reply.split())
        return Advice(caption, answers, failed, misread)

    def _ask(self, prompt: str, form: str) -> str:
        message = {"role": "user", "content": prompt}
        return self.client.ask([message], temperature=TEMPERATURE, max_tokens=TOKENS[form])


def advised(adviser: Adviser, cases: Iterable[Case[Tag]], concurrency: int = 4) -> Iterator[tuple[Case[Tag], Advice]]:
    """Each case with its advice, in order, while up to `concurrency` of them are asked about at once.

    `cases` is read only a little ahead, in the caller's thread: a model that computes them there works meanwhile.
    """
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="tuwen-llm")
    waiting: deque[tuple[Case[Tag], Future[Advice]]] = deque()
    coming = iter(cases)
    try:
        while True:
            for case in islice(coming, concurrency * AHEAD - len(waiting)):
                waiting.append((case, pool.submit(adviser.advise, case)))
            if not waiting:
                return
            case, future = waiting.popleft()
            yield case, future.result()
    finally:  # also when the caller stops early
        pool.shutdown(wait=False, cancel_futures=True)
