"""Nobody gets past the sign-in: by password or by a proxy's header, with cookies that cannot be made or stolen."""

import re
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from html import unescape
from http.client import HTTPConnection
from urllib.parse import parse_qs, urlsplit

import pytest
from itsdangerous import TimestampSigner

from regulars.app import sign_in
from regulars.app.server import create_server, serve, served
from regulars.app.throttle import WINDOW_SECONDS, Throttle
from regulars.app.users import UsersFile
from regulars.sql.errors import SettingsError

SECRET = "k7Qe2Zr9Tw4Yb6Uc1Xp8Vs3Md5Lf0Hj-aN"
PASSWORD = "correct horse battery"
PEOPLE = {"vera": "viewer", "ann": "analyst", "Adam": "admin"}
HOST = "regulars.example.com"


@pytest.fixture(scope="session")
def users_text(tmp_path_factory) -> str:
    """A users file; each hash takes a tenth of a second."""
    file = UsersFile(tmp_path_factory.mktemp("users") / "users.toml")
    for name, role in PEOPLE.items():
        file.add(name, role, PASSWORD)
    return file.path.read_text()


@pytest.fixture
def folder(tmp_path, users_text, synthetic_warehouse, monkeypatch):
    monkeypatch.setenv("REGULARS_APP__SECRET", SECRET)
    file = tmp_path / "users.toml"
    file.write_text(users_text)
    file.chmod(0o600)
    # a warehouse of its own, for the audit is written into it
    shutil.copytree(synthetic_warehouse, tmp_path / "warehouse", ignore=shutil.ignore_patterns("state.sqlite*"))
    return tmp_path


@pytest.fixture
def make(folder):
    def make_(sign_in: str = "basic", more: str = ""):
        path = folder / "regulars.toml"
        path.write_text(f'[orders]\npath = "none"\n[app]\nsign_in = "{sign_in}"\nhosts = ["{HOST}"]\n{more}')
        return create_server(folder / "warehouse", settings=path, threads=1, warm=False)

    return make_


@pytest.fixture
def app(make):
    return make()


def form(client, at: str = "/sign-in", url: str = "http://localhost") -> dict[str, str]:
    """The hidden fields of the sign-in page."""
    page = client.get(at, base_url=url).get_data(as_text=True)
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)}


def enter(client, name: str, password: str = PASSWORD, at: str = "/sign-in"):
    return client.post("/sign-in", data={**form(client, at), "name": name, "password": password})


def flipped(text: str) -> str:
    """A text with another character in its middle."""
    middle = len(text) // 2
    return f"{text[:middle]}{'A' if text[middle] != 'A' else 'B'}{text[middle + 1 :]}"


def cookie(client, name: str = "regulars_session", domain: str = "localhost"):
    return client.get_cookie(name, domain=domain)


# ---------------------------------------------------------------- nothing without it


@pytest.mark.parametrize("way", ["basic", "proxy", "oidc"])
def test_every_route_but_health_asks_who_it_is(make, way):
    more = {
        "proxy": 'trusted_proxies = ["10.0.0.1"]\n',
        "oidc": '[app.oidc]\nissuer = "https://login.example.com"\nclient_id = "regulars"\n',
    }
    server = make(way, more.get(way, "")).server
    client = server.test_client()
    signing_in = {"sign_in", "sign_in_with", "signed_in", "sign_out", "health"}
    seen = 0
    for rule in server.url_map.iter_rules():
        if rule.endpoint in signing_in:
            continue
        path = rule.build(dict.fromkeys(rule.arguments, "x"), append_unknown=False)[1]
        for method in rule.methods - {"OPTIONS"}:
            headers = {"Origin": "http://localhost"} if method == "POST" else {}
            forwarded = {"X-Forwarded-For": "203.0.113.9"}  # /metrics opens to programs on this machine
            answer = client.open(
                path, method=method, headers={**headers, **forwarded}, json={} if method == "POST" else None
            )
            leads = answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in")
            assert leads or answer.status_code == 401, (path, method, answer.status_code)
            assert leads <= (way != "proxy" and rule.endpoint in {"/", "/<path:path>"})
            assert b"customer" not in answer.data.replace(b"/customers", b"")
            seen += 1
    assert seen > 20
    assert client.get("/healthz").status_code == 200


def test_assets_and_answers_of_the_app_are_not_for_who_is_not_signed_in(app):
    client = app.server.test_client()
    for path in ("/assets/app.css", "/_dash-layout", "/_dash-dependencies", "/rows/customers", "/export/customers.csv"):
        assert client.get(path).status_code == 401
    answer = client.post("/_dash-update-component", json={}, headers={"Origin": "http://localhost"})
    assert answer.status_code == 401
    assert answer.get_json() == {"error": "nobody is signed in; sign in at /sign-in"}


def test_health_says_less_to_who_is_not_signed_in(app, folder):
    shutil.rmtree(folder / "warehouse")
    answer = app.server.test_client().get("/healthz")
    assert answer.get_json() == {"status": "no snapshot"}


# ---------------------------------------------------------------- by password


def test_the_page_that_was_asked_for_opens_after_the_sign_in(app, folder):
    client = app.server.test_client()
    asked = client.get("/customers?segment=best&sort=-revenue")
    assert asked.status_code == 303
    assert parse_qs(urlsplit(asked.headers["Location"]).query)["next"] == ["/customers?segment=best&sort=-revenue"]
    entered = enter(client, "ANN", at=asked.headers["Location"])
    assert entered.status_code == 303
    assert entered.headers["Location"] == "/customers?segment=best&sort=-revenue"
    layout = client.get("/_dash-layout").get_data(as_text=True)
    assert '"ann"' in layout
    assert "Analyst" in layout
    assert client.get("/rows/customers").status_code == 200
    assert client.get("/sign-in").status_code == 303  # signed in already
    told = [(line.person, line.action) for line in app.server.extensions["regulars"].state.audit_lines()]
    assert told == [("ann", "sign in")]


@pytest.mark.parametrize(
    "leads_to",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/sign-out",
        "/" + "a" * 3000,
        "/\x00",
    ],
)
def test_a_sign_in_leads_nowhere_else(app, leads_to):
    client = app.server.test_client()
    fields = form(client)
    answer = client.post("/sign-in", data={**fields, "next": leads_to, "name": "ann", "password": PASSWORD})
    assert answer.headers["Location"] == "/"


def test_the_sign_in_page_is_whole_in_itself(app):
    answer = app.server.test_client().get("/sign-in?next=/customers%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    text = answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/=]+'", policy["script-src"])
    assert policy["form-action"] == "'self'"
    assert "<script>alert" not in text
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', text) == []
    assert (
        re.findall(r"https?://(?!www\.w3\.org)\S+", text.replace('"https:"', "").replace("https:// address", "")) == []
    )


@pytest.mark.parametrize(("host", "secure"), [("localhost", False), (HOST, True)])
def test_the_cookie_is_closed_to_scripts_sites_and_wires(app, host, secure):
    client = app.server.test_client()
    # the test client keeps no secure cookie of http, as no browser does
    url = f"{'https' if secure else 'http'}://{host}"
    answer = client.post("/sign-in", data={**form(client, url=url), "name": "ann", "password": PASSWORD}, base_url=url)
    assert answer.status_code == 303
    said = next(value for name, value in answer.headers if name == "Set-Cookie" and "_session=" in value)
    assert said.startswith("__Host-regulars_session=" if secure else "regulars_session=")
    assert "HttpOnly" in said
    assert "SameSite=Lax" in said
    assert "Path=/" in said
    assert "Domain" not in said
    assert ("Secure" in said) == secure
    assert "Max-Age=43200" in said


def test_forged_tampered_foreign_and_old_cookies_count_for_nothing(app, make, monkeypatch):
    client = app.server.test_client()
    enter(client, "Adam")
    good = cookie(client).value
    assert client.get("/rows/customers").status_code == 200
    payload, stamp, signature = good.split(".")[-3:]
    from regulars.app.sessions import Sessions

    other = Sessions("another" + SECRET, 12).issue("Adam", "basic", None, "x")
    right_key_wrong_proof = Sessions(SECRET, 12).issue("Adam", "basic", None, "x")
    right_key_other_way = Sessions(SECRET, 12).issue("Adam", "oidc", "admin", "x")
    for forged in (
        "", "x", "..", "null", good[:-1], good + "x", f"{payload}.{stamp}.", f"{flipped(payload)}.{stamp}.{signature}",
        f"{payload}.{flipped(stamp)}.{signature}", other, right_key_wrong_proof, right_key_other_way, "Ω", "a" * 4000,
    ):  # fmt: skip
        client.set_cookie("regulars_session", forged)
        assert client.get("/rows/customers").status_code == 401, forged
    client.set_cookie("regulars_session", good)
    assert client.get("/rows/customers").status_code == 200
    later = TimestampSigner.get_timestamp
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: later(self) + 12 * 3600 + 2)
    assert client.get("/rows/customers").status_code == 401


def test_a_sign_out_ends_the_session_for_every_holder_of_its_cookie(app, make):
    client = app.server.test_client()
    enter(client, "ann")
    stolen = cookie(client).value
    layout = client.get("/_dash-layout").get_json()
    (token,) = re.findall(r'"value": ?"([0-9a-f]{64})"', str(layout).replace("'", '"'))
    refused = client.post("/sign-out", data={"token": "0" * 64})
    assert refused.status_code == 403
    assert client.get("/rows/customers").status_code == 200
    answer = client.post("/sign-out", data={"token": token})
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/sign-in"
    assert cookie(client) is None
    for again in (app, make()):  # and after a restart
        thief = again.server.test_client()
        thief.set_cookie("regulars_session", stolen)
        assert thief.get("/rows/customers").status_code == 401


def test_a_new_password_another_role_or_no_line_take_effect_at_once(app, folder):
    client = app.server.test_client()
    enter(client, "ann")
    file = UsersFile(folder / "users.toml")
    original = file.path.read_text()
    file.path.write_text(original.replace('role = "analyst"', 'role = "viewer"'))
    assert "Viewer" in client.get("/_dash-layout").get_data(as_text=True)
    file.remove("ann")
    assert client.get("/rows/customers").status_code == 401
    file.path.write_text(original)
    assert client.get("/rows/customers").status_code == 200
    file.add("ann", "analyst", "another horse battery", replace=True)
    assert client.get("/rows/customers").status_code == 401


def test_wrong_passwords_are_refused_alike_and_slowed_down(app):
    client = app.server.test_client()
    answers = [enter(client, name, "wrong wrong wrong") for name in ("ann", "nobody", "Ann", "ann ", "ann", "ann")]
    assert [answer.status_code for answer in answers] == [401] * 6
    text = {re.sub(r'value="[^"]*"', "", answer.get_data(as_text=True)) for answer in answers}
    assert len(text) == 1  # nothing tells a name that exists
    slowed = enter(client, "ann")
    assert slowed.status_code == 429
    assert 0 < int(slowed.headers["Retry-After"]) <= WINDOW_SECONDS + 1
    assert "Too many wrong passwords" in slowed.get_data(as_text=True)
    assert enter(client, "Adam").status_code == 303  # others go on


def test_what_is_typed_as_a_name_is_not_logged_where_nobody_is_called_that(app, caplog):
    enter(app.server.test_client(), "my secret password", "x")
    assert "my secret password" not in caplog.text
    assert "an unknown name" in caplog.text


def test_a_throttle_counts_right_ones_not_and_forgets():
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(30):
        assert throttle.attempt({"ann": 2}) == 0
        throttle.forgive("ann")
    assert [throttle.attempt({"ann": 2, "here": 3}) for _ in range(3)] == [0, 0, WINDOW_SECONDS]
    assert [throttle.attempt({"bob": 2, "here": 3}) for _ in range(2)] == [0, WINDOW_SECONDS]
    now[0] = WINDOW_SECONDS
    assert throttle.attempt({"ann": 2, "here": 3}) == 0
    for name in range(30_000):
        throttle.attempt({name: 2})
    assert len(throttle._attempts) == 10_000


def test_a_form_of_another_page_signs_nobody_in(app):
    client, other = app.server.test_client(), app.server.test_client()
    data = {**form(other), "name": "ann", "password": PASSWORD}
    assert client.post("/sign-in", data=data).status_code == 400  # no cookie
    form(client)
    assert client.post("/sign-in", data=data).status_code == 400  # another page's token
    assert client.post("/sign-in", data={**data, "token": ""}).status_code == 400
    assert cookie(client) is None
    headers = {"Origin": "https://evil.example"}
    assert client.post("/sign-in", data={**form(client), "name": "ann"}, headers=headers).status_code == 403


def test_two_pages_that_are_open_do_not_spoil_each_other(app):
    client = app.server.test_client()
    first, second = form(client), form(client)
    assert first == second
    assert client.post("/sign-in", data={**first, "name": "ann", "password": PASSWORD}).status_code == 303
    assert cookie(client, "regulars_form") is None  # used up: the next one is another
    assert form(app.server.test_client()) != first


@pytest.mark.parametrize("body", [b"\xff" * 100, b"name=ann&name=bob", b"name=" + b"a" * 100_000, b"=&&=;"])
def test_a_form_of_nonsense_signs_nobody_in(app, body):
    client = app.server.test_client()
    form(client)
    answer = client.post("/sign-in", data=body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 400


# ---------------------------------------------------------------- by a proxy's header

PROXY = 'trusted_proxies = ["10.0.0.0/24"]\n[app.proxy]\nroles = { crm = "analyst", ops = "admin", shop = "viewer" }\n'


def through(app, name: str | None, groups: str = "", address: str = "10.0.0.7", **more):
    headers = {**({"X-Forwarded-User": name} if name is not None else {}), "X-Forwarded-Groups": groups, **more}
    return app.server.test_client().get("/_dash-layout", headers=headers, environ_base={"REMOTE_ADDR": address})


def test_a_trusted_proxy_says_who_asks(make):
    app = make("proxy", PROXY)
    for groups, role in (("crm", "Analyst"), ("shop, ops", "Admin"), ("x,shop", "Viewer")):
        answer = through(app, "Zoë".encode().decode("latin-1"), groups)
        assert answer.status_code == 200
        assert "Zo\\u00eb" in answer.get_data(as_text=True) or "Zoë" in answer.get_data(as_text=True)
        assert role in answer.get_data(as_text=True)
    assert through(app, "ann", "other").status_code == 403
    assert through(app, "ann", "admin").status_code == 403  # groups give what [app.proxy] roles says, and nothing else


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("ann", "10.0.1.7"),
        ("ann", "127.0.0.1"),
        ("ann", "203.0.113.9"),
        (None, "10.0.0.7"),
        ("", "10.0.0.7"),
        ("ann, adam", "10.0.0.7"),
        ("a" * 300, "10.0.0.7"),
        ("an\x01n", "10.0.0.7"),
    ],
)
def test_others_may_claim_what_they_like(make, name, address):
    assert through(make("proxy", PROXY), name, "ops", address).status_code == 401


def test_forwarded_addresses_do_not_make_a_trusted_one(make):
    app = make("proxy", PROXY)
    assert (
        through(
            app, "ann", "ops", "203.0.113.9", **{"X-Forwarded-For": "10.0.0.7", "Forwarded": "for=10.0.0.7"}
        ).status_code
        == 401
    )


def test_a_page_says_why_there_is_no_way_in(make):
    server = make("proxy", PROXY).server
    nobody = server.test_client().get("/customers")
    assert nobody.status_code == 401
    assert "Nobody is signed in" in nobody.get_data(as_text=True)
    outsider = {"X-Forwarded-User": "<b>eve</b>", "X-Forwarded-Groups": "none"}
    refused = server.test_client().get("/", headers=outsider, environ_base={"REMOTE_ADDR": "10.0.0.7"})
    assert refused.status_code == 403
    assert "&lt;b&gt;eve&lt;/b&gt; is in no group with a role here" in refused.get_data(as_text=True)


def test_the_proxy_signs_out_where_it_says(make):
    app = make("proxy", PROXY + 'sign_out = "https://login.example.com/out"\n')
    assert "https://login.example.com/out" in str(through(app, "ann", "crm").get_json())
    assert app.server.test_client().get("/sign-in").status_code == 401


# ---------------------------------------------------------------- what keeps it from starting

WRONG_USERS = [
    (lambda text: None, "no file"),
    (lambda text: "", "has no user"),
    (lambda text: "{", "is not TOML"),
    (lambda text: 'user = "ann"', "only \\[\\[user\\]\\] tables"),
    (lambda text: text + "\n[admin]\nx = 1\n", "only \\[\\[user\\]\\] tables"),
    (lambda text: text + text.split("\n\n")[1].replace("vera", "Vera"), "two users of the name Vera"),
    (lambda text: text.replace('"analyst"', '"analist"'), "role 'analist' is not one; did you mean 'analyst'"),
    (lambda text: text.replace("scrypt:32768:8:1", "md5"), "password_hash is none of ours"),
    (lambda text: text.replace("scrypt:32768", "scrypt:2"), "password_hash is none of ours"),
    (lambda text: text.replace("password_hash", "password"), "needs just name, role, password_hash"),
    (lambda text: text.replace('"ann"', '"<ann>"'), "is no name"),
]


@pytest.mark.parametrize(("change", "said"), WRONG_USERS, ids=[said[:24] for _, said in WRONG_USERS])
def test_a_users_file_that_is_wrong_is_named(make, folder, change, said):
    path = folder / "users.toml"
    text = change(path.read_text())
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(SettingsError, match=said) as refused:
        make()
    assert "users.toml" in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_users_file_that_others_may_read_is_refused(make, folder, mode):
    (folder / "users.toml").chmod(mode)
    with pytest.raises(SettingsError, match=r"open to everybody.*chmod 600"):
        make()


def test_a_users_file_that_breaks_while_the_app_runs_lets_nobody_in(app, folder, caplog):
    client = app.server.test_client()
    enter(client, "ann")
    (folder / "users.toml").write_text("{")
    assert client.get("/rows/customers").status_code == 401
    assert enter(client, "Adam").status_code == 503
    assert "is not TOML" in caplog.text


WEAK = [
    ("short", "has 5 bytes"),
    ("a" * 40, "well known"),
    ("changeme" * 5, "well known"),
    ("change-me-in-production-please-secret", "well known"),
    ("0123456789abcdefghijklmnopqrstuvwxyz", "well known"),
    ("0123456789abcdef" * 2, "well known"),
    ("qwertyuiopasdfghjklzxcvbnm1234567890", "well known"),
    ("your-very-long-random-secret-key-goes-here", "well known"),
]


@pytest.mark.parametrize(("secret", "said"), WEAK)
def test_a_weak_secret_is_refused_wherever_it_is_served(make, monkeypatch, secret, said):
    monkeypatch.setenv("REGULARS_APP__SECRET", secret)
    with pytest.raises(SettingsError, match=said) as refused:
        make()
    assert secret not in str(refused.value)
    assert "token_urlsafe" in str(refused.value)


def test_a_secret_may_lie_in_a_file_of_its_own(make, folder, monkeypatch):
    monkeypatch.delenv("REGULARS_APP__SECRET")
    file = folder / "secret"
    more = 'secret_file = "secret"\n'
    with pytest.raises(SettingsError, match="no file"):
        make(more=more)
    file.write_text(SECRET + "\n")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="open to everybody"):
        make(more=more)
    file.chmod(0o600)
    make(more=more)
    file.write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        make(more=more)
    monkeypatch.setenv("REGULARS_APP__SECRET", SECRET)
    with pytest.raises(SettingsError, match="keep one"):
        make(more=more)


@pytest.mark.parametrize("mode", ["none", "basic"])
def test_off_loopback_everything_that_is_missing_is_named_at_once(folder, monkeypatch, mode):
    monkeypatch.setenv("REGULARS_APP__SECRET", "")
    path = folder / "regulars.toml"
    path.write_text(f'[orders]\npath = "none"\n[app]\nsign_in = "{mode}"\n')
    with pytest.raises(SettingsError) as refused:
        serve(folder / "warehouse", host="0.0.0.0", settings=path)
    text = str(refused.value)
    assert "REGULARS_APP__SECRET" in text
    assert ("no sign-in" in text) == (mode == "none")
    assert ("[app] hosts" in text) == (mode == "basic")
    assert "ssh -L" in text


def test_with_all_of_it_nothing_keeps_it_from_being_reached(folder, make):
    make()
    from regulars.sql.settings import Settings

    settings = Settings.from_toml(folder / "regulars.toml")
    sign_in.check_reach("0.0.0.0", settings.app, settings.folder)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (HOST, 303),
        (f"{HOST.upper()}:8050", 303),
        ("localhost", 303),
        ("other.example.com", 400),
        (f"{HOST}.evil.example", 400),
    ],
)
def test_it_answers_to_its_names_alone(app, host, status):
    assert app.server.test_client().get("/", headers={"Host": host}).status_code == status


def test_an_audit_that_cannot_be_written_keeps_nobody_out(app, folder, caplog):
    (folder / "warehouse" / "state.sqlite").write_bytes(b"no database" * 100)
    client = app.server.test_client()
    assert enter(client, "ann").status_code == 303
    assert client.get("/rows/customers").status_code == 200
    assert "is not audited" in caplog.text
    assert client.get("/export/customers.csv").status_code == 503


def test_times_in_the_audit_have_a_zone(app):
    client = app.server.test_client()
    enter(client, "ann")
    (line,) = app.server.extensions["regulars"].state.audit_lines()
    assert isinstance(line.at, datetime)
    assert line.at.utcoffset() is not None


# ---------------------------------------------------------------- over the wire


def over_the_wire(address: str, path: str, *headers: tuple[str, str]) -> int:
    """The status of a request whose headers are sent just as they are, twice or with underscores."""
    connection = HTTPConnection(address.partition("://")[2])
    with closing(connection):
        connection.putrequest("GET", path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer.status


def test_a_header_that_a_client_slips_past_the_proxy_is_not_believed(make):
    user, groups = ("X-Forwarded-User", "ann"), ("X-Forwarded-Groups", "admin")
    with served(make("proxy", 'trusted_proxies = ["127.0.0.1"]\n')) as address:
        assert over_the_wire(address, "/rows/customers", user, groups) == 200
        assert over_the_wire(address, "/rows/customers", user, ("X-Forwarded-User", "adam"), groups) == 401
        assert over_the_wire(address, "/rows/customers", ("X_Forwarded_User", "ann"), groups) == 401
        assert over_the_wire(address, "/rows/customers", groups) == 401
        assert over_the_wire(address, "/metrics") == 401  # from a proxy's address nobody is this machine


def test_the_command_serves_off_loopback_to_who_signs_in(folder, make):
    make()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["app", "-s", str(folder / "regulars.toml"), "-w", str(folder / "warehouse"), "--host", "0.0.0.0"]
    program = subprocess.Popen(
        [sys.executable, "-c", "from regulars.app.cli import main; main()", *words, "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        assert program.stderr is not None
        assert f":{port}" in program.stderr.readline()
        address = f"http://127.0.0.1:{port}"
        assert over_the_wire(address, "/healthz") == 200
        assert over_the_wire(address, "/rows/customers") == 401
        assert over_the_wire(address, "/") == 303
        assert over_the_wire(address, "/api/v1/snapshot") == 401
    finally:
        program.terminate()
        assert program.wait(20) == 0
        program.stderr.close()
