"""What is let in and what goes out: origins of writes, JSON for callbacks, headers; no byte of an export unaudited."""

import io
import shutil

import pyarrow.parquet as pq
import pytest
from flask import Flask

from regulars.app.security import Callers, content_security_policy, host_name
from regulars.app.server import create_server
from regulars.app.state import NotAudited, State

CALLBACK = "/_dash-update-component"


@pytest.fixture
def house(tmp_path, synthetic_warehouse):
    shutil.copytree(synthetic_warehouse, tmp_path / "warehouse", ignore=shutil.ignore_patterns("state.sqlite*"))
    return tmp_path / "warehouse"


@pytest.fixture
def own_app(house):
    return create_server(house, threads=1, warm=False)


@pytest.fixture
def signed_in(tmp_path, synthetic_warehouse):
    """A client of an app that people sign in to, sent by its proxy."""
    path = tmp_path / "regulars.toml"
    path.write_text(
        '[orders]\npath = "none"\n[app]\nsign_in = "proxy"\nhosts = ["regulars.example.com"]\n'
        'trusted_proxies = ["127.0.0.1"]\n'
    )
    server = create_server(synthetic_warehouse, settings=path, threads=1, warm=False).server
    client = server.test_client()
    client.environ_base |= {"HTTP_X_FORWARDED_USER": "ann", "HTTP_X_FORWARDED_GROUPS": "admin"}
    return client


# ---------------------------------------------------------------- writes of other sites

OTHERS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost:9999"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://evil.example/localhost"},
    {"Origin": "file://"},
    {"Origin": "null"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
]


@pytest.mark.parametrize("headers", OTHERS, ids=str)
def test_a_write_of_another_site_is_refused_before_it_is_read(client, signed_in, headers):
    for asked in (client, signed_in):
        for path in (CALLBACK, "/upload"):
            assert asked.post(path, json={}, headers=headers).status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}], ids=str)
def test_a_write_of_our_own_page_is_read(client, signed_in, headers):
    for asked in (client, signed_in):
        assert asked.post(CALLBACK, json={}, headers=headers).status_code == 400  # read, and no such callback


def test_without_any_proof_a_write_counts_only_where_nobody_signs_in(client, signed_in):
    assert client.post(CALLBACK, json={}).status_code == 400
    assert signed_in.post(CALLBACK, json={}).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_callback_takes_json_alone(client, kind):
    answer = client.post(CALLBACK, data=b'{"output": "page.children"}', content_type=kind)
    assert answer.status_code == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_do_nothing(client, method):
    for path in ("/", "/rows/customers", CALLBACK):
        assert client.open(path, method=method, headers={"Origin": "http://localhost"}).status_code == 405


# ---------------------------------------------------------------- who is at the other end


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the first is what the client claims
        ("10.0.0.7", "203.0.113.9, 10.0.0.8", "203.0.113.9"),
        ("10.0.0.7", "<script>", "10.0.0.7"),
        ("::1", "203.0.113.9", "::1"),
        ("", "203.0.113.9", ""),
    ],
)
def test_addresses_are_believed_of_trusted_proxies_alone(peer, forwarded, address):
    callers = Callers(["10.0.0.0/24"])
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    with Flask("x").test_request_context("/", headers=headers, environ_base={"REMOTE_ADDR": peer}):
        assert callers.address() == address


def test_https_is_believed_of_trusted_proxies_alone(own_app, signed_in):
    forwarded = {"X-Forwarded-Proto": "https"}
    assert "Strict-Transport-Security" not in own_app.server.test_client().get("/healthz", headers=forwarded).headers
    assert "Strict-Transport-Security" not in signed_in.get("/healthz").headers
    assert signed_in.get("/healthz", headers=forwarded).headers["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.example", "a.example"),
        ("A.example:80", "a.example"),
        ("[::1]:8050", "::1"),
        ("::1", "::1"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_the_name_in_a_host(host, name):
    assert host_name(host) == name


# ---------------------------------------------------------------- headers


def test_every_answer_has_its_headers_signed_in_or_not(signed_in):
    nobody = signed_in.application.test_client()
    for client in (signed_in, nobody):
        for path in ("/", "/customers", "/_dash-layout", "/rows/customers", "/assets/app.css", "/metrics", "/x.php"):
            headers = client.get(path, buffered=True).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert "unsafe" not in headers["Content-Security-Policy"].split("style-src")[0]
            assert "Server" not in headers


def test_what_is_of_a_person_is_kept_by_nobody(signed_in):
    for path in ("/", "/_dash-layout", "/_dash-dependencies", "/rows/customers", "/export/customers.csv"):
        assert signed_in.get(path).headers["Cache-Control"] == "no-store"


def test_a_policy_lets_no_script_in_from_elsewhere():
    policy = content_security_policy(["'sha256-x'", "'sha256-x'"], scripts_from_here=False)
    assert "script-src 'sha256-x';" in policy
    assert "default-src 'none'" in policy


# ---------------------------------------------------------------- exports are audited


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_export_is_on_record_with_its_rows_before_a_byte_leaves(own_app, house, kind):
    client = own_app.server.test_client()
    answer = client.get(f"/export/customers.{kind}?segment=best&sort=-revenue", buffered=False)
    (line,) = State(house).audit_lines()
    assert (line.person, line.action, line.subject) == ("local", "export rows", f"customers.{kind}")
    assert line.details["run"] == "5eed000000000001"
    assert line.details["filter"] == "segment=best&sort=-revenue"
    body = answer.get_data()
    rows = body.count(b"\n") - 1 if kind == "csv" else pq.read_table(io.BytesIO(body)).num_rows
    assert line.details["rows"] == rows > 0


def test_a_report_is_on_record(own_app, house):
    assert own_app.server.test_client().get("/report/overview.html").status_code == 200
    (line,) = State(house).audit_lines()
    assert (line.action, line.subject) == ("export report", "overview")


def test_a_refused_export_is_no_export(own_app, house):
    client = own_app.server.test_client()
    for path in (
        "/export/customers.csv?nonsense=1",
        "/export/customers.xlsx",
        "/export/none.csv",
        "/export/customers.csv?run=no",
    ):
        assert client.get(path).status_code in {400, 404}
    assert State(house).audit_lines() == []


def broken(house) -> None:
    (house / "state.sqlite").write_bytes(b"no database at all" * 200)


def newer(house) -> None:
    import sqlite3

    with sqlite3.connect(house / "state.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def folder(house) -> None:
    (house / "state.sqlite").mkdir()


@pytest.mark.parametrize("spoil", [broken, newer, folder])
@pytest.mark.parametrize("path", ["/export/customers.csv", "/export/customers.parquet", "/report/overview.html"])
def test_what_cannot_be_audited_is_not_exported(own_app, house, spoil, path):
    spoil(house)
    answer = own_app.server.test_client().get(path)
    assert answer.status_code == 503
    assert answer.mimetype == "application/json"
    assert "cannot be audited" in answer.get_json()["error"]
    assert "state.sqlite" in answer.get_json()["error"]
    assert len(answer.data) < 1000
    with pytest.raises(NotAudited):
        State(house).audit("ann", "export", "x")


def test_a_page_says_that_nothing_was_done_without_a_record():
    from regulars.app.components import states

    text = str(
        states.problem(NotAudited("write target list of winback: not done, for it cannot be audited: disk full"))
    )
    assert "Not done" in text
    assert "disk full" in text


def test_looking_needs_no_audit(own_app, house):
    broken(house)
    assert own_app.server.test_client().get("/rows/customers").status_code == 200
