"""What ``[app]`` of ``regulars.toml`` may say: who signs in and how, under which names the app answers, its secrets."""

import ipaddress
import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Role = Literal["viewer", "analyst", "admin"]

# Keys whose values never stand in the settings file: the environment or a file of their own holds them.
SECRET_KEYS = ("secret", "metrics_token", "oidc.client_secret")

_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:]+")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Roles(_Section):
    roles: dict[str, Role] = Field(default_factory=dict)
    default_role: Role | None = None

    def role_of(self, groups: list[str]) -> Role | None:
        """Return the highest role that groups give; groups called as the roles give these where ``roles`` is empty."""
        order: tuple[Role, ...] = ("viewer", "analyst", "admin")
        given: dict[str, Role] = self.roles or {role: role for role in order}
        found: list[Role] = [role for role in order if any(given.get(group) == role for group in groups)]
        return found[-1] if found else self.default_role


class ProxySettings(_Roles):
    """``[app.proxy]``: a reverse proxy signs people in and names them in headers.

    Attributes
    ----------
    user_header, groups_header : str
        What the proxy calls who asks, and their groups, separated by commas.
    roles : dict
        Group to role; without it a group called ``viewer``, ``analyst`` or ``admin`` gives that role.
    default_role : str, optional
        The role of those whose groups give none; without it they are refused.
    sign_out : str, optional
        Where the proxy ends its session: an address, or a path of this server.
    """

    user_header: str = "X-Forwarded-User"
    groups_header: str = "X-Forwarded-Groups"
    sign_out: str | None = None

    @field_validator("user_header", "groups_header")
    @classmethod
    def _is_header(cls, name: str) -> str:
        if not _HEADER.fullmatch(name):
            raise ValueError("a header's name of letters, digits and '-', such as 'X-Forwarded-User'")
        return name

    @field_validator("sign_out")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        if address is not None and not re.match(r"https?://|/(?![/\\])", address):
            raise ValueError("an address that begins with https://, or a path that begins with /")
        return address


class OidcSettings(_Roles):
    """``[app.oidc]``: people sign in at an OpenID provider.

    Attributes
    ----------
    issuer : str
        The provider's address; what it offers is read from ``/.well-known/openid-configuration`` below it.
    client_id : str
        What the provider calls this app.
    client_secret : SecretStr, optional
        From the environment alone (``REGULARS_APP__OIDC__CLIENT_SECRET``), or in ``client_secret_file``.
    scopes : tuple of str
    name_claim, groups_claim : str
        Where a token says who it is (``email`` and ``sub`` stand in for a name that is missing) and their groups.
    roles, default_role
        As in ``[app.proxy]``.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: SecretStr | None = None
    client_secret_file: str | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"

    @field_validator("issuer")
    @classmethod
    def _is_issuer(cls, issuer: str) -> str:
        loopback = r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$)"
        if issuer and not re.match(rf"https://[^/?#]+|{loopback}", issuer):
            raise ValueError("an address that begins with https://, such as 'https://login.example.com/realms/shop'")
        return issuer

    @field_validator("scopes")
    @classmethod
    def _has_openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("scopes with 'openid' among them")
        return scopes


class AppSettings(_Section):
    """``[app]``: the web app.

    Attributes
    ----------
    data_folders : tuple of str
        Folders, besides that of the settings file, whose files may be named on the app's start page; relative ones
        start at the folder of the settings file. A build may read anything.
    max_upload_mb : int
        How large an uploaded file may be.
    price_files : str, optional
        Folder of the price files that the app writes; relative to the folder of the settings file. Without it
        ``price-files`` beside the warehouse.
    sign_in : str
        ``"none"`` (this machine alone), ``"basic"`` (``users_file``, made by ``regulars user add``), ``"proxy"`` or
        ``"oidc"``.
    hosts : tuple of str
        Names under which the app may be reached, without scheme and port; ``localhost`` and ``127.0.0.1`` always may.
    users_file : str
        Of ``"basic"``; relative to the folder of the settings file.
    secret : SecretStr, optional
        What signs the session cookies: 32 bytes or more, from the environment alone (``REGULARS_APP__SECRET``), or in
        ``secret_file``.
    session_hours : float
        How long a sign-in lasts.
    trusted_proxies : tuple of str
        Addresses or networks of reverse proxies; from these alone forwarded headers are believed.
    open_api : bool
        Whether the read API answers on loopback without a token.
    metrics_token : SecretStr, optional
        Opens ``/metrics`` as a bearer token; from the environment (``REGULARS_APP__METRICS_TOKEN``), or in
        ``metrics_token_file``.

    Examples
    --------
    >>> AppSettings().sign_in
    'none'
    """

    data_folders: tuple[str, ...] = ()
    max_upload_mb: int = Field(default=1024, ge=1, le=1_048_576)
    price_files: str | None = Field(default=None, min_length=1)
    sign_in: Literal["none", "basic", "proxy", "oidc"] = "none"
    hosts: tuple[str, ...] = ()
    users_file: str = "users.toml"
    secret: SecretStr | None = None
    secret_file: str | None = None
    session_hours: float = Field(default=12.0, gt=0, le=24 * 31, allow_inf_nan=False)
    trusted_proxies: tuple[str, ...] = ()
    open_api: bool = False
    metrics_token: SecretStr | None = None
    metrics_token_file: str | None = None
    proxy: ProxySettings = Field(default_factory=ProxySettings)
    oidc: OidcSettings = Field(default_factory=OidcSettings)

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        lowered = tuple(host.strip("[]").lower() for host in hosts)
        if not all(_HOST.fullmatch(host) for host in lowered):
            raise ValueError("a list of names without scheme, port and '*', such as ['regulars.example.com']")
        return lowered

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                wide = ipaddress.ip_network(network).prefixlen == 0
            except ValueError:
                wide = True
            if wide:
                raise ValueError(
                    "a list of addresses or networks of your own proxies, such as ['127.0.0.1', '10.0.3.0/24'] "
                    f"(not {network!r})"
                )
        return networks

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.sign_in == "proxy" and not self.trusted_proxies:
            raise ValueError(
                "sign_in = 'proxy' believes headers from [app] trusted_proxies alone, and there are none; "
                "name the proxy's address, such as trusted_proxies = ['127.0.0.1']"
            )
        if self.sign_in == "oidc" and not (self.oidc.issuer and self.oidc.client_id):
            raise ValueError("sign_in = 'oidc' needs issuer and client_id in [app.oidc]; write both")
        return self


def in_clear(said: Any) -> str:
    """Return which secret an ``[app]`` section holds as plain text, such as ``"secret"``; "" where it holds none.

    Examples
    --------
    >>> in_clear({"sign_in": "basic", "secret": "abc"}), in_clear({"oidc": {"client_id": "abc"}})
    ('secret', '')
    """
    for key in SECRET_KEYS:
        found: Any = said
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is not None and not isinstance(found, SecretStr):
            return key
    return ""
