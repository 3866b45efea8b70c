"""A browser's state is untrusted: whatever is sent, the answer is a 4xx or safe, and never more than a page."""

import json
import random
from urllib.parse import urlencode

import pytest

from regulars.app.listings import CUSTOMERS

FORGED = 1_000
NASTY = [
    "'; DROP TABLE customers; --",
    "1 OR 1=1",
    "$rows",
    "(SELECT 1)",
    "customer_value DESC, (SELECT 1)",
    '"customer_id"',
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "../../../etc/passwd",
    "file:///etc/passwd",
    "%00",
    "\x00",
    "\ud83d\ude00",
    "Ω" * 300,
    "9" * 400,
    "-1",
    "1e309",
    "NaN",
    "inf",
    "..",
    "0..",
    "..-5",
    "5..1",
    "null",
    "undefined",
    "[]",
    "{}",
    "true",
    "",
    " ",
    "\t\n",
    "__proto__",
    "constructor",
    "read_parquet('/etc/passwd')",
    "pg_sleep(10)",
    "-rowid",
    "rowid",
    "customer_id\x00",
    "*",
]


def forged_query(rng: random.Random) -> str:
    keys = ["start", "end", "run", "sort", "q", "segment", "color", *CUSTOMERS.range_of, *NASTY, *CUSTOMERS.column_of]
    values = [
        *NASTY,
        "0",
        "100",
        "300000",
        str(10**18),
        "best",
        "customer_value",
        "-revenue,orders",
        "1..2",
        "5eed000000000001",
    ]
    pairs = [(rng.choice(keys), rng.choice(values)) for _ in range(rng.randint(0, 6))]
    return urlencode(pairs, errors="surrogatepass")


@pytest.mark.parametrize("path", ["/rows/customers", "/export/customers.csv", "/export/customers.parquet"])
def test_forged_queries_are_refused_or_clamped(client, path):
    rng = random.Random(20261121)
    seen = {200: 0, 400: 0, 404: 0}
    for _ in range(FORGED // 3 + 1):
        query = forged_query(rng)
        answer = client.get(f"{path}?{query}")
        seen[answer.status_code] += 1  # KeyError: an answer that may not be
        if answer.status_code == 200 and path == "/rows/customers":
            assert answer.mimetype == "application/json"
            assert len(answer.get_json()["rows"]) <= 200
        if answer.status_code != 200:
            assert answer.mimetype == "application/json"
            assert list(answer.get_json()) == ["error"]
    assert seen[400] > 100


@pytest.mark.parametrize(
    ("query", "status", "rows"),
    [
        ("start=0&end=300000", 200, 200),
        ("start=2990&end=300000", 200, 10),
        ("start=900000&end=900100", 200, 0),
        ("start=-100&end=100", 400, None),
        ("start=0&end=1e3", 400, None),
        ("sort=password", 400, None),
        ("sort=customer_id%3BDROP%20TABLE%20customers", 400, None),
        ("frequency=1%20OR%201%3D1..", 400, None),
        ("filterModel=%7B%7D", 400, None),
        ("segment=best&segment=lapsed", 400, None),
        ("run=..%2F..%2Fetc", 404, None),
        ("q=%27%20OR%20%271%27%3D%271", 200, 0),
        ("q=%3Cscript%3E", 200, 0),
        ("q=%25", 200, 1),
    ],
)
def test_one_forged_request_each(client, query, status, rows):
    answer = client.get(f"/rows/customers?{query}")
    assert answer.status_code == status
    if rows is not None:
        assert len(answer.get_json()["rows"]) == rows


def test_hard_ids_are_found_and_come_back_as_they_are(client, synthetic):
    for awkward in synthetic.AWKWARD_IDS:
        found = client.get("/rows/customers", query_string={"q": awkward[:150]}).get_json()["rows"]
        assert awkward in [row["customer_id"] for row in found]


@pytest.mark.parametrize(
    "path", ["/assets/../server.py", "/assets/%2e%2e/server.py", "/assets/..%2f..%2fpyproject.toml"]
)
def test_no_file_beside_the_assets_is_served(client, path):
    assert "def create_server" not in client.get(path).get_data(as_text=True)
    assert "[project]" not in client.get(path).get_data(as_text=True)


def bodies(app) -> list[dict]:
    """A true request for every callback that runs on the server."""
    app.server.test_client().get("/_dash-layout")
    found = []
    for name, spec in app.callback_map.items():
        if "callback" not in spec:
            continue
        parts = [part.rpartition(".") for part in name.strip(".").split("...")]
        outputs = [{"id": part[0], "property": part[2].partition("@")[0]} for part in parts]
        found.append(
            {
                "output": name,
                "outputs": outputs if name.startswith("..") else outputs[0],
                "inputs": [{**one, "value": None} for one in spec["inputs"]],
                "state": [{**one, "value": None} for one in spec["state"]],
                "changedPropIds": [],
            }
        )
    return found


def mangled(body: dict, rng: random.Random) -> object:
    values = [
        *NASTY,
        None,
        0,
        -1,
        1.5,
        True,
        [],
        {},
        ["best"],
        {"a": 1},
        [[[]]],
        10**30,
        "5eed000000000001",
        "dark",
        "?value=1..",
    ]
    body = json.loads(json.dumps(body))
    action = rng.randrange(8)
    if action < 4:
        for one in [*body["inputs"], *body["state"]]:
            one["value"] = rng.choice(values)
    elif action == 4:
        body[rng.choice(list(body))] = rng.choice(values)
    elif action == 5:
        body.pop(rng.choice(list(body)))
    elif action == 6 and body["inputs"]:
        body["inputs"][0][rng.choice(["id", "property"])] = rng.choice(values)
    else:
        body["output"] = rng.choice(NASTY) + ".children"
    return body


def test_forged_callbacks_are_refused_or_answered_with_a_state(app, client):
    rng = random.Random(2)
    true = bodies(app)
    assert len(true) >= 9
    for _ in range(FORGED):
        body = mangled(rng.choice(true), rng)
        answer = client.post("/_dash-update-component", json=body)
        assert answer.status_code in {200, 204, 400}, body
        assert len(answer.data) < 400_000


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b"{}" * 10])
def test_a_body_that_is_no_json_is_refused(client, data):
    answer = client.post("/_dash-update-component", data=data, content_type="application/json")
    assert answer.status_code == 400


@pytest.mark.parametrize("deep", [60, 900, 990, 5_000, 100_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_a_value_that_is_nested_without_end_is_refused(app, client, deep, opens, closes):
    for body in bodies(app):
        text = json.dumps({**body, "inputs": [{**one, "value": "@"} for one in body["inputs"]]})
        data = text.replace('"@"', opens * deep + "1" + closes * deep, 1)
        answer = client.post("/_dash-update-component", data=data, content_type="application/json")
        assert answer.status_code == 400
    data = (opens * deep).encode()
    assert client.post("/_dash-update-component", data=data, content_type="application/json").status_code == 400


def test_an_id_that_is_a_mapping_is_refused(app, client):
    for body in bodies(app):
        for changed in ('{"a":1}.b', '{"type":"x","index":[1]}.n_clicks', "{"):
            answer = client.post("/_dash-update-component", json={**body, "changedPropIds": [changed]})
            assert answer.status_code == 400


@pytest.mark.parametrize("package", ["none", "os", "dash", "regulars", "dash_ag_grid", "..", "%00", "<b>"])
@pytest.mark.parametrize("file", ["none.js", "../dash.py", "dash.py", "%2e%2e/x", "<script>", "x.v1m1.js", "a/b/c"])
def test_a_script_that_is_not_there_is_not_found(client, package, file):
    answer = client.get(f"/_dash-component-suites/{package}/{file}")
    assert answer.status_code in {404, 308}
    assert "<script>" not in answer.get_data(as_text=True)


def test_a_body_without_end_is_refused(client):
    answer = client.post("/_dash-update-component", data=b"[" * (1 << 21), content_type="application/json")
    assert answer.status_code in {400, 413}


def test_markup_in_a_value_is_never_markup_in_a_page(app, client):
    body = next(body for body in bodies(app) if body["output"].startswith("customers-totals"))
    values = {"run": "5eed000000000001", "url": "?segment=<img src=x onerror=alert(1)>"}
    for one in body["inputs"]:
        one["value"] = values[one["id"]]
    text = client.post("/_dash-update-component", json=body).get_data(as_text=True)
    assert "onerror" in text
    assert "dangerously" not in text.lower()
    assert '"type":"Markdown"' not in text.replace(" ", "")
