"""The start page: what may be named, what is written, and that nothing is without a true click of who may."""

import json
import os
import random
import tomllib

import pytest

from regulars.app.access import Person
from regulars.app.build_jobs import jobs_of
from regulars.app.components.start_mapping import COLUMNS
from regulars.app.data_preview import DataFolders, OutsideError, look_into, preview
from regulars.app.server import create_server
from regulars.app.start_settings import settings_target
from regulars.sql.errors import ContractError, SettingsError, SourceError
from regulars.sql.settings import Settings

LINES = "kunde;datum;betrag\n" + "".join(f"K{i % 23};{1 + i % 28:02}.{1 + i % 12:02}.2023;{i},50\n" for i in range(400))
MAPPING = {
    "customer_id": "kunde",
    "ordered_at": "try_strptime(\"datum\", '%d.%m.%Y')",
    "revenue": "replace(regexp_replace(\"betrag\", '[^0-9,-]', '', 'g'), ',', '.')",
}


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "orders.csv").write_text(LINES)
    (tmp_path / "secret.csv").write_text("customer,date,amount\nx,2024-01-01,1\n")
    return folder


@pytest.fixture
def app(place):
    return create_server(place / "warehouse", warm=False)


def values(path="orders.csv", currency="EUR", timezone="UTC", mapping=None):
    chosen = MAPPING if mapping is None else mapping
    return (currency, timezone, *[chosen.get(name, "") for name in COLUMNS], path)


def post(app, output: str, inputs: tuple, state: tuple = (), changed: str = ""):
    """A callback as its page would ask for it, a click said in ``changed``."""
    app.server.test_client().get("/_dash-layout")
    (name,) = [key for key in app.callback_map if key.strip(".").startswith(output)]
    spec = app.callback_map[name]
    parts = [part.rpartition(".") for part in name.strip(".").split("...")]
    outputs = [{"id": part[0], "property": part[2].partition("@")[0]} for part in parts]
    body = {
        "output": name,
        "outputs": outputs if name.startswith("..") else outputs[0],
        "inputs": [{**one, "value": value} for one, value in zip(spec["inputs"], inputs, strict=True)],
        "state": [{**one, "value": value} for one, value in zip(spec["state"], state, strict=True)],
        "changedPropIds": [changed] if changed else [],
    }
    answer = app.server.test_client().post("/_dash-update-component", json=body)
    assert answer.status_code in {200, 204}, answer.get_data(as_text=True)
    return answer.get_json()["response"] if answer.status_code == 200 else {}


def draft(app, **changes) -> dict:
    chosen = values(**changes)
    return post(app, "start-preview.children", chosen[:-1], chosen[-1:])


def text(value) -> str:
    return json.dumps(value, ensure_ascii=False)


def build(app, shown, *, clicks=1, changed="start-build.n_clicks", **changes) -> str:
    return text(post(app, "start-result.children", (clicks,), (shown, *values(**changes)), changed))


# ---------------------------------------------------------------- the way from nothing to a file


def test_every_page_of_an_app_without_a_snapshot_is_this_one(app, call):
    for path in ("/", "/customers", "/data", "/start"):
        shown = text(call(app, "..page.children", path, None, state=("",)))
        assert "Set up" in shown
        assert "No snapshot yet" in shown
        assert "regulars demo" in shown
    body = text(post(app, "start-body.children", (True,), ("?path=orders.csv",)))
    assert '"value": "orders.csv"' in body
    assert "regulars.toml" in body


def test_a_file_is_looked_into_guessed_and_shown_as_it_will_be_read(app, place):
    seen = text(post(app, "start-look.children", ("orders.csv", True)))
    assert "1 CSV file" in seen
    for said in MAPPING.values():
        assert json.dumps(said) in seen
    found = draft(app)
    shown = text(found["start-preview"]["children"])
    assert "K0" in shown
    assert "2023-01-01" in shown
    assert found["start-build"]["disabled"] is False
    said = tomllib.loads(found["start-text"]["children"])
    assert said["orders"] == {"path": "orders.csv", "columns": MAPPING}
    assert said["build"] == {"warehouse": "warehouse"}
    assert not (place / "regulars.toml").exists()
    assert not (place / "warehouse").exists()


def test_the_build_writes_what_was_shown_audits_it_and_uses_it_from_then_on(app, place, monkeypatch):
    data = app.server.extensions["regulars"]
    started = []
    monkeypatch.setattr(type(jobs_of(data)), "start", lambda _, path, person: started.append((path, person.name)))
    found = draft(app)
    assert "is written" in build(app, found["start-shown"]["data"])
    path = place / "regulars.toml"
    assert path.read_text() == found["start-text"]["children"]
    assert Settings.from_toml(path).orders.columns == MAPPING
    assert started == [(path, "local")]
    assert data.settings().warehouse == data.path
    assert [line.action for line in data.state.audit_lines()] == ["build", "write settings"]


def test_a_file_that_is_there_is_changed_in_place_and_kept(place, monkeypatch):
    before = "# ours\n[orders]  # till\npath = 'old.csv'\n\n[value]\nhorizon = 26  # half a year\n"
    (place / "regulars.toml").write_text(before)
    app = create_server(place / "warehouse", settings=place / "regulars.toml", warm=False)
    data = app.server.extensions["regulars"]
    monkeypatch.setattr(type(jobs_of(data)), "start", lambda *_: None)
    found = draft(app)
    assert "kept as regulars.toml." in build(app, found["start-shown"]["data"])
    now = (place / "regulars.toml").read_text()
    assert "# ours\n[orders]  # till\n" in now
    assert "horizon = 26  # half a year" in now
    (kept,) = place.glob("regulars.toml.*.bak")
    assert kept.read_text() == before


def test_nothing_is_written_that_was_not_shown(app, place):
    shown = draft(app)["start-shown"]["data"]
    assert "has changed since" in build(app, shown, timezone="Europe/Berlin")
    (place / "regulars.toml").write_text("[orders]\npath = 'orders.csv'\n")
    assert "has changed since" in build(app, shown)
    assert (place / "regulars.toml").read_text() == "[orders]\npath = 'orders.csv'\n"


@pytest.mark.parametrize(
    ("clicks", "changed"),
    [
        *((clicks, "start-build.n_clicks") for clicks in (None, 0, -1, True, 1.0, 10**30, "1")),
        (1, ""),
        (1, "start-check.n_clicks"),
    ],
)
def test_nothing_is_written_without_a_click(app, place, clicks, changed):
    shown = draft(app)["start-shown"]["data"]
    build(app, shown, clicks=clicks, changed=changed)
    assert not (place / "regulars.toml").exists()
    assert not (place / "warehouse").exists()


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_only_admins_look_draft_check_and_build(app, place, monkeypatch, role):
    shown = draft(app)["start-shown"]["data"]
    eve = Person("eve", role)
    monkeypatch.setattr("regulars.app.access.current_person", lambda: eve)
    monkeypatch.setattr("regulars.app.pages.start.current_person", lambda: eve)
    assert "needs the role admin" in text(draft(app))
    assert "Not allowed" in text(post(app, "start-look.children", ("orders.csv", True)))
    assert "needs the role admin" in build(app, shown)
    assert "needs the role admin" in text(post(app, "start-check-id.data", (1,), values(), "start-check.n_clicks"))
    assert "An admin says here" in text(post(app, "start-body.children", (True,), ("",)))
    assert not (place / "regulars.toml").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"currency": None}, "choose the currency"),
        ({"mapping": {"customer_id": "kunde"}}, "nothing feeds ordered_at"),
        ({"mapping": MAPPING | {"revenue": "betrag + 1"}}, "betrag"),
        ({"mapping": MAPPING | {"revenue": "(SELECT 1)"}}, "a subquery"),
        ({"mapping": MAPPING | {"sku": "read_text('/etc/passwd')"}}, "sku"),
        ({"mapping": MAPPING | {"sku": "getenv('HOME')"}}, "from outside the line"),
        ({"mapping": MAPPING | {"customer_id": "kundde"}}, "did you mean 'kunde'"),
        ({"mapping": MAPPING | {"ordered_at": "datum"}}, "try_strptime"),
        ({"timezone": "Mars/Olympus"}, "IANA"),
        ({"currency": "euro"}, "three capitals"),
        ({"path": ""}, "name a folder or a file"),
        ({"path": "../secret.csv"}, "outside the folders"),
        ({"path": "package:lifetimes/datasets/CDNOW_sample.txt"}, "no path of this machine"),
        ({"path": "http://127.0.0.1:9/x.csv"}, "no path of this machine"),
    ],
)
def test_a_mistake_is_said_in_place_of_the_rows_and_cannot_be_built(app, changes, said):
    found = draft(app, **changes)
    assert said in text(found["start-preview"]["children"])
    assert found["start-build"]["disabled"] is True


def test_checks_are_asked_for_by_a_name_that_cannot_be_forged(app):
    for name in ("x", "../../etc/passwd", "", None, 7, [], "a" * 10_000):
        assert "Traceback" not in text(post(app, "start-checks.children@", (1,), (name,)))


def test_forged_values_write_nothing_and_are_answered(app, place):
    rng = random.Random(7)
    nasty = [None, 0, -1, True, [], {}, "x" * 5000, "'; DROP TABLE x; --", "<img src=x onerror=alert(1)>", "\x00", "..",
             "~", "/etc/passwd", "file:///etc/passwd", "*", "**/*", "[", 10**30, {"a": [1]}]  # fmt: skip
    for _ in range(40):
        some = tuple(rng.choice(nasty) for _ in range(len(COLUMNS) + 3))
        post(app, "start-preview.children", some[:-1], some[-1:])
        post(app, "start-look.children", some[:2])
        post(app, "start-result.children", (rng.choice(nasty),), (rng.choice(nasty), *some))
        post(app, "start-check-id.data", (rng.choice(nasty),), some)
        post(app, "build-message.children...", (rng.choice(nasty),))
    assert sorted(path.name for path in place.iterdir()) == ["orders.csv"]


# ---------------------------------------------------------------- what may be named


def test_paths_stay_inside_links_and_dots_resolved(place, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.csv").write_text("x\n1\n")
    (place / "link.csv").symlink_to(tmp_path / "secret.csv")
    (place / "linked").symlink_to(tmp_path / "elsewhere")
    (place / "mixed").mkdir()
    (place / "mixed" / "own.csv").write_text("x\n1\n")
    (place / "mixed" / "theirs.csv").symlink_to(tmp_path / "secret.csv")
    folders = DataFolders.of(place)
    assert folders.checked("orders.csv") == "orders.csv"
    assert folders.checked(str(place / "orders.csv")) == "orders.csv"
    assert folders.checked("./mixed/../orders.csv") == "orders.csv"
    assert folders.checked("mixed/*.csv") == "mixed/*.csv"
    for outside in (
        "../secret.csv", "link.csv", "linked", "linked/a.csv", str(tmp_path), "/etc/passwd", "/", "..", "~root",
        "../*.csv", "mixed/*/../../../secret.csv", "/etc/*", "s3://bucket/x.csv", "../shop-2/x.csv",
    ):  # fmt: skip
        with pytest.raises(OutsideError):
            folders.checked(outside)
    for nothing in ("", "  ", "\x00", "x" * 1001):
        with pytest.raises(SourceError):
            folders.checked(nothing)
    with pytest.raises(OutsideError, match=r"theirs\.csv"):
        look_into(Settings.from_mapping({"orders": {"path": "mixed"}}, folder=place), folders)
    with pytest.raises(OutsideError):
        look_into(Settings.from_mapping({"orders": {"path": "*.csv"}}, folder=place), folders)


def test_further_folders_are_those_that_the_settings_name(place, tmp_path):
    (place / "regulars.toml").write_text('[orders]\npath = "orders.csv"\n[app]\ndata_folders = [".."]\n')
    app = create_server(place / "warehouse", settings=place / "regulars.toml", warm=False)
    target = settings_target(app.server.extensions["regulars"])
    assert target.folders.checked("../secret.csv") == str(tmp_path / "secret.csv")
    with pytest.raises(OutsideError):
        target.folders.checked("/etc/passwd")


def test_candidates_are_found_without_following_links_or_looking_forever(place, tmp_path):
    (place / "many").mkdir()
    for i in range(30):
        (place / "many" / f"{i:02}.parquet").write_bytes(b"x")
    (place / ".hidden").mkdir()
    (place / ".hidden" / "a.csv").write_text("x")
    (place / "loop").symlink_to(place)
    (place / "warehouse" / "runs").mkdir(parents=True)
    (place / "warehouse" / "current.json").write_text("{}")
    (place / "warehouse" / "runs" / "kpis.parquet").write_bytes(b"x")
    found = DataFolders.of(place).candidates()
    assert found[:2] == ["orders.csv", "many"]
    assert not any("hidden" in one or "loop" in one or "warehouse" in one for one in found)
    assert len(found) <= 60


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b"\n\n", "no line"),
        ("head.csv", b"a,b\n", "no line"),
        ("zip.csv", b"PK\x03\x04\x00\x00", "is no text"),
        ("bad.parquet", b"PAR1 nonsense", "cannot be read as Parquet"),
        ("gone.csv", None, "no file or folder"),
    ],
)
def test_what_is_no_table_is_named(place, name, content, said):
    if content is not None:
        (place / name).write_bytes(content)
    with pytest.raises(SourceError, match=said):
        look_into(Settings.from_mapping({"orders": {"path": name}}, folder=place), DataFolders.of(place))


def test_a_mapping_reads_no_other_file_even_where_it_passes_for_an_expression(place, tmp_path):
    settings = {"orders": {"path": "orders.csv", "columns": MAPPING | {"sku": "(FROM '../secret.csv')"}}}
    with pytest.raises((ContractError, SettingsError)):
        preview(Settings.from_mapping(settings, folder=place), DataFolders.of(place))


def test_a_settings_file_that_is_no_toml_is_said_and_left_alone(place, call):
    (place / "regulars.toml").write_text("[orders")
    with pytest.raises(SettingsError):
        create_server(place / "warehouse", settings=place / "regulars.toml", warm=False)
    app = create_server(place / "warehouse", warm=False)
    assert "is not TOML" in text(draft(app))
    assert (place / "regulars.toml").read_text() == "[orders"


def test_a_folder_that_cannot_be_written_is_said_before_the_build(app, place, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = draft(app)
    assert "cannot be written" in text(found["start-preview"]["children"])
    assert found["start-build"]["disabled"] is True
