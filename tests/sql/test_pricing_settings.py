"""[pricing] in regulars.toml: what is allowed, how a mistake is named, what is part of a snapshot's identity."""

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

import regulars
from regulars.app.prices import require_pricing
from regulars.pricing import rules
from regulars.sql.errors import SettingsError
from regulars.sql.pricing_settings import RULES
from regulars.sql.settings import Settings


def made(**pricing):
    return Settings.from_mapping({"orders": {"path": "o.parquet"}, "pricing": pricing})


def with_plan(**plan):
    return made(markdowns={"spring": plan})


@pytest.mark.parametrize(
    ("pricing", "said"),
    [
        ({"categoris": ["x"]}, "[pricing] categoris: unknown key 'categoris'; did you mean 'categories'?"),
        ({"stores": "each"}, "[pricing] stores = 'each' is not allowed; allowed: 'together', 'apart'"),
        ({"half_life": 0}, "[pricing] half_life = 0 is not allowed; allowed: greater than 0"),
        ({"markdowns": {"a b": {}}}, "a name of at most 64 letters, digits"),
        ({"period": "day", "markdowns": {"a": {}}}, "plans set prices by the week and need 'week'"),
    ],
)
def test_a_mistake_is_named(pricing, said):
    with pytest.raises(SettingsError) as error:
        made(**pricing)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"wekks": 4}, "[pricing.markdowns.spring] wekks: unknown key 'wekks'; did you mean 'weeks'?"),
        ({"ladder": [0, 20, 50]}, "ladder = [0, 20, 50] is not allowed; allowed: depths off the regular price from 0"),
        ({"ladder": [0, 1.0]}, "to below 1 (1 is none; give shares, not per cent)"),
        ({"ladder": [0.5, 0.2]}, "depths sorted from shallow to deep, each once"),
        ({"ladder": [0.2, 0.2]}, "depths sorted from shallow to deep, each once"),
        ({"ladder": []}, "at least one"),
        ({"ladder": [False, 0.5]}, "allowed: a list of depths off the regular price, such as [0.0, 0.2, 0.5]"),
        ({"ladder": ["0.1", "0.2"]}, "allowed: a list of depths off the regular price, such as [0.0, 0.2, 0.5]"),
        ({"ladder": 0.5}, "allowed: a list of depths off the regular price, such as [0.0, 0.2, 0.5]"),
        ({"stock_within_weeks": -1}, "stock_within_weeks = -1 is not allowed"),
        ({"starts": "2018-01-03"}, "a Monday, on which weeks begin (2018-01-03 is a Wednesday)"),
        ({"starts": "soon"}, "a date as YYYY-MM-DD"),
        ({"objective": "profit"}, "allowed: 'revenue', 'margin'"),
        ({"salvage": 2}, "salvage = 2 is not allowed"),
        ({"assumed_weeks_of_cover": -1}, "assumed_weeks_of_cover = -1 is not allowed"),
        ({"weeks": 0}, "weeks = 0 is not allowed"),
        ({"rules": [{"rule": "MaxMarkdown", "count": 1}]}, "no rule 'MaxMarkdown'; did you mean 'MaxMarkdowns'?"),
        ({"rules": [{"rule": "MaxMarkdowns", "cuont": 1}]}, "it takes no 'cuont'; did you mean 'count'?"),
        ({"rules": [{"rule": "MaxMarkdowns"}]}, "MaxMarkdowns with count = ... (it is missing)"),
        ({"rules": [{"count": 1}]}, "one has no rule ="),
        ({"rules": [{"rule": "PricesMayRise", "where": "YOGURT"}]}, "PricesMayRise with where as a table"),
    ],
)
def test_a_mistake_in_a_plan_is_named(plan, said):
    with pytest.raises(SettingsError) as error:
        with_plan(**plan)
    assert said in str(error.value)


def test_every_rule_of_the_planner_can_be_named_with_its_own_arguments_and_no_other():
    known = {
        name: rule
        for name, rule in vars(rules).items()
        if isinstance(rule, type) and issubclass(rule, rules.Rule) and rule is not rules.Rule
    }
    for name, rule in known.items():
        own = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(rule) if f.name != "where"}
        assert dict(RULES[name]) == own
    assert set(RULES) == set(known)


def test_what_only_shapes_the_price_file_is_no_part_of_a_snapshot():
    plain = with_plan(weeks=4)
    assert with_plan(weeks=4, max_snapshot_age_days=90, unplanned_items=True).fingerprint == plain.fingerprint
    assert with_plan(weeks=5).fingerprint != plain.fingerprint
    assert made().fingerprint != Settings.from_mapping({"orders": {"path": "o.parquet"}}).fingerprint
    assert "pricing" not in Settings.from_mapping({"orders": {"path": "o.parquet"}}).identity()


def test_a_plan_is_found_by_its_name():
    assert with_plan(weeks=6).markdown("spring").weeks == 6
    with pytest.raises(SettingsError, match=r"no \[pricing.markdowns.sprin\]; did you mean 'spring'\?"):
        with_plan().markdown("sprin")


def test_the_environment_overrides_it(monkeypatch):
    monkeypatch.setenv("REGULARS_PRICING__STORES", "apart")
    assert made(categories=["x"]).pricing.stores == "apart"


def test_the_settings_of_the_how_to_are_allowed_and_their_tables_name_every_key():
    text = (Path(regulars.__file__).parent / "docs" / "pricing.md").read_text(encoding="utf-8")
    said = tomllib.loads(re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)[0])
    said["orders"]["path"] = "o.parquet"
    settings = Settings.from_mapping(said)
    require_pricing(settings)
    assert len(settings.markdown("winter").rules) == 3
    first, second = (set(type(section).model_fields) for section in (settings.pricing, settings.markdown("winter")))
    tables = text.partition("## Settings of a plan")
    for names, table in ((first - {"markdowns"}, tables[0]), (second, tables[2])):
        assert {name for name in names if f"`{name}`" not in table} == set()
