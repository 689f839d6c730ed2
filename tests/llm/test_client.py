"""A client against a real server that answers, fails, is slow, is busy, or talks nonsense."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.llm.server import Reply, Server, Trouble, completion, in_turn, serving
from tuwen.llm.client import GIVE_UP_AFTER, Client, retry_after
from tuwen.llm.endpoint import Endpoint, NoReply

KEY = "sk-very-secret"


@contextmanager
def asking(reply: Reply, cache: Path | None = None, **limits: Any) -> Iterator[tuple[Client, Server]]:
    with serving(reply) as server:
        settings = {"timeout_s": 5.0, "retries": 2, "first_wait_s": 0.01, **limits}
        client = Client(Endpoint(server.url, "tiny", KEY, **settings), cache)
        try:
            yield client, server
        finally:
            client.close()


def question(text: str = "why?") -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_the_reply_of_the_model_comes_back() -> None:
    with asking(lambda request: f"about {request['messages'][0]['content']}") as (client, server):
        assert client.ask(question("猫"), temperature=0.7, max_tokens=16) == "about 猫"
    assert server.requests == [
        {"model": "tiny", "messages": question("猫"), "temperature": 0.7, "max_tokens": 16},
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_parameters_of_the_endpoint_come_before_the_defaults() -> None:
    with asking(lambda _: "A", parameters={"max_tokens": None, "top_k": 1, "temperature": 0}) as (client, server):
        client.ask(question(), temperature=0.7, max_tokens=16)
    assert {"top_k", "temperature"} <= server.requests[0].keys()
    assert server.requests[0]["temperature"] == 0
    assert "max_tokens" not in server.requests[0]


def test_nothing_of_an_account_at_openai_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "private-key")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "private-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "private-organization")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "private-project")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: private-header")
    with asking(lambda _: "A") as (client, server):
        client.ask(question())
    assert "private" not in str(server.headers)


PASSING = [
    Trouble(500, {"error": {"message": "out of memory"}}),
    Trouble(503, "down", {"Content-Type": "text/html"}),
    Trouble(408, {}),
    Trouble(429, {"error": {"message": "slow down"}}),
    Trouble(200, '{"choices": [{"mess'),
    Trouble(200, "<html>", {"Content-Type": "text/html"}),
    Trouble(200, {"choices": []}),
    Trouble(200, {}),
    Trouble(200, [1]),
    Trouble(200, completion(None)),
    Trouble(200, completion("  \n")),
]


@pytest.mark.parametrize("trouble", PASSING, ids=lambda trouble: f"{trouble.status} {trouble.body}"[:40])
def test_what_may_pass_is_tried_again(trouble: Trouble) -> None:
    with asking(in_turn(trouble, trouble, "B")) as (client, server):
        assert client.ask(question()) == "B"
    assert len(server.requests) == 3
    with asking(in_turn(trouble)) as (client, server), pytest.raises(NoReply, match=r"the LLM at 127\.0\.0\.1:\d+ "):
        client.ask(question())
    assert len(server.requests) == 3


def test_a_slow_answer_is_not_waited_for() -> None:
    with asking(in_turn(Trouble(delay_s=2.0), "B"), timeout_s=0.2) as (client, _):
        start = time.monotonic()
        assert client.ask(question()) == "B"
        assert time.monotonic() - start < 1.5
    with (
        asking(in_turn(Trouble(delay_s=1.0)), timeout_s=0.1, retries=0) as (client, _server),
        pytest.raises(NoReply, match=r"did not answer within 0\.1 s"),
    ):
        client.ask(question())


def test_a_server_that_is_not_there_is_named() -> None:
    with serving(lambda _: "A") as server:
        url = server.url
    client = Client(Endpoint(url, "tiny", retries=1, first_wait_s=0.01))
    with pytest.raises(NoReply, match="cannot be reached"):
        client.ask(question())
    client.close()


@pytest.mark.parametrize("headers", [{"Retry-After": "0.4"}, {"retry-after-ms": "400"}])
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(headers: dict[str, str]) -> None:
    with asking(in_turn(Trouble(429, {}, headers), "B")) as (client, server):
        assert client.ask(question()) == "B"
    assert server.arrived[1] - server.arrived[0] >= 0.4


def test_what_a_server_asks_of_one_holds_for_all_threads() -> None:
    busy = Trouble(429, {}, {"Retry-After": "0.4"})
    with asking(in_turn(busy, "B")) as (client, server), ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.ask, question("1"))
        while not server.requests:
            time.sleep(0.005)
        time.sleep(0.1)
        second = pool.submit(client.ask, question("2"))
        assert (first.result(), second.result()) == ("B", "B")
    assert min(server.arrived[1:]) - server.arrived[0] >= 0.4


def test_a_server_that_asks_for_an_hour_is_not_waited_for() -> None:
    busy = Trouble(429, {"error": {"message": "quota"}}, {"Retry-After": "3600"})
    with asking(in_turn(busy)) as (client, server), pytest.raises(NoReply, match=r"quota.*wait for 3600 s"):
        client.ask(question())
    assert len(server.requests) == 1


def test_the_time_to_wait_is_read_in_every_form() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    assert 45 < (retry_after({"retry-after": date}) or 0) <= 50
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "soon"}) is retry_after({}) is None


@pytest.mark.parametrize(
    ("status", "said"), [(401, "check the key"), (403, "check the key"), (404, "the model 'tiny'")]
)
def test_a_wrong_key_or_model_ends_the_asking(status: int, said: str) -> None:
    with asking(in_turn(Trouble(status, {"error": {"message": f"wrong: {KEY}"}}))) as (client, server):
        with pytest.raises(NoReply, match=said) as caught:
            client.ask(question("1"))
        with pytest.raises(NoReply, match="nothing more is sent") as again:
            client.ask(question("2"))
    assert len(server.requests) == 1
    assert KEY not in str(caught.value) + str(again.value)


def test_a_request_that_is_refused_alone_leaves_the_others() -> None:
    with asking(in_turn(Trouble(400, {"error": {"message": "too long"}}), "B")) as (client, _server):
        with pytest.raises(NoReply, match=r"answered 400 \(too long\)"):
            client.ask(question("1"))
        assert client.ask(question("2")) == "B"


def test_a_redirect_is_not_followed() -> None:
    with serving(lambda _: "A") as elsewhere:
        moved = Trouble(307, "", {"Location": f"{elsewhere.url}/chat/completions"})
        with asking(in_turn(moved)) as (client, _), pytest.raises(NoReply, match="307"):
            client.ask(question())
    assert not elsewhere.requests


def test_a_server_that_is_gone_is_given_up() -> None:
    with asking(in_turn(Trouble(500, {})), retries=0) as (client, server):
        for number in range(GIVE_UP_AFTER + 3):
            with pytest.raises(NoReply):
                client.ask(question(str(number)))
    assert len(server.requests) == GIVE_UP_AFTER


def test_reasoning_before_the_reply_is_left_out() -> None:
    with asking(in_turn("<think>A dog? No.</think>\n\nC")) as (client, _):
        assert client.ask(question()) == "C"
    cut = Trouble(body=completion("<think>A dog? No. But", "length"))
    with asking(in_turn(cut)) as (client, server), pytest.raises(NoReply, match="max_tokens"):
        client.ask(question())
    assert len(server.requests) == 1


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    def slowly(request: dict[str, Any]) -> str:
        time.sleep(0.05)
        return "A"

    with asking(slowly, concurrency=3) as (client, server), ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: client.ask(question(str(number))), range(24)))
    assert server.most_at_once == 3
    assert len(server.requests) == 24


def test_what_was_asked_before_is_not_asked_again(tmp_path: Path) -> None:
    with serving(lambda request: f"reply to {request['messages'][0]['content']}") as server:
        for _ in range(2):
            client = Client(Endpoint(server.url, "tiny", KEY), tmp_path / "cache")
            assert client.ask(question("1"), temperature=0.7) == "reply to 1"
            client.close()
        assert len(server.requests) == 1
        client = Client(Endpoint(server.url, "tiny", KEY), tmp_path / "cache")
        client.ask(question("2"), temperature=0.7)
        client.ask(question("1"), temperature=0)
        client.ask(question("1"), "another", temperature=0.7)
        client.close()
    assert len(server.requests) == 4
    kept = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "cache").rglob("*.json"))
    assert "reply to 1" in kept
    assert KEY not in kept


def test_a_damaged_reply_is_asked_for_again(tmp_path: Path) -> None:
    with asking(lambda _: "A", tmp_path) as (client, server):
        client.ask(question())
        (kept,) = tmp_path.rglob("*.json")
        kept.write_text('{"reply": ', encoding="utf-8")
        assert client.ask(question()) == "A"
    assert len(server.requests) == 2


def test_failures_are_not_kept(tmp_path: Path) -> None:
    with asking(in_turn(Trouble(400, {}), "A"), tmp_path) as (client, _):
        with pytest.raises(NoReply):
            client.ask(question())
        assert client.ask(question()) == "A"


def test_the_same_question_at_the_same_time_is_sent_once(tmp_path: Path) -> None:
    def slowly(request: dict[str, Any]) -> str:
        time.sleep(0.1)
        return "A"

    with asking(slowly, tmp_path) as (client, server), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: client.ask(question()), range(4))) == ["A"] * 4
    assert len(server.requests) == 1


def test_closing_wakes_up_who_waits() -> None:
    with asking(in_turn(Trouble(429, {}, {"Retry-After": "60"}))) as (client, _server):
        timer = threading.Timer(0.2, client.close)
        timer.start()
        start = time.monotonic()
        with pytest.raises(NoReply, match="stopped"):
            client.ask(question())
        assert time.monotonic() - start < 5
        timer.join()
