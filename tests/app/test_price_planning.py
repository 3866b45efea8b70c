"""Plans made otherwise: other ladders, budgets, lengths and rules, for all or some items, and prices by hand."""

import json
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from regulars.app import cli as command_line
from regulars.app.markdown import changed_plan, markdown
from regulars.app.price_overrides import parse_override
from regulars.app.price_planning import PlanTerms, replan, unchanged_worth
from regulars.app.price_plans import PlanInputs
from regulars.pricing import plan_markdowns
from regulars.pricing.rules import Budget, MaxMarkdowns
from regulars.sql.errors import AlreadyDecided, ModelError, SettingsError

ON = date(2024, 7, 1)


def made(n=6, weeks=4, rules=(), *, goal="revenue", seed=3):
    """Inputs of a plan of n items, of brands of two."""
    rng = np.random.default_rng(seed)
    regular = np.round(rng.uniform(5, 30, n), 2)
    items = pa.table(
        {
            "item": [f"i{k}" for k in range(n)],
            "product": [f"i{k}" for k in range(n)],
            "store_id": [""] * n,
            "regular_price": regular,
            "on_hand": np.round(rng.uniform(15, 60, n)),
            "elasticity": -rng.uniform(1.6, 3.2, n),
            "current_discount": np.zeros(n),
            "unit_cost": np.round(regular * 0.3, 2),
            "salvage_value": np.round(regular * 0.2, 2),
            "brand": [f"b{k // 2}" for k in range(n)],
        }
    )
    units = rng.uniform(3, 9, (n, weeks))
    return PlanInputs("p", ON, weeks, (0.0, 0.2, 0.4), goal, True, tuple(rules), 1e-6, items, units)


def given_away(inputs, rows):
    regular = dict(zip(inputs.items["item"].to_pylist(), inputs.items["regular_price"].to_pylist(), strict=True))
    return sum((regular[row["item"]] - row["price"]) * row["units"] for row in rows)


def test_nothing_said_is_the_same_plan_to_the_last_digit(planned_shop, priced_snapshot):
    inputs = made(rules=[{"rule": "MaxMarkdowns", "count": 1}])
    plan, found = inputs.plan(), replan(inputs)
    assert found.plan.prices.equals(plan.prices)
    assert (found.objective, found.bound, found.gap) == (plan.objective, plan.bound, plan.gap)
    snapshot = priced_snapshot.snapshot
    shown = changed_plan(snapshot, "clearance", (), PlanTerms())
    rows = snapshot.read("markdown_plan").to_pylist()
    assert list(shown.rows) == rows
    # the same again, planned anew with what the settings say as if it were new
    said = PlanTerms.of({"rules": [dict(r) for r in PlanInputs.load(_folder(snapshot)).rules]})
    again = changed_plan(snapshot, "clearance", (), said)
    assert [{**row} for row in again.rows] == rows
    assert again.changes == ()
    assert again.account["objective"] == shown.account["objective"]


def _folder(snapshot):
    return snapshot.path / "models" / "markdown_clearance"


class TestTerms:
    def test_for_all_items_are_what_the_planner_gives(self):
        inputs = made()
        terms = PlanTerms.of(
            {"ladder": [0, 0.1, 0.3], "weeks": 3, "rules": [{"rule": "MaxMarkdowns", "count": 1}], "budget": 80.0}
        )
        found = replan(inputs, terms)
        columns = {name: np.array(inputs.items[name].to_pylist()) for name in inputs.items.column_names}
        plan = plan_markdowns(
            columns,
            ladder=(0, 0.1, 0.3),
            weeks=inputs.dates[:3],
            rules=[MaxMarkdowns(1), Budget(80.0)],
            expected_units=inputs.units[:, :3],
            objective=inputs.objective,
            gap=1e-6,
        )
        assert found.plan.prices.equals(plan.prices)
        assert found.objective == plan.objective
        assert given_away(inputs, found.prices().values()) <= 80.0 + 1e-6

    @pytest.mark.parametrize("goal", ["revenue", "margin"])
    def test_for_some_items_leave_the_others_their_plan(self, goal):
        inputs = made(goal=goal, rules=[{"rule": "SellThrough", "share": 0.99, "penalty": 1.0}])
        before, found = replan(inputs), replan(inputs, PlanTerms.of({"ladder": [0, 0.5], "items": ["i1", "i4"]}))
        old, new = before.prices(), found.prices()
        assert {key for key in new if key[0] not in {"i1", "i4"}} == {k for k in old if k[0] not in {"i1", "i4"}}
        assert all(new[key] == old[key] for key in new if key[0] not in {"i1", "i4"})
        assert {row["discount"] for key, row in new.items() if key[0] in {"i1", "i4"}} <= {0.0, 0.5}
        # the worth of all is what the same prices, each fixed, come to in one plan
        fixed = [
            {"rule": "FixedPrice", "item": key[0], "week": inputs.dates.index(key[1]) + 1, "discount": row["discount"]}
            for key, row in new.items()
        ]
        whole = replan(inputs, PlanTerms.of({"ladder": [0, 0.2, 0.4, 0.5], "rules": [*fixed, *inputs.rules]}))
        assert found.objective == pytest.approx(whole.objective, abs=1e-9)
        assert found.missed == pytest.approx(whole.missed, abs=1e-9)
        assert found.objective <= found.bound
        assert found.explain("i1").weeks[0].price == new["i1", ON]["price"]
        assert found.explain("i0").weeks[0].price == old["i0", ON]["price"]

    def test_of_some_items_have_what_the_others_leave_of_a_budget(self):
        rules = [{"rule": "Budget", "amount": 150.0}]
        inputs = made(rules=rules)
        found = replan(inputs, PlanTerms.of({"ladder": [0, 0.1, 0.5], "items": ["i1", "i4"]}))
        assert given_away(inputs, found.prices().values()) <= 150.0 + 1e-6
        written_down = made(rules=[{"rule": "Budget", "amount": 300.0, "basis": "on_hand", "planned": 40.0}])
        found = replan(written_down, PlanTerms.of({"ladder": [0, 0.1, 0.5], "items": ["i1", "i4"]}))
        standing = dict(zip(inputs.items["item"].to_pylist(), inputs.items["regular_price"].to_pylist(), strict=True))
        cost = 0.0
        for (item, _), row in sorted(found.prices().items()):
            cost += max(standing[item] - row["price"], 0.0) * row["on_hand"]
            standing[item] = row["price"]
        assert cost <= 260.0 + 1e-6

    def test_of_some_items_may_not_part_a_group(self):
        inputs = made(rules=[{"rule": "AllOrNothing", "by": "brand"}])
        with pytest.raises(SettingsError, match=r"AllOrNothing.*ties the chosen items to others \(brand 'b0': i1\)"):
            replan(inputs, PlanTerms.of({"ladder": [0, 0.5], "items": ["i0"]}))
        assert replan(inputs, PlanTerms.of({"ladder": [0, 0.5], "items": ["i0", "i1"]})).objective > 0

    def test_fewer_weeks_end_an_item_early(self):
        inputs = made(rules=[{"rule": "Budget", "amount": 500.0, "weeks": [3, 4]}])
        found = replan(inputs, PlanTerms.of({"weeks": 2, "items": ["i2"]}))
        weeks = [key[1] for key in found.prices() if key[0] == "i2"]
        assert weeks == [ON, ON + timedelta(weeks=1)]
        assert len(found.prices()) == 6 * 4 - 2
        whole = replan(inputs, PlanTerms.of({"weeks": 2}))
        assert {key[1] for key in whole.prices()} == {ON, ON + timedelta(weeks=1)}
        assert unchanged_worth(inputs, whole) <= whole.objective + 1e-9
        with pytest.raises(SettingsError, match="--weeks 5: the plan of the snapshot has 4"):
            replan(inputs, PlanTerms.of({"weeks": 5}))

    def test_that_conflict_name_the_smallest_set(self):
        rules = [{"rule": "SellThrough", "share": 1.0}, {"rule": "MaxMarkdowns", "count": 0}]
        with pytest.raises(ModelError, match=r'"SellThrough", share = 1.0 \} and \{ rule = "MaxMarkdowns", count = 0'):
            replan(made(), PlanTerms.of({"rules": rules}))

    @pytest.mark.parametrize(
        ("said", "text"),
        [
            ({"ladder": [0.5, 0.2]}, "ladder of the plan: depths sorted from shallow to deep"),
            ({"ladder": "0.5"}, "ladder of the plan: a list of depths"),
            ({"weeks": 0}, "weeks of the plan"),
            ({"budget": -1}, "budget of the plan: -1 is no amount from 0"),
            ({"budget": "5"}, "is no amount from 0"),
            ({"rules": [{"rule": "MaxMarkdown", "count": 1}]}, "did you mean 'MaxMarkdowns'"),
            ({"items": "tee"}, "items of the plan: a list of names"),
            ({"laddre": [0]}, "a plan has no 'laddre'; did you mean 'ladder'"),
        ],
    )
    def test_that_cannot_be(self, said, text):
        with pytest.raises(SettingsError) as error:
            PlanTerms.of(said)
        assert text in str(error.value)

    def test_are_read_from_words_and_written_as_such(self):
        words = ["--ladder", "0,0.15,0.3", "--weeks", "3", "--budget", "250.5"]
        words += ["--rule", '{ rule = "Budget", amount = 5, weeks = [1, 2], where = { brand = "b\\"1" } }']
        terms = PlanTerms.of_words("0,15%,0.3", 3, 250.5, [words[-1]], ["b", "a", "b"])
        assert terms.options() == [*words, "--item", "a", "--item", "b"]
        assert PlanTerms.of(json.loads(json.dumps(terms.to_dict()))) == terms
        assert PlanTerms.of_words(rules=["none"]).options() == ["--rule", "none"]
        assert not PlanTerms.of_words(items=["a"])
        for rule in ("MaxMarkdowns", "{ rule = ", "5"):
            with pytest.raises(SettingsError):
                PlanTerms.of_words(rules=[rule])
        with pytest.raises(SettingsError, match="'deep' is no depth"):
            PlanTerms.of_words("0,deep")


class TestByHand:
    def test_prices_stay_on_other_terms(self):
        inputs = made()
        by_hand = [parse_override(word) for word in ("i1:1=20%", "i3:2=40%")]
        for terms in (
            {},
            {"budget": 400.0},
            {"weeks": 2},
            {"items": ["i1"], "budget": 60.0},
            {"items": ["i5"], "weeks": 1},
        ):
            found = replan(inputs, PlanTerms.of(terms), by_hand)
            prices = found.prices()
            assert prices["i1", ON]["discount"] == pytest.approx(0.2)
            assert prices["i3", ON + timedelta(weeks=1)]["discount"] == pytest.approx(0.4)
            assert found.by_hand == {("i1", ON), ("i3", ON + timedelta(weeks=1))}

    def test_conflicts_name_rules_and_prices(self):
        with pytest.raises(ModelError, match=r"override i1:1=40% and override i1:2=20% cannot both hold"):
            replan(made(), None, [parse_override("i1:1=40%"), parse_override("i1:2=20%")])
        terms = PlanTerms.of({"rules": [{"rule": "MaxMarkdowns", "count": 0}], "items": ["i1"]})
        with pytest.raises(ModelError, match=r'override i1:2=40% and \{ rule = "MaxMarkdowns", count = 0 \}'):
            replan(made(), terms, [parse_override("i1:2=40%")])


class TestTheCommand:
    def test_says_what_other_terms_bring(self, planned_shop):
        plain = markdown(planned_shop.settings(), on=ON)
        terms = PlanTerms.of({"rules": [{"rule": "MaxMarkdowns", "count": 0}]})
        found = markdown(planned_shop.settings(), on=ON, terms=terms)
        assert found.worth_before == plain.account["objective"]
        assert found.account["objective"] == pytest.approx(plain.account["unchanged"])
        assert found.account["unchanged"] == pytest.approx(plain.account["unchanged"])
        assert found.account["revenue"] + found.account["salvage"] == pytest.approx(
            found.account["objective"], abs=1e-6
        )
        assert {change.overridden for change in found.changes} == {False}
        assert "with --rule '{ rule = \"MaxMarkdowns\", count = 0 }' it is worth" in found.text()
        assert all(row["binding_rule"] in {"", "MaxMarkdowns(count=0)"} for row in found.rows if not row["reason"])

    def test_writes_what_it_says_and_records_the_terms(self, planned_shop, own_warehouse, tmp_path):
        terms = PlanTerms.of({"weeks": 2, "items": ["item_0004"]})
        out = tmp_path / "p.csv"
        found = markdown(own_warehouse, on=ON, terms=terms, out=out)
        assert found.outcome == "written"
        last = max(line.split(",")[3] for line in out.read_text().splitlines() if line.startswith('"item_0004"'))
        assert last == "2024-07-14"
        assert "off sale (planned anew)" in found.text() or all(c.price is not None for c in found.changes)
        assert {c.price for c in found.changes if c.week >= date(2024, 7, 15)} == {None}
        import pyarrow.parquet as pq

        facts = json.loads(pq.read_schema(found.record).metadata[b"regulars.prices"])
        assert facts["terms"] == {"weeks": 2, "items": ["item_0004"]}
        assert markdown(own_warehouse, on=ON, terms=terms, out=out).outcome == "unchanged"
        with pytest.raises(AlreadyDecided, match="was priced before"):
            markdown(own_warehouse, on=ON, out=tmp_path / "q.csv")

    def test_takes_them_as_options(self, planned_shop, tmp_path):
        settings = tmp_path / "regulars.toml"
        said = planned_shop.settings(str(planned_shop.settings().warehouse))
        monday = said.value.as_of
        lines = [f'[{n}]\npath = "{planned_shop.folder / (n + ".parquet")}"' for n in ("orders", "products", "stock")]
        lines += [f"[value]\nas_of = {monday}", f'[build]\nwarehouse = "{said.warehouse}"\nthreads = 1']
        lines += ['[pricing]\ncategories = ["drinks", "snacks"]', "[pricing.markdowns.clearance]"]
        settings.write_text("\n".join(lines))
        words = ["markdown", "-s", str(settings), "--on", str(ON), "--json", "--ladder", "0,0.5", "--item", "flat"]
        done = CliRunner().invoke(command_line.cli, [*words, "--rule", "none", "--budget", "30"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["terms"] == {"ladder": [0.0, 0.5], "budget": 30.0, "rules": [], "items": ["flat"]}
        prices = {row["price"] for row in found["prices"] if row["item"] == "flat"}
        assert {float(price) for price in prices} <= {4.0, 2.0}

    def test_can_free_a_plan_whose_rules_conflict(self, planned_shop, tmp_path):
        from regulars.app.build import run_build

        rules = [{"rule": "SellThrough", "share": 1.0}, {"rule": "MaxMarkdowns", "count": 0}]
        settings = planned_shop.settings(str(tmp_path / "conflict"), plan={"rules": rules})
        run_build(settings, progress=False)
        terms = PlanTerms.of({"rules": [rules[1]]})
        found = markdown(settings, terms=terms, on=ON)
        assert found.worth_before is None
        assert found.account["objective"] == pytest.approx(found.account["unchanged"])
        assert found.account["planned_items"] > 0
        with pytest.raises(ModelError, match="its rules conflict"):
            markdown(settings, on=ON)
