"""Roles hold on the server: for every callback and route there is, whatever a page claims."""

import ast
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import regulars
from regulars.app import access, state
from regulars.app.access import LOCAL, NotAllowed, Person, current_person, require
from regulars.app.server import create_server
from regulars.app.uploads import HEADER

APP = Path(regulars.__file__).parent / "app"
RUN = "5eed000000000001"
ORIGIN = {"Origin": "http://localhost"}


def as_(role: str) -> dict[str, str]:
    return {"X-Forwarded-User": role, "X-Forwarded-Groups": role, **ORIGIN}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, synthetic_warehouse):
    here = tmp_path_factory.mktemp("roles")
    shutil.copytree(synthetic_warehouse, here / "warehouse", ignore=shutil.ignore_patterns("state.sqlite*"))
    (here / "regulars.toml").write_text(
        '[orders]\npath = "orders.csv"\n[app]\nsign_in = "proxy"\ntrusted_proxies = ["127.0.0.1"]\n'
    )
    (here / "orders.csv").write_text("customer_id,ordered_at,revenue\nC1,2017-01-01,1.00\n")
    return here


@pytest.fixture(scope="module")
def app(folder):
    return create_server(folder / "warehouse", settings=folder / "regulars.toml", threads=1, warm=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but logs of SQLite: a write that was not allowed shows here."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ---------------------------------------------------------------- who may what


@pytest.mark.parametrize("has", access.ROLES)
@pytest.mark.parametrize("needs", access.ROLES)
def test_a_role_holds_what_is_below_it(has, needs):
    assert Person("ann", has).may(needs) == (access.ROLES.index(has) >= access.ROLES.index(needs))


def test_a_request_that_nobody_signed_in_for_may_nothing(app):
    with app.server.test_request_context("/"):
        with pytest.raises(NotAllowed, match="nobody is signed in"):
            current_person()
        with pytest.raises(NotAllowed):
            require("viewer")


def test_who_sits_at_the_machine_may_everything():
    assert current_person() == LOCAL
    assert require("admin") == LOCAL


# ---------------------------------------------------------------- every callback, clicked on as each role


def clicks(app, rng: random.Random) -> list[dict]:
    """A request for every callback of the server, as a page would send it after a click on each of its buttons."""
    app.server.test_client().get("/_dash-layout", headers=as_("viewer"))
    paths = ["/", "/customers", "/start", "/models"]
    values = [
        "",
        "x",
        "best",
        "VIP",
        "orders.csv",
        "winback",
        "january",
        1,
        0.3,
        True,
        ["C1"],
        {"path": "orders.csv"},
        None,
    ]
    found = []
    for name, spec in app.callback_map.items():
        if "callback" not in spec:
            continue
        parts = [part.rpartition(".") for part in name.strip(".").split("...")]
        outputs = [{"id": part[0], "property": part[2].partition("@")[0]} for part in parts]

        def value(one: dict):
            known = {
                "n_clicks": 1, "n_intervals": 1, "n_submit": 1, "opened": True, "checked": True,
                "search": "?plan=january", "pathname": rng.choice(paths),
            }  # fmt: skip
            if one["property"] in known:
                return known[one["property"]]
            return RUN if one["id"] == "run" else rng.choice(values)

        inputs = [{**one, "value": value(one)} for one in spec["inputs"]]
        for clicked in [one for one in spec["inputs"] if one["property"].startswith("n_")] or spec["inputs"][:1]:
            found.append(
                {
                    "output": name,
                    "outputs": outputs if name.startswith("..") else outputs[0],
                    "inputs": inputs,
                    "state": [{**one, "value": value(one)} for one in spec["state"]],
                    "changedPropIds": [f"{clicked['id']}.{clicked['property']}"],
                }
            )
    return found


@pytest.fixture
def watched(monkeypatch):
    """What the server tried: the roles that were asked for and refused, what was written, what was started."""
    seen = {"refused": [], "written": [], "started": []}
    may, writing = Person.may, state.State.writing

    def may_(self, role):
        allowed = may(self, role)
        if not allowed:
            seen["refused"].append(role)
        return allowed

    def writing_(self):
        seen["written"].append(self.path)
        return writing(self)

    monkeypatch.setattr(Person, "may", may_)
    monkeypatch.setattr(state.State, "writing", writing_)
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **more: seen["started"].append(words))
    return seen


def test_a_viewer_writes_nothing_whatever_is_clicked(app, folder, watched):
    client, before = app.server.test_client(), contents(folder)
    for seed in range(3):
        for body in clicks(app, random.Random(seed)):
            answer = client.post("/_dash-update-component", json=body, headers=as_("viewer"))
            assert answer.status_code in {200, 204, 400, 403}, body
            assert watched["written"] == [], body
            assert watched["started"] == [], body
    assert contents(folder) == before
    # it was no idle clicking: writers were reached, and refused
    assert watched["refused"].count("analyst") >= 3
    assert watched["refused"].count("admin") >= 3


def test_an_analyst_neither_builds_nor_rolls_back(app, folder, watched):
    client = app.server.test_client()
    before = {name: text for name, text in contents(folder).items() if "state.sqlite" not in name}
    for body in clicks(app, random.Random(1)):
        asked = len(watched["refused"])
        wrote = len(watched["written"])
        answer = client.post("/_dash-update-component", json=body, headers=as_("analyst"))
        assert answer.status_code in {200, 204, 400, 403}, body
        if len(watched["refused"]) > asked:
            assert len(watched["written"]) == wrote, body
    assert watched["started"] == []
    assert set(watched["refused"]) == {"admin"}
    after = {name: text for name, text in contents(folder).items() if "state.sqlite" not in name}
    assert after["regulars.toml"] == before["regulars.toml"]
    assert after["warehouse/current.json"] == before["warehouse/current.json"]


def test_a_role_that_the_page_claims_counts_for_nothing(app, watched):
    client = app.server.test_client()
    for body in clicks(app, random.Random(7)):
        for one in [*body["inputs"], *body["state"]]:
            if not one["property"].startswith("n_"):
                one["value"] = {"role": "admin", "person": {"name": "x", "role": "admin"}}
        forged = {**as_("viewer"), "X-Role": "admin", "Role": "admin"}
        client.set_cookie("role", "admin")
        client.post("/_dash-update-component?role=admin", json=body, headers=forged)
    assert watched["written"] == []
    assert watched["started"] == []


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_routes_that_write_refuse_who_may_not(app, folder, role):
    server, seen = app.server, 0
    before = contents(folder)
    for rule in server.url_map.iter_rules():
        if "POST" not in rule.methods or rule.rule in {"/_dash-update-component", "/sign-in", "/sign-out"}:
            continue
        path = rule.build(dict.fromkeys(rule.arguments, "x"), append_unknown=False)[1]
        answer = server.test_client().post(path, data=b"x", headers={**as_(role), HEADER: "upload"})
        assert answer.status_code == 403, path
        seen += 1
    assert contents(folder) == before
    assert seen >= 1


# ---------------------------------------------------------------- every write, where it stands in the code

WRITES = {"audit", "save_segment", "delete_segment", "save_draft"}
# where writes are defined, or done by commands, for whom the operating system says who may
ELSEWHERE = {"state.py", "segments.py", "tokens.py", "cli.py", "people_commands.py", "api_commands.py", "sign_in.py"}


def functions(tree: ast.Module):
    """Each function with those around it, the innermost first."""

    def walk(node, around):
        for child in ast.iter_child_nodes(node):
            inside = [child, *around] if isinstance(child, ast.FunctionDef) else around
            if isinstance(child, ast.FunctionDef):
                yield inside
            yield from walk(child, inside)

    yield from walk(tree, [])


def called(function: ast.FunctionDef) -> set[str]:
    names = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "") for name in names}


def test_every_write_stands_behind_a_role_or_is_handed_the_person():
    found = 0
    for path in sorted(APP.rglob("*.py")):
        if path.name in ELSEWHERE:
            continue
        chains = list(functions(ast.parse(path.read_text())))
        asking = {"require"} | {chain[0].name for chain in chains if "require" in called(chain[0])}
        for chain in chains:
            if not called(chain[0]) & WRITES:
                continue
            found += 1
            given = {one.arg for one in [*chain[0].args.args, *chain[0].args.kwonlyargs]}
            asks = any(asking & called(one) for one in chain)
            assert asks or given & {"person", "by"}, f"{path.name}: {chain[0].name} writes and asks nobody's role"
    assert found >= 6
