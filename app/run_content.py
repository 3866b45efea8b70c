"""What goes into one run: every table, the models and the manifest, from staged inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..sql import lineage
from ..sql.catalog import checks, queries
from ..sql.contract import OUTPUT_TABLES, Table
from ..sql.door import INPUTS, describe_inputs
from ..sql.durability import canonical_json
from ..sql.errors import CheckFailed
from ..sql.pipeline import PREVIOUS, Pipeline, settings_parameters
from .campaigns import Campaign, campaign_tables, described, learn_campaigns
from .churn import Churn, learn_churn
from .incremental import carried_facts
from .prices import Prices, learn_prices
from .valuation import Histories, Valuation, value_customers, value_kpis

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.engine import Engine
    from ..sql.run_writer import RunWriter
    from ..sql.settings import Settings
    from ..sql.sources import Staged
    from .incremental import Increment
    from .progress import Progress

_READ_BY_MODELS = (
    "customer_id",
    "frequency",
    "recency",
    "T",
    "monetary_value",
    "T_days",
    "first_order_revenue",
)
_HOLDOUT = ("holdout_summary",)
_SCORED = ("customer_summary", *_HOLDOUT)
_CAMPAIGNS = ("sends", "customers", "customer_days", "return_lines")
_PRICES = ("order_lines", "products", "stock", "promotions", "exchange_rates")
_TRACKED = ("first_purchases_by_day", "repeat_purchases_by_day", "holdout_summary")


@dataclass(frozen=True)
class Ingredients:
    """All that a run is made of; ``increment`` is None for a full build."""

    settings: "Settings"
    engine: "Engine"
    staged: "Staged"
    inputs: Mapping[str, lineage.InputLineage]
    code: Mapping[str, Any]
    as_of: date
    increment: "Increment | None"


class RunContent:
    """Writes one run; ``notes`` then say what the data could not answer, ``warnings`` what checks warn of."""

    def __init__(self, made_of: Ingredients, writer: "RunWriter") -> None:
        self.made_of = made_of
        self.writer = writer
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self._tables: dict[str, dict[str, Any]] = {}
        increment = made_of.increment
        self.pipeline = Pipeline(
            made_of.engine,
            settings_parameters(made_of.settings, made_of.as_of),
            given=increment.given if increment else (),
            tracks_returns=increment.carried["tracks_returns"] if increment else None,
        )

    def write(self, step: "Progress") -> None:
        """Check the input, then write every table, model and the manifest.

        Raises
        ------
        CheckFailed
            A blocking check found rows, or the money does not reconcile.
        """
        step("check")
        results = self.pipeline.check()
        self._judge(results)
        step("gather customers")
        made_by_query = [query for query in queries().values() if query.output in OUTPUT_TABLES]
        self.pipeline.make(*(query.output for query in made_by_query))
        money = self._reconcile()
        histories, calibration_end = self._histories()
        made_of = self.made_of
        valuation = value_customers(histories, made_of.settings, made_of.as_of, calibration_end, step)
        self.notes += valuation.notes
        orders, spend = valuation.order_model, valuation.spend_model
        models = (orders, spend) if orders is not None and spend is not None else None
        campaigns = learn_campaigns(self.pipeline, made_of.settings, step, models=models)
        self.notes += [note for campaign in campaigns for note in campaign.notes]
        churn = learn_churn(self.pipeline, made_of.settings, made_of.as_of, step)
        self.notes += churn.notes
        prices = learn_prices(self.pipeline, made_of.settings, made_of.as_of, step)
        self.notes += prices.notes
        step("write tables")
        read_by_checks = sorted({table for check in checks().values() for table in check.inputs})
        self._write("check_results", results, tuple(read_by_checks), "sql/checks")
        self._write("model_reports", valuation.reports, _HOLDOUT, "clv.evaluate_models")
        self._write("model_calibration", valuation.calibration, _HOLDOUT, "clv.evaluate_models")
        self._write("order_tracking", valuation.tracking, _TRACKED, "clv.track_orders")
        self._write("customer_scores", valuation.scores, ("customer_summary", *_HOLDOUT), "clv.score_customers")
        self._write(
            "customer_intervals", valuation.intervals, ("customer_summary", *_HOLDOUT), "clv.customer_intervals"
        )
        terms = valuation.portfolio_terms
        self._write("portfolio_terms", terms, ("customer_summary", *_HOLDOUT), "clv.portfolio_terms")
        self._write("score_terms", valuation.terms, ("customer_summary", *_HOLDOUT), "clv.score_terms")
        kpis = ("customer_days", "customer_summary", "customer_scores")
        self._write("kpis", self._kpis(valuation), kpis, "base_kpis, clv.portfolio_terms")
        made_by = "clv.forecast_churn" if made_of.settings.churn else "none"
        self._write("customer_churn", churn.scores, ("customer_days",), made_by)
        self._write("churn_reports", churn.reports, ("customer_days",), made_by)
        self._write("churn_calibration", churn.calibration, ("customer_days",), made_by)
        for name, rows in campaign_tables(campaigns).items():
            self._write(name, rows, _CAMPAIGNS, "app.campaigns" if campaigns else "none")
        for name, rows in prices.tables.items():
            self._write(name, rows, _PRICES, "app.prices" if made_of.settings.pricing else "none")
        for query in made_by_query:
            self._write(query.output, None, query.inputs, query.name, lineage.query_fingerprint(query))
        self._manifest(valuation, campaigns, churn, prices, money)

    def _judge(self, results: "pa.Table") -> None:
        blocking = []
        for row in results.to_pylist():
            said = f"{row['check_name']} found {row['found']:,} rows, such as {row['example']}: {row['message']}"
            if not row["passed"] and row["severity"] == "blocking":
                blocking.append(said)
            elif not row["passed"] and row["severity"] == "warning":
                self.warnings.append(said)
        if blocking:
            raise CheckFailed("; ".join(blocking))

    def _histories(self) -> tuple[Histories, date | None]:
        import pyarrow as pa

        engine, unit = self.made_of.engine, self.made_of.settings.value.time_unit
        summary = engine.query(f"SELECT {', '.join(_READ_BY_MODELS)} FROM customer_summary ORDER BY customer_id")
        if summary.num_rows == 0:
            self.notes.append("no customer: every line was set aside, see rejected_order_lines")
            none = pa.table({})
            return Histories(_in_units(summary, unit), none, none, none), None
        holdout = self.pipeline.run("holdout_summary").sort_by("customer_id")
        calibration_end = self.pipeline.parameters["calibration_end"]
        first, repeat = (
            self.pipeline.run(name).sort_by("day") for name in ("first_purchases_by_day", "repeat_purchases_by_day")
        )
        return Histories(_in_units(summary, unit), _in_units(holdout, unit), first, repeat), calibration_end

    def _kpis(self, valuation: Valuation) -> "pa.Table":
        import pyarrow as pa

        base = self.pipeline.run("base_kpis")
        concentration = self.pipeline.run("value_concentration")
        ours = value_kpis(valuation, concentration, self.made_of.as_of, self.made_of.settings)
        return pa.concat_tables([ours, base.cast(ours.schema)])

    def _reconcile(self) -> list[dict[str, Any]]:
        rows = self.made_of.engine.query("SELECT * FROM money_reconciliation ORDER BY ALL").to_pylist()
        for currency in sorted({row["currency"] for row in rows}):
            own = [row for row in rows if row["currency"] == currency]
            came_in = sum((row["revenue"] for row in own if row["disposition"] == "in"), Decimal(0))
            went = sum((row["revenue"] for row in own if row["disposition"] != "in"), Decimal(0))
            if came_in != went:
                raise CheckFailed(
                    f"money does not reconcile in {currency}: in {came_in}, used and set aside {went}; "
                    "please report it, with the output of 'regulars query money_reconciliation --fresh'"
                )
        return [{name: str(v) if isinstance(v, Decimal) else v for name, v in row.items()} for row in rows]

    def _write(
        self, name: str, rows: "pa.Table | None", inputs: tuple[str, ...], maker: str, query_fingerprint: str = ""
    ) -> None:
        """Write a table that the engine holds, or that ``rows`` puts there first."""
        if rows is not None:
            self.made_of.engine.register(name, rows)
        table = OUTPUT_TABLES[name]
        columns = ", ".join(f'CAST("{column.name}" AS {column.type}) AS "{column.name}"' for column in table.columns)
        with self.made_of.engine.reader(f'SELECT {columns} FROM "{name}" ORDER BY {_total_order(table)}') as reader:
            schema = reader.schema
            if name == "customer_summary":
                schema = schema.with_metadata({"regulars.time_unit": self.made_of.settings.value.time_unit})
            facts = self.writer.write_table(name, reader, schema)
        types = {column.name: column.type for column in table.columns}
        own = tuple(table for table in inputs if not table.startswith(PREVIOUS))
        made = lineage.TableLineage(name, own, maker, query_fingerprint, columns=types, **facts)
        self._tables[name] = made.to_dict()

    def _manifest(
        self,
        valuation: Valuation,
        campaigns: list[Campaign],
        churn: Churn,
        prices: Prices,
        money: list[dict[str, Any]],
    ) -> None:
        from ..clv.persistence import model_text, model_version

        models = {}
        for model in (valuation.order_model, valuation.spend_model, churn.forecast):
            if model is not None:
                models[model.name] = self.writer.write_text(f"models/{model.name}.json", model_text(model))
                models[model.name]["version"] = model_version(model)
        self.writer.write_text(INPUTS, canonical_json(describe_inputs(self.made_of.engine, self.made_of.staged)))
        parameters = {name: _plain(value) for name, value in sorted(self.pipeline.parameters.items())}
        self.writer.manifest = {
            "as_of": self.made_of.as_of.isoformat(),
            "regulars_version": __version__,
            "code": self.made_of.code,
            "settings": self.made_of.settings.identity(),
            "seed": self.made_of.settings.build.seed,
            "parameters": parameters,
            "inputs": {table: said.to_dict() for table, said in sorted(self.made_of.inputs.items())},
            "carried": carried_facts(self.pipeline, self.made_of.staged, self.made_of.increment),
            "tables": self._tables,
            "models": models,
            "effects": self._save_effects(campaigns),
            "campaigns": described(campaigns),
            "markdowns": self._save_plans(prices),
            "churn": churn.described(),
            "model": {
                "name": valuation.order_model.name if valuation.order_model else "",
                "chosen_because": valuation.chosen_because,
                "verdict": valuation.verdict,
                "dispersion": valuation.dispersion and valuation.dispersion.to_dict(),
            },
            "money": money,
            "notes": self.notes,
        }

    def _save_plans(self, prices: Prices) -> dict[str, Any]:
        saved: dict[str, Any] = {name: dict(said) for name, said in prices.described().items()}
        for name, inputs in prices.plans.items():
            folder = f"markdown_{name}"
            inputs.save(self.writer.path / "models" / folder)
            saved[name] |= {"folder": folder, "files": self.writer.files(f"models/{folder}")}
        return saved

    def _save_effects(self, campaigns: list[Campaign]) -> dict[str, Any]:
        saved = {}
        for campaign in campaigns:
            if campaign.effects is not None and campaign.report is not None:
                folder = f"campaign_{campaign.name}"
                campaign.effects.save(self.writer.path / "models" / folder)
                self.writer.write_text(f"models/{folder}/evaluation.json", canonical_json(campaign.report.to_dict()))
                saved[folder] = {
                    "version": campaign.effects.model_version,
                    "files": self.writer.files(f"models/{folder}"),
                }
        return saved


def _total_order(table: Table) -> str:
    # The grain alone would do where it holds; with every column behind it, equal bytes do not depend on that.
    names = [*table.grain, *(name for name in table.column_names if name not in table.grain)]
    return ", ".join(f'"{name}" NULLS FIRST' for name in names)


def _in_units(rows: "pa.Table", unit: str) -> "pa.Table":
    return rows.replace_schema_metadata({"regulars.time_unit": unit})


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
