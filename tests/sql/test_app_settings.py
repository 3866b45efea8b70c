"""``[app]``: what it may say of sign-in, and what it may not hold."""

import pytest

from regulars.sql.app_settings import OidcSettings, ProxySettings
from regulars.sql.errors import SettingsError
from regulars.sql.settings import Settings

ORDERS = {"orders": {"path": "orders.parquet"}}
LONG = "k7Qe2Zr9Tw4Yb6Uc1Xp8Vs3Md5Lf0Hj-aN"


def read(**app) -> Settings:
    return Settings.from_mapping({**ORDERS, "app": app})


def test_without_it_nobody_signs_in():
    settings = Settings.from_mapping(ORDERS)
    assert settings.app.sign_in == "none"
    assert settings.app.hosts == ()
    assert settings.app.secret is None


@pytest.mark.parametrize(
    "app",
    [
        {"secret": LONG},
        {"metrics_token": LONG},
        {"oidc": {"client_secret": LONG}},
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(app):
    with pytest.raises(SettingsError, match=r"stands in the file.*REGULARS_APP__.*_file") as refused:
        read(**app)
    assert LONG not in str(refused.value)


def test_a_secret_of_the_environment_is_read_and_never_shown(monkeypatch):
    monkeypatch.setenv("REGULARS_APP__SECRET", LONG)
    monkeypatch.setenv("REGULARS_APP__OIDC__CLIENT_SECRET", LONG)
    settings = read(sign_in="basic")
    assert settings.app.secret is not None
    assert settings.app.secret.get_secret_value() == LONG
    shown = f"{settings!r} {settings.to_dict()} {settings.identity()}"
    assert LONG not in shown
    again = settings.overridden(value={"horizon": 26})
    assert again.app.secret == settings.app.secret


def test_how_people_sign_in_is_no_part_of_a_run():
    assert read(sign_in="basic", hosts=["a.example"]).fingerprint == Settings.from_mapping(ORDERS).fingerprint


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ({"sign_in": "password"}, "'none', 'basic', 'proxy', 'oidc'"),
        ({"sign_in": "proxy"}, "trusted_proxies"),
        ({"sign_in": "oidc"}, "issuer and client_id"),
        ({"sign_in": "oidc", "oidc": {"issuer": "http://login.example.com", "client_id": "x"}}, "https://"),
        ({"hosts": ["https://regulars.example.com"]}, "without scheme"),
        ({"hosts": ["*.example.com"]}, "without scheme"),
        ({"trusted_proxies": ["0.0.0.0/0"]}, "your own proxies"),
        ({"trusted_proxies": ["::/0"]}, "your own proxies"),
        ({"trusted_proxies": ["proxy.example.com"]}, "your own proxies"),
        ({"proxy": {"user_header": "X Forwarded: User"}}, "a header's name"),
        ({"proxy": {"sign_out": "javascript:alert(1)"}}, "https://"),
        ({"proxy": {"sign_out": "//evil.example"}}, "https://"),
        ({"proxy": {"roles": {"team": "owner"}}}, "'viewer', 'analyst', 'admin'"),
        ({"oidc": {"scopes": ["email"]}}, "openid"),
        ({"session_hours": 0}, "greater than 0"),
        ({"sing_in": "basic"}, "did you mean 'sign_in'"),
        ({"proxy": {"usr_header": "X-User"}}, "did you mean 'user_header'"),
    ],
)
def test_what_is_not_allowed_is_named(app, said):
    with pytest.raises(SettingsError, match=r"\[app") as refused:
        read(**app)
    assert said in str(refused.value)


@pytest.mark.parametrize("kind", [ProxySettings, OidcSettings])
def test_groups_give_the_highest_role(kind):
    named = kind(roles={"shop": "viewer", "crm": "analyst", "ops": "admin"})
    assert named.role_of(["shop", "ops", "crm"]) == "admin"
    assert named.role_of(["others"]) is None
    assert kind().role_of(["analyst"]) == "analyst"
    assert kind().role_of(["Admin"]) is None
    assert kind(default_role="viewer").role_of([]) == "viewer"
    assert kind(roles={"crm": "analyst"}).role_of(["admin"]) is None
