"""The final answer: what an LLM said, or the model's own where it said nothing usable; and every row says which."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.llm.server import Reply, Server, Trouble, in_turn, serving
from tuwen.errors import InputError, UsageError
from tuwen.llm.advise import Adviser, Case, advised
from tuwen.llm.client import Client
from tuwen.llm.endpoint import Endpoint
from tuwen.llm.prompt import template


class Scored(NamedTuple):
    text: str
    probability: float


CANDIDATES = [Scored("dog", 0.6), Scored("cat", 0.3), Scored("cow", 0.1)]


def case(number: int = 0, candidates: list[Scored] = CANDIDATES) -> Case[int]:
    return Case(f"{number}.png", f"/pictures/{number}.png", f"what is number {number}?", candidates, number)


def caption(image: str, source: str) -> str:
    return f"a cat, file {image}"


def adviser(client: Client, *forms: str) -> Adviser:
    return Adviser(client, caption, [template(form) for form in forms or ("short", "long")])


def client_of(server: Server, cache: Path | None = None, **limits: Any) -> Client:
    return Client(
        Endpoint(server.url, "tiny", **{"retries": 1, "first_wait_s": 0.01, "timeout_s": 5.0, **limits}), cache
    )


def by_form(short: str | Trouble, long: str | Trouble) -> Reply:
    return lambda request: short if "letter" in request["messages"][0]["content"] else long


@pytest.fixture
def asked() -> Iterator[Any]:
    """asked(reply, case) -> the advice, and the server."""
    contexts = []

    def ask(reply: Reply, about: Case[int], **limits: Any) -> Any:
        context = serving(reply)
        server = context.__enter__()
        client = client_of(server, **limits)
        contexts.append((context, client))
        return adviser(client).advise(about), server

    yield ask
    for context, client in contexts:
        client.close()
        context.__exit__(None, None, None)


def test_the_short_form_gives_a_candidate_and_the_long_one_a_sentence(asked: Any) -> None:
    advice, server = asked(by_form("B", "It is a cat.\n"), case())
    assert advice.answers == {"short": "cat", "long": "It is a cat."}
    assert (advice.caption, advice.status, advice.failed) == ("a cat, file 0.png", "ok", "")
    short, long = server.requests
    assert short["temperature"] == long["temperature"] == 0.7
    assert short["max_tokens"] < long["max_tokens"]
    assert "A. dog (0.60)" in server.prompts()[0]
    assert "- dog (0.60)" in server.prompts()[1]


def test_nonsense_means_the_first_candidate_and_the_row_says_so(asked: Any) -> None:
    advice, _ = asked(by_form("none of\nthem", "A cat."), case())
    assert advice.answers == {"short": "dog", "long": "A cat."}
    assert advice.status == "reply not understood, took the first candidate: none of them"
    assert not advice.failed


def test_without_a_reply_the_models_own_answer_stands_and_the_row_says_so(asked: Any) -> None:
    advice, server = asked(in_turn(Trouble(500, {"error": {"message": "broken"}})), case())
    assert advice.answers == {"short": "dog", "long": "dog"}
    assert "broken" in advice.failed
    assert advice.status.startswith("failed, kept the model's own answer: ")
    assert len(server.requests) == 4  # two forms, two attempts each


def test_one_form_may_fail_alone(asked: Any) -> None:
    advice, _ = asked(by_form("C", Trouble(400, {"error": {"message": "too long"}})), case())
    assert advice.answers == {"short": "cow", "long": "dog"}
    assert "too long" in advice.failed


def test_without_a_caption_nobody_is_asked() -> None:
    def missing(image: str, source: str) -> str:
        raise InputError("captions.csv has no caption for 0.png")

    with serving(in_turn("A")) as server:
        client = client_of(server)
        advice = Adviser(client, missing, [template("short")]).advise(case())
        client.close()
    assert advice.answers == {"short": "dog"}
    assert advice.failed == "no caption (captions.csv has no caption for 0.png)"
    assert not server.requests


def test_an_adviser_needs_candidates_and_a_template() -> None:
    with serving(in_turn("A")) as server:
        client = client_of(server)
        with pytest.raises(UsageError, match="no candidates"):
            adviser(client).advise(case(0, []))
        with pytest.raises(UsageError, match="short, long or both"):
            Adviser(client, caption, [])
        client.close()


def test_many_cases_come_back_in_order_and_are_asked_at_once() -> None:
    def reply(request: dict[str, Any]) -> str:
        number = int(request["messages"][0]["content"].partition("what is number ")[2].partition("?")[0])
        time.sleep(0.03 if number % 2 else 0.06)
        return "ABC"[number % 3]

    with serving(reply) as server:
        client = client_of(server, concurrency=4)
        done = list(advised(adviser(client, "short"), map(case, range(20)), 4))
        client.close()
    assert [about.tag for about, _ in done] == list(range(20))
    assert [advice.answers["short"] for _, advice in done] == [CANDIDATES[number % 3].text for number in range(20)]
    assert server.most_at_once == 4


def test_cases_are_computed_only_a_little_ahead_in_the_callers_thread() -> None:
    computed: list[str] = []

    def cases() -> Iterator[Case[int]]:
        for number in range(100):
            computed.append(threading.current_thread().name)
            yield case(number)

    with serving(in_turn("A")) as server:
        client = client_of(server)
        stream = advised(adviser(client, "short"), cases(), 2)
        next(stream)
        assert len(computed) <= 8
        assert set(computed) == {threading.current_thread().name}
        stream.close()  # type: ignore[attr-defined]  # a generator
        client.close()


def test_a_second_run_asks_only_for_what_failed(tmp_path: Path) -> None:
    broken = True

    def reply(request: dict[str, Any]) -> str | Trouble:
        bad = broken and "number 3" in request["messages"][0]["content"]
        return Trouble(500, {}) if bad else "B"

    with serving(reply) as server:
        client = client_of(server, tmp_path)
        first = [advice for _, advice in advised(adviser(client), map(case, range(6)), 3)]
        client.close()
        assert [bool(advice.failed) for advice in first] == [number == 3 for number in range(6)]
        broken = False
        server.requests.clear()
        client = client_of(server, tmp_path)
        second = [advice for _, advice in advised(adviser(client), map(case, range(6)), 3)]
        client.close()
    assert not any(advice.failed for advice in second)
    assert len(server.requests) == 2
    assert all("number 3" in prompt for prompt in server.prompts())
