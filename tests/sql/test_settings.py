"""Settings: every wrong value is named with what is allowed, and the fingerprint follows the meaning alone."""

import subprocess
import sys
from datetime import date

import pytest

from regulars.sql.errors import SettingsError
from regulars.sql.settings import Settings

ORDERS = {"orders": {"path": "orders.parquet"}}


def test_defaults_are_the_documented_ones():
    settings = Settings.from_mapping(ORDERS)
    assert settings.shop.model_dump() == {"currency": "GBP", "timezone": "UTC", "week_starts_on": "monday"}
    assert settings.policy.model_dump() == {
        "guests": "set_aside",
        "refunds": "net",
        "duplicates": "keep",
        "zero_revenue": "keep",
        "return_window_days": 30,
    }
    assert settings.value.model_dump() == {
        "time_unit": "week",
        "horizon": 52,
        "margin": 1.0,
        "discount_rate": 0.10,
        "as_of": None,
        "calibration_end": None,
        "calibrate_intervals": True,
    }
    assert settings.build.model_dump() == {
        "warehouse": "warehouse",
        "keep_runs": 10,
        "threads": None,
        "memory_limit": None,
        "seed": 20261121,
    }


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, ["no [orders] section", "write one with path ="]),
        (
            ORDERS | {"polcy": {}},
            ["[polcy]: unknown section 'polcy'; did you mean 'policy'?", "allowed: app, build, camp"],
        ),
        (
            ORDERS | {"policy": {"guest": "set_aside"}},
            ["[policy] guest: unknown key 'guest'; did you mean 'guests'?", "allowed: duplicates, guests, refunds"],
        ),
        ({"orders": {"pth": "x"}}, ["[orders] pth: unknown key 'pth'; did you mean 'path'?", "[orders] path: missing"]),
        (
            ORDERS | {"policy": {"guests": "drop"}},
            ["[policy] guests = 'drop'", "allowed: 'set_aside', 'one_customer_per_order'", "leave it out for 'set_"],
        ),
        (
            ORDERS | {"shop": {"timezone": "Europe/Londn"}},
            ["[shop] timezone = 'Europe/Londn'", "IANA", "did you mean 'Europe/London'?", "leave it out for 'UTC'"],
        ),
        (ORDERS | {"shop": {"currency": "pound"}}, ["[shop] currency = 'pound'", "ISO 4217", "'GBP'"]),
        (ORDERS | {"shop": {"week_starts_on": "mon"}}, ["week_starts_on = 'mon'", "'monday', 'tuesday'"]),
        (ORDERS | {"value": {"horizon": 0}}, ["[value] horizon = 0", "greater than or equal to 1", "for 52"]),
        (ORDERS | {"value": {"horizon": 1_000_000}}, ["horizon = 1000000 weeks", "20 years", "at most 1043"]),
        (ORDERS | {"value": {"margin": 30}}, ["[value] margin = 30", "less than or equal to 1", "for 1.0"]),
        (ORDERS | {"value": {"discount_rate": float("nan")}}, ["discount_rate = nan", "a finite number", "for 0.1"]),
        (ORDERS | {"value": {"as_of": "yesterday"}}, ["[value] as_of = 'yesterday'", "YYYY-MM-DD"]),
        (
            ORDERS | {"value": {"as_of": date(2011, 1, 1), "calibration_end": date(2011, 6, 1)}},
            ["[value]: calibration_end = 2011-06-01 must be earlier than as_of = 2011-01-01", "change one"],
        ),
        (ORDERS | {"build": {"threads": "many"}}, ["[build] threads = 'many'", "allowed: integer"]),
        (ORDERS | {"build": {"memory_limit": "4"}}, ["memory_limit = '4'", "'4GB'"]),
        ({"orders": {"path": ""}}, ["[orders] path = ''", "a file, glob, folder"]),
        ({"orders": {"path": 7}}, ["[orders] path = 7", "a file, glob, folder"]),
        ({"orders": {"path": ["a.parquet", 7]}}, ["[orders] path = ['a.parquet', 7]", "a list of such"]),
        ({"orders": {"path": "x", "columns": {"revenue": 3}}}, ["[orders] columns.revenue = 3", "text in quotes"]),
        ({"orders": "orders.parquet"}, ["[orders] = 'orders.parquet'", "a table of keys"]),
        ({"orders": {"path": "x", "format": "xlsx"}}, ["[orders] format = 'xlsx'", "'parquet', 'csv'"]),
        (
            {"orders": {"path": "x", "csv": {"delimiter": ";"}}},
            ["[orders] csv = {'delimiter': ';'}", "'delimiter'; did you mean 'delim'?", "allowed: all_varchar"],
        ),
        (
            ORDERS | {"campaigns": {"winback": {"windw_days": 3}}},
            [
                "[campaigns.winback] windw_days: unknown key 'windw_days'; did you mean 'window_days'?",
                "allowed: budget",
            ],
        ),
        (
            ORDERS | {"campaigns": {"winback": {"offers": {"voucher": {"cost": "free"}}}}},
            ["[campaigns.winback.offers.voucher] cost = 'free' is not allowed", "leave it out for 0.0"],
        ),
        (ORDERS | {"campaigns": {"winback": {"budget": -1}}}, ["[campaigns.winback] budget = -1 is not allowed"]),
        (ORDERS | {"campaigns": {"win/back": {}}}, ["[campaigns.win/back]", "letters, digits, '-' and '_'"]),
        (
            ORDERS | {"campaigns": {"winback": {"rest_is_control": True}}},
            ["[campaigns.winback]: rest_is_control = true needs kind = 'observational'"],
        ),
        (
            ORDERS | {"campaigns": {"winback": {"outcome": "orders"}}},
            ["[campaigns.winback]: outcome = 'orders' needs margin = what one order earns"],
        ),
        (
            ORDERS | {"campaigns": {"winback": {"margin": 30}}},
            ["[campaigns.winback]: margin = 30 is a share of revenue, at most 1"],
        ),
        (
            ORDERS | {"campaigns": {"winback": {"offers": {"control": {}}}}},
            ["[campaigns.winback]: offers.control is the control"],
        ),
        (
            {"orders": {"path": "x", "csv": {"ignore_errors": True}}},
            ["[orders] csv = {'ignore_errors': True}", "allowed: all_varchar"],
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(sections, said):
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(sections, origin="regulars.toml")
    text = str(caught.value)
    assert text.startswith("regulars.toml: ")
    assert [part for part in said if part not in text] == []
    assert "pydantic" not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_all_mistakes_are_said_at_once():
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(ORDERS | {"policy": {"guest": 1, "refunds": "no"}, "value": {"horizon": -1}})
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_is_read_and_its_folder_remembered(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "regulars.toml").write_text('[orders]\npath = "o.parquet"\n[value]\nas_of = 2011-12-09\n')
    settings = Settings.from_toml(folder / "regulars.toml")
    assert settings.folder == folder
    assert settings.warehouse == folder / "warehouse"
    assert settings.value.as_of == date(2011, 12, 9)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no settings file at"),
        (b"[orders\npath = 1", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, said):
    path = tmp_path / "regulars.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=said) as caught:
        Settings.from_toml(path)
    assert str(path) in str(caught.value)


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match="cannot read the settings file"):
        Settings.from_toml(tmp_path)


def test_the_environment_overrides_the_file_and_arguments_override_both(tmp_path, monkeypatch):
    path = tmp_path / "regulars.toml"
    path.write_text('[orders]\npath = "o.parquet"\n[build]\nthreads = 1\nseed = 5\nkeep_runs = 3\n')
    monkeypatch.setenv("REGULARS_BUILD__THREADS", "4")
    monkeypatch.setenv("REGULARS_BUILD__SEED", "6")
    monkeypatch.setenv("REGULARS_ORDERS__COLUMNS__REVENUE", "amount")
    build = Settings.from_toml(path, build={"seed": 7}).build
    assert (build.threads, build.seed, build.keep_runs) == (4, 7, 3)
    assert Settings.from_toml(path).orders.columns == {"revenue": "amount"}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("REGULARS_BUILD__THREADS", "x", ["environment variable REGULARS_BUILD__THREADS = 'x'", "integer"]),
        ("REGULARS_BILD__THREADS", "2", ["REGULARS_BILD__THREADS: no section [bild]; did you mean 'build'?"]),
        ("REGULARS_BUILD__THREDS", "2", ["environment variable REGULARS_BUILD__THREDS", "did you mean 'threads'?"]),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(ORDERS)
    assert [part for part in said if part not in str(caught.value)] == []


def test_variables_of_other_parts_are_left_alone(monkeypatch):
    monkeypatch.setenv("REGULARS_SOMETHING", "x")
    Settings.from_mapping(ORDERS)


def test_settings_are_read_only():
    settings = Settings.from_mapping(ORDERS)
    with pytest.raises(Exception, match="frozen"):
        settings.policy.guests = "set_aside"


def _from(folder, text, **sections):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "regulars.toml").write_text(text)
    return Settings.from_toml(folder / "regulars.toml", **sections)


TOML = '[orders]\npath = "o.parquet"\ncolumns = { revenue = "a", customer_id = "b" }\n[value]\nmargin = 0.3\n'


def test_the_fingerprint_does_not_depend_on_the_place(tmp_path):
    here = _from(tmp_path / "a", TOML)
    moved = _from(tmp_path / "b" / "c", TOML)
    assert here.to_dict() == moved.to_dict()
    assert here.fingerprint == moved.fingerprint
    elsewhere = here.model_copy(update={"orders": here.orders.model_copy(update={"path": "/data/o.parquet"})})
    assert elsewhere.fingerprint == here.fingerprint


@pytest.mark.parametrize("change", [{"warehouse": "/w"}, {"keep_runs": 2}, {"threads": 3}, {"memory_limit": "1GB"}])
def test_the_fingerprint_does_not_depend_on_resources(tmp_path, change):
    assert _from(tmp_path, TOML, build=change).fingerprint == _from(tmp_path, TOML).fingerprint


def test_the_fingerprint_does_not_depend_on_the_app(tmp_path):
    app = {"data_folders": ["/data"], "max_upload_mb": 10}
    assert _from(tmp_path, TOML, app=app).fingerprint == _from(tmp_path, TOML).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"build": {"seed": 1}},
        {"shop": {"timezone": "Europe/London"}},
        {"policy": {"refunds": "ignore"}},
        {"value": {"horizon": 26}},
        {"value": {"as_of": date(2020, 1, 1)}},
        {"orders": {"columns": {"sku": "c"}}},
        {"orders": {"csv": {"delim": ";"}}},
        {"customer_links": {"path": "links.csv"}},
        {"campaigns": {"winback": {}}},
    ],
)
def test_the_fingerprint_follows_everything_else(tmp_path, change):
    assert _from(tmp_path, TOML, **change).fingerprint != _from(tmp_path, TOML).fingerprint


def test_the_fingerprint_follows_what_a_campaign_learns_from_and_not_how_its_list_is_made(tmp_path):
    def fingerprint(**campaign):
        return _from(tmp_path, TOML, campaigns={"winback": campaign}).fingerprint

    assert fingerprint(budget=100.0, holdout=0.2, offers={"mail": {"stock": 3}}) == fingerprint(offers={"mail": {}})
    changes = [{"window_days": 7}, {"offers": {"mail": {"cost": 0.1}}}, {"learner": "t"}, {"learn_from": ["may"]}]
    assert len({fingerprint(), *(fingerprint(**change) for change in changes)}) == len(changes) + 1


def test_a_campaign_is_given_with_its_defaults_filled_in_and_an_unknown_one_is_named():
    settings = Settings.from_mapping(ORDERS | {"value": {"margin": 0.4}, "campaigns": {"winback": {}}})
    assert settings.campaign("winback").margin == 0.4
    assert settings.campaign("winback").learn_from == ("winback",)
    with pytest.raises(SettingsError, match=r"no \[campaigns\.winbak\]; did you mean 'winback'\?"):
        settings.campaign("winbak")


def test_the_fingerprint_does_not_depend_on_the_order_of_keys(tmp_path):
    turned = '[value]\nmargin = 0.3\n[orders]\ncolumns = { customer_id = "b", revenue = "a" }\npath = "o.parquet"\n'
    assert _from(tmp_path, turned).fingerprint == _from(tmp_path, TOML).fingerprint


def test_the_fingerprint_is_the_same_in_another_process(tmp_path):
    settings = _from(tmp_path, TOML)
    path = str(settings.folder / "regulars.toml")
    program = f"from regulars.sql.settings import Settings; print(Settings.from_toml({path!r}).fingerprint)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.strip() == settings.fingerprint
