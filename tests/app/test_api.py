"""The read API over a made-up snapshot: what it says, whom it lets in, and what it makes of bad requests."""

import json
import shutil
import threading
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import jsonschema
import pyarrow.parquet as pq
import pytest

from regulars.app.api import create_api, mount
from regulars.app.api_description import description
from regulars.app.tokens import Tokens
from regulars.sql.errors import SettingsError
from regulars.sql.snapshot import Warehouse

V1 = "/api/v1"
SCORES = {"customer_id": ["a", "b", "c"], "arm": ["mail"] * 3, "effect": [5.0, 0.1, 4.0], "cost": [0.04] * 3}
AWKWARD = ('O\'Brien "the" <b>bold</b>', "../../etc/passwd", "Zoë/Ω漢字 %26 &?#", "L" * 10_000)


@pytest.fixture(scope="module")
def warehouse(synthetic_warehouse, tmp_path_factory):
    from regulars.uplift.target import TargetList

    path = tmp_path_factory.mktemp("api") / "warehouse"
    shutil.copytree(synthetic_warehouse, path)
    scores = {**SCORES, "net_effect": [1.46, -0.01, 1.16]}
    made = TargetList.build(
        scores,
        "spring",
        on=date(2018, 1, 4),
        suppression={"unsubscribed": ["c"]},
        facts={"snapshot": "5eed000000000001", "as_of": "2017-12-31", "model_version": "x:1"},
    )
    made.write_log(path / "decisions")
    return path


@pytest.fixture(scope="module")
def token(warehouse):
    return Tokens(warehouse).create("tests", "ann")


@pytest.fixture(scope="module")
def api(warehouse):
    return create_api(warehouse)


@pytest.fixture
def ask(api, token):
    client = api.test_client()

    def ask_(path, *, method="GET", headers=None, **sent):
        sent_headers = {"Authorization": f"Bearer {token}", **(headers or {})}
        return client.open(f"{V1}{path}", method=method, headers=sent_headers, **sent)

    return ask_


def is_valid(said, schema):
    document = description()
    jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    ).validate(said)
    return True


def is_problem(answer, status):
    assert answer.status_code == status, answer.get_data(as_text=True)[:300]
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["status"] == status
    return is_valid(answer.get_json(), "Problem")


def test_a_customer_is_what_the_snapshot_says(ask, warehouse):
    run = Warehouse(warehouse).current()
    row = {name: rows.to_pylist() for name, rows in ((n, run.read(n)) for n in ("customer_summary", "customer_scores"))}
    for i in (0, 1_234, -1):
        summary, scores = row["customer_summary"][i], row["customer_scores"][i]
        answer = ask(f"/customers?id={quote(summary['customer_id'])}")
        said = answer.get_json()
        assert is_valid(said, "Customer")
        assert (said["run_id"], said["as_of"]) == (run.run_id, "2017-12-31")
        assert said["model_version"] == scores["model_version"]
        assert said["horizon"] == {"length": 52, "unit": "week"}
        assert said["history"]["revenue"] == float(summary["revenue"])
        assert said["history"]["last_order_on"] == summary["last_order_on"].isoformat()
        value = {"value": scores["customer_value"], "low": scores["value_low"], "high": scores["value_high"]}
        assert said["scores"]["customer_value"] == value | {"level": 0.8}
        assert said["scores"]["next_order_days"] == scores["next_order_days"]


@pytest.mark.parametrize("customer", AWKWARD)
def test_an_awkward_id_is_found_by_path_and_by_query(ask, customer):
    assert ask(f"/customers/{quote(customer, safe='')}").get_json()["customer_id"] == customer
    assert ask("/customers", query_string={"id": customer}).get_json()["customer_id"] == customer


def test_a_batch_is_of_one_run_in_the_order_asked_for(ask):
    ids = ["C0001000", *AWKWARD, "C0000900", "nobody", "C0001000", "\ud800"]
    said = ask("/customers:batch", method="POST", json={"ids": ids}).get_json()
    assert is_valid(said, "Customers")
    assert [one["customer_id"] for one in said["customers"]] == ["C0001000", *AWKWARD, "C0000900"]
    assert said["unknown"] == ["nobody", "\ud800"]
    one = ask("/customers/C0000900").get_json()
    assert said["customers"][-1] == {key: one[key] for key in said["customers"][-1]}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {"ids": ["a"] * 1_001}}, 400),
        ({"json": {"ids": []}}, 400),
        ({"json": {"ids": [1]}}, 400),
        ({"json": {"ids": "a"}}, 400),
        ({"json": ["a"]}, 400),
        ({"json": {"ids": ["a"], "table": "customer_days"}}, 400),
        ({"data": b"[" * 100_000, "content_type": "application/json"}, 400),
        ({"data": b"\xff", "content_type": "application/json"}, 400),
        ({"data": b"ids=a", "content_type": "text/plain"}, 415),
        ({"data": b" " * 1_100_000, "content_type": "application/json"}, 413),
    ],
)
def test_a_bad_batch_is_told_what_is_allowed(ask, sent, status):
    assert is_problem(ask("/customers:batch", method="POST", **sent), status)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/customers/nobody", 404, "no customer nobody"),
        ("/customers/<script>", 404, "%3Cscript%3E"),
        ("/customers", 400, "no id"),
        ("/customers?id=", 400, "no id"),
        ("/customers?name=x", 400, "allowed: id"),
        ("/customers?id=a&id=b", 400, "twice"),
        ("/campaigns/autumn/decision?customer=a", 404, "autumn"),
        ("/campaigns/spring/decision", 400, "no customer"),
        ("/campaigns/spring/decision?customer=a&on=soon", 400, "YYYY-MM-DD"),
        ("/campaigns/spring/decision?customer=a&on=2018-01-05", 404, "leave on out"),
        ("/campaigns/spring/decision?customer=zz", 404, "considered no customer"),
        ("/rows/customers", 404, "/api/v1/customers"),
    ],
)
def test_what_cannot_be_answered_says_why(ask, path, status, said):
    answer = ask(path)
    assert is_problem(answer, status)
    assert said in answer.get_json()["detail"]


def test_a_wrong_method_names_the_right_one(ask):
    answer = ask("/snapshot", method="DELETE")
    assert is_problem(answer, 405)
    assert "GET" in answer.headers["Allow"]


def test_a_decision_is_that_of_the_log(ask, warehouse):
    (path,) = (warehouse / "decisions").glob("*.parquet")
    log = {row["customer_id"]: row for row in pq.read_table(path).to_pylist()}
    told = {}
    for customer in "abc":
        said = ask(f"/campaigns/spring/decision?customer={customer}").get_json()
        assert is_valid(said, "Decision")
        assert (said["arm"], said["propensity"]) == (log[customer]["arm"], log[customer]["propensity"])
        assert (said["on"], said["decision_run"]) == ("2018-01-04", log[customer]["run_id"])
        assert said["snapshot"] == {"run_id": "5eed000000000001", "as_of": "2017-12-31"}
        told[customer] = (said["decision"], said["reason"])
    assert told == {
        "a": ("treat", "chosen"),
        "b": ("nothing", "not chosen"),
        "c": ("suppressed", "unsubscribed"),
    }


def test_a_held_out_customer_and_a_withdrawn_list(warehouse, token, tmp_path):
    from regulars.uplift.target import TargetList

    copy = tmp_path / "w"
    shutil.copytree(warehouse, copy)
    ids = [f"k{i}" for i in range(200)]
    scores = {"customer_id": ids, "arm": ["mail"] * 200, "effect": [5.0] * 200, "net_effect": [1.0] * 200}
    held = TargetList.build({**scores, "cost": [0.04] * 200}, "spring", on=date(2018, 2, 1), holdout=0.5)
    log = held.write_log(copy / "decisions")
    client = create_api(copy).test_client()
    headers = {"Authorization": f"Bearer {token}"}
    by = {
        one: client.get(f"{V1}/campaigns/spring/decision?customer={one}", headers=headers).get_json()["decision"]
        for one in ids
    }
    assert [by[row["customer_id"]] == "hold out" for row in held.log.to_pylist()] == [
        row["why"] == "holdout" for row in held.log.to_pylist()
    ]
    (copy / "decisions" / "withdrawn").mkdir()
    log.rename(copy / "decisions" / "withdrawn" / log.name)
    assert client.get(f"{V1}/campaigns/spring/decision?customer=k1", headers=headers).status_code == 404
    assert client.get(f"{V1}/campaigns/spring/decision?customer=a", headers=headers).get_json()["on"] == "2018-01-04"


def test_what_the_client_has_is_not_sent_again(ask):
    for path in ("/customers/C0000900", "/snapshot", "/campaigns/spring/decision?customer=a"):
        first = ask(path)
        again = ask(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.get_data()) == (304, b"")
        assert ask(path, headers={"If-None-Match": '"another"'}).get_data() == first.get_data()
    assert ask("/customers/nobody", headers={"If-None-Match": "*"}).status_code == 404


def test_nobody_is_answered_without_a_token_that_opens(api, warehouse):
    client = api.test_client()
    tokens = Tokens(warehouse)
    gone = tokens.create("gone", "ann")
    for path in description()["paths"]:
        for sent in ("", "Bearer", "Bearer regulars_0_x", f"Basic {gone}", f"Bearer {gone[:-1]}_", "Bearer \xe9" * 99):
            answer = client.open(path, method="POST" if "batch" in path else "GET", headers={"Authorization": sent})
            assert is_problem(answer, 401)
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="regulars"')
    assert client.get(f"{V1}/snapshot", headers={"Authorization": f"bearer {gone}"}).status_code == 200
    tokens.revoke("gone", "bob")
    assert client.get(f"{V1}/snapshot", headers={"Authorization": f"Bearer {gone}"}).status_code == 401


def test_an_open_api_answers_this_machine_alone(warehouse):
    client = create_api(warehouse, open_api=True).test_client()
    assert client.get(f"{V1}/snapshot").status_code == 200
    for headers in (
        {"Host": "shop.example"},
        {"Host": "localhost.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Authorization": "Bearer regulars_no"},
    ):
        assert client.get(f"{V1}/snapshot", headers=headers).status_code == 401


def test_tokens_expire_and_are_kept_as_a_hash(tmp_path):
    moment = [datetime(2026, 5, 1, 12, tzinfo=UTC)]
    tokens = Tokens(tmp_path, now=lambda: moment[0])
    text = tokens.create("night job", "ann", date(2026, 5, 2))
    secret = text.rpartition("_")[2]
    assert secret.encode() not in (tmp_path / "state.sqlite").read_bytes()
    assert tokens.check(text).name == "night job"
    moment[0] += timedelta(days=1, hours=11, minutes=59)
    assert tokens.check(text) is not None
    moment[0] += timedelta(minutes=1)
    assert tokens.check(text) is None
    for name, expires in (("night job", None), ("", None), ("a\nb", None), ("x", date(2026, 5, 1))):
        with pytest.raises(SettingsError):
            tokens.create(name, "ann", expires)
    with pytest.raises(SettingsError, match="there are: night job"):
        tokens.revoke("other", "ann")


def test_last_use_is_noted_without_a_write_for_each_request(tmp_path):
    moment = [datetime(2026, 5, 1, 12, tzinfo=UTC)]
    tokens = Tokens(tmp_path, now=lambda: moment[0])
    text = tokens.create("job", "ann")
    before = (tmp_path / "state.sqlite").stat().st_mtime_ns
    for _ in range(100):
        tokens.check(text)
    assert (tmp_path / "state.sqlite").stat().st_mtime_ns == before
    tokens.note_uses()
    assert tokens.all()[0].last_used_at == moment[0]
    moment[0] += timedelta(minutes=9)
    tokens.check(text)
    tokens.note_uses()
    assert tokens.all()[0].last_used_at == moment[0] - timedelta(minutes=9)


def test_a_new_snapshot_is_taken_whole_while_requests_go_on(synthetic, tmp_path):
    for number, seed in ((1, 1), (2, 2)):
        synthetic.write_snapshot(tmp_path, f"{number:016}", customers=400, seed=seed)
    house = Warehouse(tmp_path)
    value = {run.run_id: run.read("customer_scores")["customer_value"].to_pylist() for run in house.runs()}
    token, api = Tokens(tmp_path).create("t", "ann"), create_api(tmp_path)
    stop, seen = threading.Event(), []

    def read():
        client = api.test_client()
        ids = [f"C{i:07}" for i in range(1, 401)]
        while not stop.is_set():
            said = client.post(
                f"{V1}/customers:batch", json={"ids": ids}, headers={"Authorization": f"Bearer {token}"}
            ).get_json()
            own = [one["scores"]["customer_value"]["value"] for one in said["customers"]]
            seen.append((said["run_id"], own == value[said["run_id"]]))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        for run in (f"{1:016}", f"{2:016}"):
            house.rollback(run)
            while seen[-1:] == [] or seen[-1][0] != run:
                stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert all(same for _, same in seen)


def test_a_new_run_that_cannot_be_read_leaves_the_answers_of_the_one_before(synthetic, tmp_path, monkeypatch):
    synthetic.write_snapshot(tmp_path, f"{1:016}", customers=50)
    client = create_api(tmp_path, open_api=True).test_client()
    assert client.get(f"{V1}/snapshot").get_json()["run_id"] == f"{1:016}"
    second = synthetic.write_snapshot(tmp_path, f"{2:016}", customers=50)
    (second.path / "customer_scores.parquet").write_bytes(b"PAR1")
    begun = []
    real = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (begun.append(thread), real(thread)))
    for _ in range(20):
        assert client.get(f"{V1}/snapshot").get_json()["run_id"] == f"{1:016}"
        for thread in begun:
            thread.join()
    assert len(begun) == 1  # not read anew for each request


def test_no_snapshot_and_a_warehouse_that_goes(synthetic, tmp_path):
    warehouse = tmp_path / "w"
    token = Tokens(warehouse).create("t", "ann")
    client, headers = create_api(warehouse).test_client(), {"Authorization": f"Bearer {token}"}
    assert is_problem(client.get(f"{V1}/customers/C0000001", headers=headers), 503)
    synthetic.write_snapshot(warehouse, customers=50)
    assert client.get(f"{V1}/customers/C0000001", headers=headers).status_code == 200
    (warehouse / "current.json").unlink()
    assert is_problem(client.get(f"{V1}/customers/C0000001", headers=headers), 503)


@pytest.mark.parametrize("table", ["customer_summary", "customer_scores"])
def test_a_table_without_ids_is_no_answer(synthetic, tmp_path, table):
    path = synthetic.write_snapshot(tmp_path / "warehouse", customers=50).table_path(table)
    pq.write_table(pq.read_table(path).drop_columns(["customer_id"]), path)
    api = create_api(tmp_path / "warehouse", open_api=True)
    answer = api.test_client().get("/api/v1/customers/C0000001")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")


def test_a_run_without_some_tables_says_null(synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path, customers=50, without=("customer_scores", "customer_churn"))
    client = create_api(tmp_path, open_api=True).test_client()
    said = client.get(f"{V1}/customers/C0000001").get_json()
    assert is_valid(said, "Customer")
    assert (said["scores"], said["churn"], said["model_version"]) == (None, None, None)


def test_below_a_web_app_it_stands_beside_the_pages(warehouse, token):
    from flask import Flask

    pages = Flask("pages")
    pages.before_request(lambda: ("sign in", 401))
    mount(pages, warehouse)
    client = pages.test_client()
    assert client.get("/").get_data() == b"sign in"
    answer = client.get(f"{V1}/snapshot", headers={"Authorization": f"Bearer {token}"})
    assert answer.get_json()["customers"] == 3_000


def test_the_description_is_openapi(ask):
    document = ask("/openapi.json").get_json()
    assert document == json.loads(json.dumps(description()))
    assert document["openapi"].startswith("3.1.")
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    names = set()
    for path, operations in document["paths"].items():
        placed = {part[1:-1] for part in path.replace(":", "/").split("/") if part.startswith("{")}
        for operation in operations.values():
            names.add(operation["operationId"])
            assert {p["name"] for p in operation["parameters"] if p["in"] == "path"} == placed
            assert all((p["schema"] and p["required"] is True) or p["in"] != "path" for p in operation["parameters"])
            assert {"200", "401"} <= operation["responses"].keys()
            assert all(answer["description"] for answer in operation["responses"].values())
    assert len(names) == len(document["paths"])


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)
