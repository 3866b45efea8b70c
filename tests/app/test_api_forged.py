"""A thousand forged requests to the read API: refused or harmless, never a 5xx, never more than asked."""

import json
import random
from urllib.parse import quote

import pytest

from regulars.app.api import create_api
from regulars.app.tokens import Tokens

REQUESTS = 1_000
PIECES = (
    "C0000900",
    "../../../etc/passwd",
    "..",
    "%2e%2e%2f",
    "\x00",
    "\r\nSet-Cookie: a=b",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    '"; DROP TABLE customers; --',
    "{{7*7}}",
    "\ud800",
    "Ω" * 3_000,
    "L" * 10_000,
    "*",
    "",
    "0",
    "-1",
    "1e309",
    "NaN",
    "null",
    "customers:batch",
    "regulars_0123456789abcdef_" + "A" * 43,
)
PATHS = ("customers", "customers:batch", "campaigns", "decision", "snapshot", "openapi.json", "..", "", "rows", "v2")
KEYS = ("id", "customer", "on", "run", "sort", "table", "ids", "callback", "__class__")
VALUES = (*PIECES, None, True, 1, -1, 1.5, [], {}, [[]], ["C0000900"] * 3, {"ids": ["C0000900"]})


@pytest.fixture(scope="module")
def caller(synthetic_warehouse, tmp_path_factory):
    import shutil

    path = tmp_path_factory.mktemp("forged") / "warehouse"
    shutil.copytree(synthetic_warehouse, path)
    return create_api(path).test_client(), Tokens(path).create("forger", "ann")


def forged(rng):
    parts = [rng.choice(PATHS) if rng.random() < 0.5 else escaped(rng, rng.choice(PIECES)) for _ in range(4)]
    path = "/api/v1/" + "/".join(parts[: rng.randint(0, 4)])
    if rng.random() < 0.7:
        path = rng.choice(
            (
                f"/api/v1/customers/{escaped(rng, rng.choice(PIECES))}",
                "/api/v1/customers",
                "/api/v1/customers:batch",
                f"/api/v1/campaigns/{escaped(rng, rng.choice(PIECES))}/decision",
            )
        )
    query = "&".join(f"{rng.choice(KEYS)}={escaped(rng, rng.choice(PIECES))}" for _ in range(rng.randint(0, 3)))
    method = rng.choice(("GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"))
    body = {rng.choice(("ids", "ids", "id", "customer")): rng.choice(VALUES) for _ in range(rng.randint(0, 2))}
    if rng.random() < 0.3:
        body["ids"] = [rng.choice(VALUES) for _ in range(rng.choice((1, 5, 999, 1_001)))]
    data = json.dumps(body).encode() if rng.random() < 0.9 else rng.randbytes(200)
    kind = rng.choice(("application/json", "application/json", "text/plain", "multipart/form-data; boundary=x", ""))
    return path, query, method, data if method not in {"GET", "HEAD"} else b"", kind


def escaped(rng, text):
    safe = rng.choice(("", "/", "/%&=?#<>"))
    return quote(text.replace("\r", "").replace("\n", "") if "%" in safe else text, safe=safe, errors="surrogatepass")


def test_forged_requests_are_refused_or_harmless(caller):
    client, token = caller
    rng = random.Random(20261121)
    seen = {}
    for _ in range(REQUESTS):
        path, query, method, data, kind = forged(rng)
        answer = client.open(
            path,
            query_string=query,
            method=method,
            data=data,
            content_type=kind or None,
            headers={"Authorization": f"Bearer {token}", "If-None-Match": rng.choice(('"x"', "*", "W/", "\xff"))},
        )
        where = (method, path[:200], query[:200], data[:200])
        assert answer.status_code < 500, where
        allowed = {"application/json", "application/problem+json", "text/html"} if answer.status_code != 304 else {None}
        assert answer.mimetype in allowed, where
        text = answer.get_data(as_text=True)
        assert "<script" not in text, where
        assert "root:" not in text, where
        assert len(text) <= 2_000_000, where
        if answer.mimetype == "text/html":
            assert text == "", where
        elif text:
            said = json.loads(text)
            assert len(said.get("customers", [])) <= 1_000 if isinstance(said.get("customers"), list) else True, where
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
    # the forger reached every kind of answer
    assert {200, 304, 400, 404, 405, 415} <= seen.keys(), seen
