"""Tokens from the command line, and where the read API refuses to be served."""

import json

import pytest
from typer.testing import CliRunner

from regulars.app.api_server import serve_api
from regulars.app.cli import cli
from regulars.app.tokens import Tokens
from regulars.sql.errors import SettingsError


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, ["token", *words])
    assert done.exit_code == code, done.output
    return done.stdout


def test_a_token_is_made_listed_and_closed(tmp_path):
    where = ("-w", str(tmp_path))
    text = run("create", "night job", *where).strip()
    assert Tokens(tmp_path).check(text).name == "night job"
    told = json.loads(run("create", "web", "--expires", "2999-12-31", "--json", *where))
    assert (told["scope"], Tokens(tmp_path).check(told["token"]).name) == ("read", "web")
    listed = run("list", *where)
    assert text.rpartition("_")[2] not in listed
    assert "night job" in listed
    run("revoke", "night job", *where)
    assert Tokens(tmp_path).check(text) is None
    states = {token["name"]: token["state"] for token in json.loads(run("list", "--json", *where))["tokens"]}
    assert states == {"night job": "revoked", "web": "valid"}
    for words in (("create", "web"), ("create", "x", "--expires", "soon"), ("revoke", "nobody"), ("create", "<b>")):
        run(*words, *where, code=2)


def test_other_machines_are_served_with_tokens_alone(tmp_path):
    with pytest.raises(SettingsError, match="nobody has a token yet"):
        serve_api(tmp_path, "0.0.0.0")
    Tokens(tmp_path).create("t", "ann")
    with pytest.raises(SettingsError, match="open_api = true answers without a token"):
        serve_api(tmp_path, "0.0.0.0", open_api=True)


def test_a_port_in_use_says_so(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} of 127.0.0.1 cannot be used"):
            serve_api(tmp_path, port=port)
