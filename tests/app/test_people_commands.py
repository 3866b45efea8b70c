"""``regulars user`` and ``regulars audit``."""

import json
import stat
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from regulars.app import cli as command_line
from regulars.app.state import State
from regulars.app.users import UsersFile
from regulars.sql.errors import SettingsError

PASSWORD = "correct horse battery"


def run(*words: str, typed: str = ""):
    return CliRunner().invoke(command_line.cli, list(words), input=typed)


@pytest.fixture
def users(tmp_path) -> str:
    return str(tmp_path / "new" / "users.toml")


def test_a_user_is_added_listed_changed_and_removed(users, tmp_path):
    added = run("user", "add", "ann", "--role", "analyst", "--users", users, typed=f"{PASSWORD}\n")
    assert added.exit_code == 0, added.output
    assert "ann may sign in as analyst" in added.stdout
    file = UsersFile(tmp_path / "new" / "users.toml")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert PASSWORD not in file.path.read_text()
    assert file.check("ann", PASSWORD) is not None
    assert file.check("ANN", PASSWORD) is not None
    assert file.check("ann", PASSWORD + " ") is None
    assert file.check("bob", PASSWORD) is None

    taken = run("user", "add", "Ann", "--role", "viewer", "--users", users, typed=f"{PASSWORD}\n")
    assert taken.exit_code == 2
    assert "--replace" in taken.stderr
    changed = run(
        "user", "add", "Ann", "--role", "viewer", "--replace", "--users", users, typed="another horse battery\n"
    )
    assert changed.exit_code == 0
    assert file.check("ann", PASSWORD) is None

    listed = json.loads(run("user", "list", "--users", users, "--json").stdout)
    assert listed["users"] == [{"name": "Ann", "role": "viewer"}]
    assert "scrypt" not in run("user", "list", "--users", users).stdout
    assert run("user", "remove", "Anne", "--users", users).exit_code == 2
    assert "did you mean 'Ann'" in run("user", "remove", "Anne", "--users", users).stderr
    assert run("user", "remove", "ann", "--users", users).exit_code == 0
    assert file.users() == []


@pytest.mark.parametrize(
    ("name", "role", "password", "said"),
    [
        ("ann", "owner", PASSWORD, "allowed: viewer, analyst, admin"),
        ("ann", "analist", PASSWORD, "did you mean 'analyst'"),
        ("ann", "analyst", "short", "has 5 characters, and needs 12"),
        ("ann", "analyst", "", "no password"),
        ("ann", "analyst", "aaaaaaaaaaaaaaaa", "easily guessed"),
        ("verylongname", "analyst", "verylongname1", "easily guessed"),
        ("ann", "analyst", "a1b2c3" * 200, "longer than 1024"),
        ("an n", "analyst", PASSWORD, "no name of a user"),
        ('ann"\n[x]', "analyst", PASSWORD, "no name of a user"),
        ("ä", "analyst", PASSWORD, "no name of a user"),
        ("a" * 200, "analyst", PASSWORD, "no name of a user"),
    ],
)
def test_what_will_not_do_is_refused_and_nothing_is_written(users, tmp_path, name, role, password, said):
    refused = run("user", "add", name, "--role", role, "--users", users, typed=f"{password}\n")
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.split())
    assert not password or password not in refused.output
    assert not (tmp_path / "new").exists()


def test_a_password_is_no_option(users):
    assert run("user", "add", "ann", "--role", "viewer", "--password", PASSWORD, "--users", users).exit_code == 2


def test_the_settings_say_where_the_users_are(tmp_path):
    path = tmp_path / "regulars.toml"
    path.write_text('[orders]\npath = "none"\n[app]\nusers_file = "who.toml"\n')
    assert run("user", "add", "ann", "--role", "admin", "-s", str(path), typed=f"{PASSWORD}\n").exit_code == 0
    assert [user.name for user in UsersFile(tmp_path / "who.toml").users()] == ["ann"]
    assert run("user", "list", "-s", str(tmp_path / "none.toml")).exit_code == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    refused = run(
        "user", "add", "ann", "--role", "admin", "--users", str(tmp_path / "file" / "u.toml"), typed=f"{PASSWORD}\n"
    )
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr


def test_a_salt_of_its_own_for_each_password(tmp_path):
    file = UsersFile(tmp_path / "users.toml")
    first, second = (file.add(name, "viewer", PASSWORD) for name in ("ann", "bob"))
    assert first.password_hash != second.password_hash
    file.path.chmod(0o644)
    with pytest.raises(SettingsError, match="open to everybody"):
        file.users()


def test_the_audit_is_printed_the_latest_first(tmp_path):
    house = State(tmp_path)
    house.audit("ann", "export rows", "customers.csv", run="5eed", filter="segment=best", rows=12)
    house.audit("bob", "write target list", "winback", rows=3)
    told = json.loads(run("audit", "-w", str(tmp_path), "--json").stdout)
    assert [(line["person"], line["action"], line["subject"]) for line in told["lines"]] == [
        ("bob", "write target list", "winback"),
        ("ann", "export rows", "customers.csv"),
    ]
    assert told["lines"][1]["details"] == {"run": "5eed", "filter": "segment=best", "rows": 12}
    at = datetime.fromisoformat(told["lines"][0]["at"])
    assert abs((datetime.now(UTC) - at).total_seconds()) < 600
    table = run("audit", "-w", str(tmp_path)).stdout
    assert "filter=segment=best" in table
    assert "bob" not in run("audit", "-w", str(tmp_path), "--person", "ann").stdout
    assert "ann" not in run("audit", "-w", str(tmp_path), "--action", "write target list").stdout
    assert len(json.loads(run("audit", "-w", str(tmp_path), "--most", "1", "--json").stdout)["lines"]) == 1


def test_what_clients_named_moves_no_cursor(tmp_path):
    State(tmp_path).audit("ann", "upload", "\x1b]0;x\x07\x1b[2J\r\nbob\u202e\x9b", bytes=1)
    table = run("audit", "-w", str(tmp_path)).stdout
    assert "\\x1b]0;x\\x07\\x1b[2J  bob\\u202e\\x9b" in table
    assert len(table.splitlines()) == 3


def test_an_audit_of_nothing_and_one_that_is_damaged(tmp_path):
    assert "nothing was exported" in run("audit", "-w", str(tmp_path)).stdout
    assert json.loads(run("audit", "-w", str(tmp_path), "--json").stdout)["lines"] == []
    (tmp_path / "state.sqlite").write_bytes(b"no database at all" * 100)
    assert run("audit", "-w", str(tmp_path)).exit_code == 5


def test_the_commands_need_no_web_server():
    program = (
        "import sys\nfrom regulars.app.cli import cli\n"
        "try:\n    cli(['audit', '-w', 'none'])\nexcept SystemExit:\n    pass\n"
        "assert not {'dash', 'flask', 'plotly', 'duckdb'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
