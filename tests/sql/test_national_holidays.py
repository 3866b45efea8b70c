"""National holidays: named by country and part, in English everywhere; refused as each caller refuses."""

from datetime import date

import pandas as pd
import pytest

from regulars.clv.shopping_calendar import public_holidays
from regulars.pricing import with_calendar
from regulars.sql.errors import MissingExtraError, ModelError, SettingsError
from regulars.sql.national_holidays import national_holidays

MISSING = "somebody needs it: pip install it"


def test_names_are_those_of_the_country_and_its_part():
    # gov.uk/bank-holidays: 2 January and St Andrew's Day are Scotland's alone
    scotland = national_holidays("GB-SCT", [2024], missing=MISSING)
    england = national_holidays("GB-ENG", [2024], missing=MISSING)
    assert {date(2024, 1, 2), date(2024, 12, 2)} <= scotland.keys() - england.keys()
    assert "Andrew" in scotland[date(2024, 12, 2)]


@pytest.mark.parametrize("language", ["", "uk", "de_DE.UTF-8", "en_US.UTF-8"])
def test_names_do_not_depend_on_the_machine_s_language(monkeypatch, language):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANGUAGE", language)
    assert national_holidays("DE", [2024], missing=MISSING)[date(2024, 10, 3)] == "German Unity Day"
    weeks = pd.DataFrame({"week": [pd.Timestamp("2024-09-30")]})
    assert with_calendar(weeks, holidays="DE")["holiday"].tolist() == ["German Unity Day"]
    (day,) = public_holidays("DE", date(2024, 9, 30), date(2024, 10, 6))
    assert day[0] == "German Unity Day"


def test_days_are_in_order_and_of_the_years_asked_for():
    found = list(national_holidays("US", range(2016, 2019), missing=MISSING))
    assert found == sorted(found)
    assert {day.year for day in found} == {2016, 2017, 2018}
    assert national_holidays("US", [], missing=MISSING) == {}


@pytest.mark.parametrize("country", ["Atlantis", "XX", "GB-XYZ", "-", ""])
def test_a_country_that_is_not_known_is_said_to_each_caller_in_its_own_words(country):
    said = f"{country!r} is no country or part of one whose holidays are known; give an ISO 3166 code such as 'US'"
    with pytest.raises(LookupError, match=f"^{said}"):
        national_holidays(country, [2024], missing=MISSING)
    with pytest.raises(ModelError, match=f"^country {said}"):
        public_holidays(country, date(2024, 1, 1), date(2024, 12, 31))
    if country:
        with pytest.raises(SettingsError, match=f"^holidays = {said}"):
            with_calendar(pd.DataFrame({"week": [pd.Timestamp("2024-01-01")]}), holidays=country)


def test_where_the_package_is_missing_each_caller_names_its_own_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "holidays", None)
    with pytest.raises(MissingExtraError, match=f"^{MISSING}$"):
        national_holidays("US", [2024], missing=MISSING)
    with pytest.raises(MissingExtraError, match=r"a clock with country .*'regulars\[churn\]'; or give holidays=False"):
        public_holidays("US", date(2024, 1, 1), date(2024, 12, 31))
    with pytest.raises(MissingExtraError, match=r"holidays needs the package .*'regulars\[pricing\]'"):
        with_calendar(pd.DataFrame({"week": [pd.Timestamp("2024-01-01")]}), holidays="US")
