"""Sign-in at an OpenID provider, against a small one on loopback that can be told to lie."""

import base64
import hashlib
import json
import re
import secrets
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from regulars.app.server import create_server

SECRET = "k7Qe2Zr9Tw4Yb6Uc1Xp8Vs3Md5Lf0Hj-aN"
CLIENT, CLIENT_SECRET = "regulars", "the provider's own secret"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, auto_kid=False)
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, auto_kid=False)


class FakeProvider:
    """An OpenID provider that signs everybody in as ``claims`` say; ``lie`` changes what it says."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}/realms/shop"
        self.claims = {"preferred_username": "ann", "groups": ["crm", "staff"]}
        self.lies: dict = {}
        self.codes: dict[str, dict] = {}
        self.asked: list[dict] = []

    def metadata(self) -> dict:
        return {
            "issuer": self.lies.get("issuer", self.issuer),
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": self.lies.get("algorithms", ["RS256"]),
            "code_challenge_methods_supported": ["S256"],
        }

    def authorize(self, query: dict) -> str:
        """The way back, as a browser would be sent."""
        self.asked.append(query)
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': self.lies.get('state', query['state'])})}"

    def token(self, form: dict, authorization: str) -> tuple[int, dict]:
        query = self.codes.pop(form.get("code", ""), None)
        secret = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET.replace(' ', '%20')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        if query is None or authorization not in {f"Basic {secret}", f"Basic {plain}"}:
            return 400, {"error": "invalid_grant"}
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        )
        if challenge != query["code_challenge"] or form["redirect_uri"] != query["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "0815", "iat": now, "exp": now + 300, "nonce": query["nonce"],
            **self.claims, **self.lies.get("claims", {}),
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.lies.get("alg", "RS256"), "kid": "one"}
        key = self.lies.get("key", KEY)
        signed = jwt.encode(header, claims, key, algorithms=["RS256", "HS256"])
        if self.lies.get("unsigned"):
            parts = [
                base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode()
                for one in ({"alg": "none"}, claims)
            ]
            signed = ".".join([*parts, ""])
        answer = {"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": signed}
        if self.lies.get("no id token"):
            del answer["id_token"]
        return 200, answer


@contextmanager
def provider_at_work():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = urlsplit(self.path).path.removeprefix("/realms/shop")
            found = {
                "/.well-known/openid-configuration": provider.metadata(),
                "/keys": {"keys": [KEY.as_dict(private=False)]},
            }.get(path)
            self.answer(200 if found else 404, found or {})

        def do_POST(self):
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            fields = {name: values[0] for name, values in form.items()}
            self.answer(*provider.token(fields, self.headers.get("Authorization", "")))

        def answer(self, status, body):
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider = FakeProvider(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def provider_here():
    with provider_at_work() as found:
        yield found


@pytest.fixture
def provider(provider_here):
    provider_here.claims = {"preferred_username": "ann", "groups": ["crm", "staff"]}
    provider_here.lies = {}
    return provider_here


@pytest.fixture(scope="module")
def make(tmp_path_factory, provider_here):
    """Apps that sign in there; one for all tests but those that need their own, since each takes half a second."""
    made = {}

    def make_(roles: str = '{ crm = "analyst", ops = "admin" }', issuer: str = "", *, fresh: bool = False):
        if (roles, issuer) not in made or fresh:
            folder = tmp_path_factory.mktemp("oidc")
            path = folder / "regulars.toml"
            path.write_text(
                '[orders]\npath = "none"\n[app]\nsign_in = "oidc"\nhosts = ["regulars.example.com"]\n[app.oidc]\n'
                f'issuer = "{issuer or provider_here.issuer}"\nclient_id = "{CLIENT}"\nroles = {roles}\n'
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("REGULARS_APP__SECRET", SECRET)
                patch.setenv("REGULARS_APP__OIDC__CLIENT_SECRET", CLIENT_SECRET)
                made[(roles, issuer)] = create_server(folder / "warehouse", settings=path, threads=1, warm=False)
        return made[(roles, issuer)]

    return make_


def leave(client, at: str = "/sign-in/with?next=/customers", base: str = "http://localhost") -> dict:
    """Go to the provider; what it is asked."""
    answer = client.get(at, base_url=base)
    assert answer.status_code == 302, answer.get_data(as_text=True)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def journey(client, provider, **more):
    back = provider.authorize(leave(client, **more))
    parts = urlsplit(back)
    return client.get(f"{parts.path}?{parts.query}", base_url=f"{parts.scheme}://{parts.netloc}")


def test_a_person_signs_in_and_their_groups_give_the_role(make, provider):
    client = make().server.test_client()
    page = client.get("/customers?segment=best")
    assert page.status_code == 303
    text = client.get(page.headers["Location"]).get_data(as_text=True)
    (link,) = re.findall(r'href="(/sign-in/with\?[^"]*)"', text)
    answer = journey(client, provider, at=link)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/customers?segment=best"
    asked = provider.asked[0]
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) >= 20
    assert len(asked["nonce"]) >= 20
    assert asked["scope"].split()[0] == "openid"
    assert asked["redirect_uri"] == "http://localhost/sign-in/back"
    layout = str(client.get("/_dash-layout").get_json())
    assert "'ann'" in layout
    assert "Analyst" in layout
    journey_cookies = [one for one in (client.get_cookie("regulars_journey"),) if one is not None]
    assert journey_cookies == []  # state, nonce and verifier are used up


def test_off_loopback_the_way_back_is_https(make):
    asked = leave(make().server.test_client(), base="https://regulars.example.com")
    assert asked["redirect_uri"] == "https://regulars.example.com/sign-in/back"


LIES = {
    "another nonce": {"claims": {"nonce": "x"}},
    "no nonce": {"claims": {"nonce": None}},
    "for another client": {"claims": {"aud": "another"}},
    "for several": {"claims": {"aud": ["another", "third"], "azp": CLIENT}},
    "of another issuer": {"claims": {"iss": "https://evil.example"}},
    "expired": {"claims": {"exp": 1_000_000_000}},
    "never ending": {"claims": {"exp": None}},
    "of the future": {"claims": {"nbf": 4_000_000_000}},
    "of nobody": {"claims": {"sub": None}},
    "signed by another key": {"key": OTHER_KEY},
    "signed with a shared secret": {
        "alg": "HS256",
        "key": OctKey.import_key(CLIENT_SECRET),
        "algorithms": ["HS256", "RS256"],
    },
    "not signed": {"unsigned": True},
    "missing": {"no id token": True},
    "another state": {"state": "forged"},
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_token_that_is_not_for_this_sign_in_signs_nobody_in(make, provider, lie, caplog):
    provider.lies = LIES[lie]
    app = make(fresh="algorithms" in provider.lies)
    client = app.server.test_client()
    answer = journey(client, provider)
    assert answer.status_code == 401
    assert "did not succeed" in answer.get_data(as_text=True)
    assert client.get("/rows/customers").status_code == 401
    assert "failed" in caplog.text
    provider.lies = {}
    assert journey(app.server.test_client(), provider).status_code == 303  # it was the lie alone


def test_the_way_back_works_once_and_for_who_left(make, provider):
    app = make()
    client, thief = app.server.test_client(), app.server.test_client()
    back = urlsplit(provider.authorize(leave(client)))
    at = f"{back.path}?{back.query}"
    assert thief.get(at).status_code == 401
    assert client.get(at).status_code == 303
    again = app.server.test_client()
    assert again.get(at).status_code == 401
    assert client.get("/sign-in/back").status_code == 401
    assert client.get("/sign-in/back?error=access_denied&error_description=%3Cscript%3E").status_code == 401


def test_without_a_role_nobody_comes_in(make, provider):
    for groups in ([], ["staff"], None, "staff", {"crm": 1}, ["Crm"], [["crm"]]):
        provider.claims = {"preferred_username": "eve", "groups": groups}
        client = make().server.test_client()
        answer = journey(client, provider)
        assert answer.status_code == 403, groups
        assert "eve is in no group" in answer.get_data(as_text=True)
        assert client.get("/rows/customers").status_code == 401


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "Zoë"}, "Zoë"),
        ({"email": "a@example.com"}, "a@example.com"),
        ({"email": "a@example.com", "email_verified": False}, "0815"),
        ({"preferred_username": "\x00"}, "0815"),
        ({"preferred_username": ["x"]}, "0815"),
        ({"preferred_username": "<b>x</b>"}, "<b>x</b>"),
    ],
)
def test_a_name_is_a_readable_one(make, provider, claims, name):
    provider.claims = {"groups": "ops", **claims}
    app = make()
    client = app.server.test_client()
    assert journey(client, provider).status_code == 303
    assert app.server.extensions["regulars"].state.audit_lines()[0].person == name


def test_other_roles_in_the_settings_end_sessions(make, provider):
    client = make().server.test_client()
    journey(client, provider)
    cookie = client.get_cookie("regulars_session").value
    for app, status in ((make(), 404), (make('{ crm = "viewer" }'), 401)):
        again = app.server.test_client()
        again.set_cookie("regulars_session", cookie)
        assert again.get("/rows/customers").status_code == status  # 404: no snapshot there


def test_a_provider_that_is_away_or_another_is_said(make, provider, caplog):
    provider.lies = {"issuer": "https://evil.example"}
    answer = make(fresh=True).server.test_client().get("/sign-in/with")
    assert answer.status_code == 503
    assert "cannot be reached" in answer.get_data(as_text=True)
    assert "calls itself 'https://evil.example'" in caplog.text
    assert make(issuer="http://127.0.0.1:9").server.test_client().get("/sign-in/with").status_code == 503
