"""The OpenAPI 3.1 description of the read API, made of the contract: `docs/openapi.json`, and what the API says."""

from functools import cache
from typing import Any

from .. import __version__
from ..sql.tables import Column
from .api_answers import DECISIONS, ESTIMATES, INTERVAL, MOST_IDS, PARTS, shown

PREFIX = "/api/v1"

_TYPES = {"BIGINT": "integer", "DOUBLE": "number", "DECIMAL": "number", "BOOLEAN": "boolean", "VARCHAR": "string"}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is the matter, what is allowed, what to do"},
        "allowed": {"type": "array", "items": {"type": "string"}},
    },
}


@cache
def description() -> dict[str, Any]:
    """Return the description as plain JSON values.

    Examples
    --------
    >>> sorted(description()["paths"])[0]
    '/api/v1/campaigns/{campaign}/decision'
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "regulars",
            "version": __version__,
            "summary": "Customers and campaign decisions of the current snapshot, for e-mail and web jobs.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made by: regulars token create NAME"}
            },
            "schemas": _schemas(),
        },
    }


def _paths() -> dict[str, Any]:
    path_id = _parameter("path", "id", "The customer's id, percent-encoded")
    query_id = _parameter("query", "id", "The customer's id; for ids that a path cannot carry, such as '..'")
    campaign = _parameter("path", "campaign", "Name of the [campaigns.NAME] section, percent-encoded")
    who = _parameter("query", "customer", "The customer's id")
    day = _parameter("query", "on", "Day of the sends; the latest that was decided without it", required=False)
    day["schema"] = {"type": "string", "format": "date"}
    body = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ids"}}},
    }
    return {
        f"{PREFIX}/customers/{{id}}": {"get": _operation("customer", "One customer", "Customer", path_id)},
        f"{PREFIX}/customers": {
            "get": _operation("customerById", "One customer, the id in the query", "Customer", query_id)
        },
        f"{PREFIX}/customers:batch": {
            "post": _operation("customers", f"Up to {MOST_IDS:,} customers of one run", "Customers")
            | {"requestBody": body}
        },
        f"{PREFIX}/campaigns/{{campaign}}/decision": {
            "get": _operation("decision", "What a campaign decided for a customer", "Decision", campaign, who, day)
        },
        f"{PREFIX}/snapshot": {"get": _operation("snapshot", "Which run answers", "Snapshot")},
        f"{PREFIX}/openapi.json": {"get": _operation("description", "This description", "Description")},
    }


def _operation(name: str, summary: str, schema: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    is_tagged = schema not in {"Description", "Customers"}
    tag = {"If-None-Match": "the ETag of an answer that the client has"} if is_tagged else {}
    said: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, *(_parameter("header", n, text, required=False) for n, text in tag.items())],
        "responses": {
            "200": {
                "description": "The answer, wholly of the run it names",
                "headers": {"ETag": {"description": "Of the run", "schema": {"type": "string"}}} if is_tagged else {},
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
            },
            **({"304": {"description": "What the client has is still true"}} if is_tagged else {}),
            "400": _refusal("A parameter or the body is not allowed"),
            "401": _refusal("No token, or one that opens nothing"),
            "404": _refusal("No such customer, campaign or path"),
            "503": _refusal("No snapshot to answer from"),
        },
    }
    if name == "customers":
        said["responses"] |= {
            "413": _refusal("More than 1 MB"),
            "415": _refusal("The body is no application/json"),
        }
    return said


def _refusal(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


def _parameter(where: str, name: str, text: str, *, required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required, "description": text, "schema": {"type": "string"}}


def _schemas() -> dict[str, Any]:
    run = {
        "run_id": _text("The snapshot's run"),
        "as_of": {"type": "string", "format": "date", "description": "The date every figure speaks from"},
        "horizon": _object(
            "How far ahead expectations look",
            {"length": {"type": "integer"}, "unit": {"type": "string", "enum": ["hour", "day", "week", "month"]}},
        ),
        "currency": _nullable(_text("ISO code of the money")),
    }
    customer = {
        "customer_id": _text("As it was asked for"),
        "model_version": _nullable(_text("What scored the customer")),
        **{part: {"anyOf": [{"$ref": f"#/components/schemas/{part.title()}"}, {"type": "null"}]} for part in PARTS},
    }
    one = {"$ref": "#/components/schemas/CustomerOfRun"}
    return {
        "Customer": _object("One customer", {**run, **customer}),
        "CustomerOfRun": _object("One of several customers of one run", customer),
        "Customers": _object(
            "Several customers of one run, in the order asked for",
            {
                **run,
                "customers": {"type": "array", "items": one},
                "unknown": {"type": "array", "items": {"type": "string"}, "description": "Ids that the run has not"},
            },
        ),
        **{part.title(): _part(part) for part in PARTS},
        "Estimate": _object(
            "An expectation with its predictive interval",
            {
                **{name: _nullable({"type": "number"}) for name in ("value", "low", "high")},
                "level": {"type": "number", "const": INTERVAL},
            },
        ),
        "Decision": _decision(),
        "Snapshot": _object(
            "Which run answers",
            {
                **run,
                "customers": {"type": "integer"},
                "model": _nullable(_text("Which model of orders won the holdout")),
                "verdict": _nullable(_text("By how much")),
            },
        ),
        "Ids": _object(
            "Whom to answer for",
            {
                "ids": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 1,
                    "maxItems": MOST_IDS,
                }
            },
        )
        | {"additionalProperties": False},
        "Description": {"type": "object"},
        "Problem": _PROBLEM,
    }


def _part(part: str) -> dict[str, Any]:
    table = PARTS[part]
    columns: dict[str, Any] = {column.name: _schema(column) for column in shown(table)}
    for name in ESTIMATES.keys() & columns.keys():
        columns[name] = {"$ref": "#/components/schemas/Estimate", "description": columns[name]["description"]}
    return _object(table.meaning, columns)


def _decision() -> dict[str, Any]:
    money = {"type": ["number", "null"]}
    return _object(
        "What a campaign's list decided for a customer",
        {
            "campaign": _text("The campaign"),
            "customer_id": _text("The customer"),
            "on": {"type": "string", "format": "date", "description": "Day of the sends"},
            "decision": {
                "type": "string",
                "enum": list(DECISIONS),
                "description": "; ".join(f"{name}: {meaning}" for name, meaning in DECISIONS.items()),
            },
            "arm": _nullable(_text("What to send, or the name of the control; null for the suppressed")),
            "reason": _text("Why"),
            "propensity": money | {"description": "Probability of that arm before any draw; null for the suppressed"},
            "explored": {"type": "boolean", "description": "Drawn at random"},
            "expected_effect": money | {"description": "Outcome with the arm less outcome without"},
            "expected_profit": money | {"description": "What the arm is expected to bring, its cost taken off"},
            "expected_cost": money | {"description": "What the arm is expected to cost"},
            "decision_run": _text("The list's run"),
            "snapshot": _object(
                "What it was decided from",
                {"run_id": _nullable(_text("The snapshot's run")), "as_of": _nullable(_text("Its date"))},
            ),
            "model_version": _nullable(_text("Whose effects")),
        },
    )


def _schema(column: Column) -> dict[str, Any]:
    kind = _TYPES.get(column.type.partition("(")[0], "string")
    unit = f" ({column.unit})" if column.unit else ""
    said: dict[str, Any] = {"type": [kind, "null"], "description": f"{column.meaning}{unit}"}
    return said | ({"format": "date"} if column.type == "DATE" else {})


def _object(text: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": text, "required": list(properties), "properties": properties}


def _text(text: str) -> dict[str, Any]:
    return {"type": "string", "description": text}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"type": [schema["type"], "null"]}
