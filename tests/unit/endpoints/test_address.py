"""Where a server is, and its key."""

import pickle

import pytest

from pytest_modellab.endpoints.address import Address, base_url
from pytest_modellab.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        ("https://api.example.com/openai/v1", "https://api.example.com/openai/v1"),
        (" https://[::1]:80 ", "https://[::1]:80"),
    ],
)
def test_a_base_url_has_no_slash_at_its_end(text: str, url: str) -> None:
    assert base_url(text) == url


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://me:hunter2@host/v1", "a user's name or a password"),
        ("https://host/v1?key=hunter2", "a query"),
        ("https://host/v1#hunter2", "a query"),
        ("host/v1", "'host/v1' is none"),
        ("ftp://host/v1", "'ftp://host/v1' is none"),
        ("http:///v1", "is none"),
        ("http://host:99999/v1", "the declared one is none"),
        ("http://host/v 1", "a character that no URL has"),
        ("http://hôst/v1", "a character that no URL has"),
        ("http://h/v1/chat/completions", "give the base URL before it: http://h/v1"),
    ],
)
def test_other_urls_are_refused_without_their_secrets(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        base_url(text)
    assert str(caught.value).startswith("url: ")
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_key_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    address = Address("http://h:1/v1", "m", key_env="THE_KEY")
    with pytest.raises(ConfigError, match="variable THE_KEY is not set; set it to the key of h:1"):
        address.key()
    monkeypatch.setenv("THE_KEY", "sk-0123456789abcdef\n")
    key = address.key()
    assert repr(key) == "Key((key))"
    assert key.taken_out([b"a", "is sk-0123456789abcdef"], shown=True) == [b"a", "is (key)"]
    with pytest.raises(TypeError, match="a key is not pickled"):
        pickle.dumps(key)
    assert "sk-0123" not in repr(address)
    assert b"sk-0123" not in pickle.dumps(address)
    monkeypatch.setenv("THE_KEY", "sk-1 sk-2")
    with pytest.raises(ConfigError, match="holds a blank, a line end or a character") as caught:
        address.key()
    assert "sk-1" not in str(caught.value)
    assert repr(Address("http://h/v1", "m").key()) == "Key()"


@pytest.mark.parametrize(
    ("url", "root"),
    [("http://h/v1", "http://h"), ("http://h/a/v1", "http://h/a"), ("http://h",) * 2],
)
def test_a_servers_own_routes_lie_beside_v1(url: str, root: str) -> None:
    assert Address(url, "m").root == root
