"""What the tests of the web app share: the app over a made-up warehouse, asked without a browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dash import Dash
from flask.testing import FlaskClient

from regulars.app.data import AppData
from regulars.app.server import create_server
from regulars.app.snapshot_data import SnapshotData


@pytest.fixture(scope="session")
def app_data(synthetic_warehouse) -> Iterator[AppData]:
    data = AppData(synthetic_warehouse, threads=2)
    yield data
    data.close()


@pytest.fixture(scope="session")
def snapshot(app_data) -> SnapshotData:
    return app_data.snapshot()


@pytest.fixture(scope="session")
def app(synthetic_warehouse) -> Dash:
    return create_server(synthetic_warehouse, threads=2, warm=False)


@pytest.fixture
def client(app) -> FlaskClient:
    return app.server.test_client()


@pytest.fixture
def call() -> Callable[..., Any]:
    """Run a callback of an app as its page would: by the start of its output, with values of inputs and states."""

    def call_(app: Dash, output: str, *inputs: Any, state: tuple[Any, ...] = ()) -> Any:
        app.server.test_client().get("/_dash-layout")  # sets Dash up
        (name,) = [key for key in app.callback_map if key.strip(".").startswith(output.strip("."))]
        spec = app.callback_map[name]
        parts = [part.rpartition(".") for part in name.strip(".").split("...")]
        outputs = [{"id": part[0], "property": part[2].partition("@")[0]} for part in parts]
        body = {
            "output": name,
            "outputs": outputs if name.startswith("..") else outputs[0],
            "inputs": [{**one, "value": value} for one, value in zip(spec["inputs"], inputs, strict=True)],
            "state": [{**one, "value": value} for one, value in zip(spec["state"], state, strict=True)],
            "changedPropIds": [],
        }
        answer = app.server.test_client().post("/_dash-update-component", json=body)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()["response"]

    return call_
