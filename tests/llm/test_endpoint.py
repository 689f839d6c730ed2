"""Where an LLM is asked: nowhere unless a URL is given, and a key reaches only the server it is for."""

from __future__ import annotations

import sys

import pytest

from tuwen.errors import MissingExtra, UsageError
from tuwen.llm.endpoint import Endpoint, connect, endpoint


def test_without_a_url_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
    with pytest.raises(UsageError, match="pass --llm-url or set TUWEN_LLM_URL"):
        endpoint(model="tiny")


def test_options_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUWEN_LLM_URL", "http://localhost:1/v1")
    monkeypatch.setenv("TUWEN_LLM_KEY", "of-the-environment")
    monkeypatch.setenv("TUWEN_LLM_MODEL", "tiny")
    assert endpoint() == Endpoint("http://localhost:1/v1", "tiny", "of-the-environment")
    assert endpoint("http://localhost:2/v1", "mine", "large").key == "mine"
    assert endpoint("http://localhost:2/v1", model="large").model == "large"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.openai.com/v1", "sk-openai"),
        ("https://gateway.example/v1/", "sk-openai"),
        ("https://other.example/v1", ""),
        ("http://api.openai.com/v1", ""),
        ("https://api.openai.com.example/v1", ""),
    ],
)
def test_the_key_for_openai_goes_to_no_other_server(url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert endpoint(url, model="tiny").key == key


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(endpoint("http://localhost:1/v1", "secret", "tiny"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "localhost:8000"}, "must be such as http"),
        ({"url": "ftp://localhost/v1"}, "must be such as http"),
        ({"url": "https://me:secret@localhost/v1"}, "holds a password"),
        ({"model": ""}, "no LLM is named"),
        ({"key": "a b"}, "characters that no key has"),
        ({"key": "密钥"}, "characters that no key has"),
        ({"timeout_s": 0}, "timeout above 0"),
        ({"concurrency": 0}, "1 or more requests"),
    ],
)
def test_a_wrong_setting_is_one_sentence_without_the_key(wrong: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"url": "http://localhost:1/v1", "model": "tiny", "key": "k", **wrong}
    with pytest.raises(UsageError, match=said) as caught:
        endpoint(**given)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tuwen.llm.client", raising=False)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tuwen\[llm\]'"):
        connect(Endpoint("http://localhost:1/v1", "tiny"))
