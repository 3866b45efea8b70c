"""/metrics: what a Prometheus server reads, and who may."""

import re
import time

import pytest

from regulars.app.metrics import BUCKETS, Requests
from regulars.app.server import create_server

TOKEN = "Tg5-Hn2wQ8zLr4Vb7Ys1Kd6Pm9Xc3Fj0Ee"
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.]+(?:e[+-]?\d+)?)')


def samples(text: str) -> dict[str, float]:
    """Parse it by the grammar of the text format; every line must be a comment or a sample of a declared metric."""
    found, declared = {}, set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in {"counter", "gauge", "histogram"}
            assert name not in declared
            declared.add(name)
        elif not line.startswith("# HELP "):
            parsed = SAMPLE.fullmatch(line)
            assert parsed, line
            assert parsed[1] in declared or re.sub("_(bucket|sum|count)$", "", parsed[1]) in declared
            assert line.rpartition(" ")[0] not in found
            found[line.rpartition(" ")[0]] = float(parsed[3])
    return found


@pytest.fixture
def app(synthetic_warehouse):
    return create_server(synthetic_warehouse, threads=1, warm=False)


def test_requests_are_counted_by_route_and_status(app):
    client = app.server.test_client()
    for path in (
        "/rows/customers?q=C1",
        "/rows/customers?q=C2",
        "/rows/customers?nonsense=1",
        "/rows/none",
        "/healthz",
    ):
        client.get(path)
    client.post("/nothing/here/" + "x" * 50)
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer.get_data(as_text=True))
    total = "regulars_http_requests_total"
    assert found[f'{total}{{route="/rows/<listing>",method="GET",status="200"}}'] == 2
    assert found[f'{total}{{route="/rows/<listing>",method="GET",status="400"}}'] == 1
    assert found[f'{total}{{route="/rows/<listing>",method="GET",status="404"}}'] == 1
    assert found[f'{total}{{route="none",method="POST",status="405"}}'] == 1
    seconds = "regulars_http_request_seconds"
    assert found[f'{seconds}_count{{route="/rows/<listing>"}}'] == 4
    assert found[f'{seconds}_bucket{{route="/rows/<listing>",le="+Inf"}}'] == 4
    below = [found[f'{seconds}_bucket{{route="/rows/<listing>",le="{bound:g}"}}'] for bound in BUCKETS]
    assert below == sorted(below)
    assert found[f'{seconds}_sum{{route="/rows/<listing>"}}'] > 0


def test_the_snapshot_and_its_age_are_told(app, synthetic_warehouse):
    client = app.server.test_client()
    client.get("/rows/customers")
    found = samples(client.get("/metrics").get_data(as_text=True))
    assert found['regulars_snapshot_info{run="5eed000000000001",as_of="2017-12-31"}'] == 1
    made = (synthetic_warehouse / "runs" / "5eed000000000001" / "manifest.json").stat().st_mtime
    assert abs(found["regulars_snapshot_age_seconds"] - (time.time() - made)) < 60
    assert found["regulars_snapshot_as_of_days"] > 365
    assert found["regulars_open_snapshots"] == 1
    assert found["regulars_build_running"] == 0


def test_without_a_snapshot_it_still_answers(tmp_path):
    client = create_server(tmp_path / "none", warm=False).server.test_client()
    found = samples(client.get("/metrics").get_data(as_text=True))
    assert not any(name.startswith("regulars_snapshot") for name in found)
    assert found["regulars_open_snapshots"] == 0


def test_a_build_that_runs_is_told(app, synthetic_warehouse, monkeypatch):
    from regulars.app import metrics

    record = type("Record", (), {"is_running": True})()
    monkeypatch.setattr(metrics, "running", lambda warehouse: record)
    found = samples(app.server.test_client().get("/metrics").get_data(as_text=True))
    assert found["regulars_build_running"] == 1


def test_labels_are_bounded_whatever_is_asked(app):
    client = app.server.test_client()
    for number in range(300):
        client.get(f"/rows/listing{number}?run={number}")
        client.get(f"/{number}/%0A%22")
        client.open(f"/{number}", method=f"METHOD{number}")
    text = client.get("/metrics").get_data(as_text=True)
    assert len(text.splitlines()) < 120
    assert "METHOD1" not in text
    requests = Requests()
    for number in range(10_000):
        requests.add(f"/{number}", "GET", 200, 0.1)
    assert len(list(requests.lines())) < 40_000


@pytest.fixture
def locked(tmp_path, monkeypatch, synthetic_warehouse):
    """An app behind a proxy that signs people in, and a token for its metrics."""
    monkeypatch.setenv("REGULARS_APP__METRICS_TOKEN", TOKEN)
    path = tmp_path / "regulars.toml"
    path.write_text(
        '[orders]\npath = "none"\n[app]\nsign_in = "proxy"\nhosts = ["regulars.example.com"]\n'
        'trusted_proxies = ["10.0.0.7"]\n'
    )
    return create_server(synthetic_warehouse, settings=path, threads=1, warm=False).server.test_client()


FAR = {"REMOTE_ADDR": "203.0.113.9"}
NEAR = {"REMOTE_ADDR": "127.0.0.1"}
PROXIED = {"REMOTE_ADDR": "10.0.0.7"}
ELSEWHERE = {"Host": "regulars.example.com"}


@pytest.mark.parametrize(
    ("headers", "peer", "status"),
    [
        ({}, NEAR, 401),  # what a proxy on this machine sends that says nothing of whom it asks for
        ({}, FAR, 401),
        (ELSEWHERE, NEAR, 401),
        ({"X-Forwarded-For": "203.0.113.9"}, NEAR, 401),
        ({"Forwarded": "for=203.0.113.9"}, NEAR, 401),
        ({"X-Real-IP": "203.0.113.9"}, NEAR, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, FAR, 200),
        ({"Authorization": f"bearer {TOKEN}"}, FAR, 200),
        ({"Authorization": f"Bearer {TOKEN}x"}, FAR, 401),
        ({"Authorization": "Bearer "}, FAR, 401),
        ({"Authorization": f"Basic {TOKEN}"}, FAR, 401),
        ({"Authorization": "Bearer Ω"}, FAR, 401),
        ({"X-Forwarded-User": "ann", "X-Forwarded-Groups": "viewer"}, PROXIED, 200),
        ({"X-Forwarded-User": "ann", "X-Forwarded-Groups": "nothing"}, PROXIED, 401),
        ({"X-Forwarded-User": "ann", "X-Forwarded-Groups": "viewer"}, FAR, 401),
        ({}, PROXIED, 401),
    ],
)
def test_who_may_read_it(locked, headers, peer, status):
    answer = locked.get("/metrics", headers=headers, environ_base=peer)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "regulars_" not in answer.get_data(as_text=True)


def test_a_weak_token_is_refused(tmp_path, monkeypatch):
    from regulars.sql.errors import SettingsError

    monkeypatch.setenv("REGULARS_APP__METRICS_TOKEN", "prometheus")
    with pytest.raises(SettingsError, match=r"REGULARS_APP__METRICS_TOKEN has 10 bytes"):
        create_server(tmp_path, warm=False)
