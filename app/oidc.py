"""Sign-in at an OpenID provider: authorisation code with PKCE, state and nonce, done by Authlib.

OpenID Connect Core 1.0 section 3.1; PKCE is RFC 7636. What comes back is a name and groups, and a session of ours; no
token of the provider is kept.
"""

import hashlib
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface
from werkzeug.wrappers import Response

from ..sql.errors import MissingExtraError
from .security import host_name, is_loopback, path_here

if TYPE_CHECKING:
    from ..sql.app_settings import OidcSettings
    from .sign_in import SignIn

log = logging.getLogger(__name__)

_SECONDS = 10
# Signed with the provider's own key; with a shared one (HS256) whoever knows our secret could sign.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LONGEST_NAME = 200


class _Journey(SecureCookieSessionInterface):
    """What is remembered between leaving for the provider and coming back: a signed cookie for ten minutes."""

    digest_method = staticmethod(hashlib.sha256)

    def get_cookie_name(self, app: Flask) -> str:
        del app
        return f"{'' if is_loopback(host_name(request.host)) else '__Host-'}regulars_journey"

    def get_cookie_secure(self, app: Flask) -> bool:
        del app
        return not is_loopback(host_name(request.host))

    def get_cookie_samesite(self, app: Flask) -> str:
        del app
        return "Lax"  # the way back begins at the provider


class Provider:
    """One OpenID provider.

    Parameters
    ----------
    settings : OidcSettings
    client_secret : str
        "" for a public client, which PKCE alone protects.
    """

    def __init__(self, settings: "OidcSettings", client_secret: str) -> None:
        self.settings = settings
        self._client_secret = client_secret
        said = (settings.issuer, settings.client_id, sorted(settings.roles.items()), settings.default_role)
        # sessions end when what gives their role is changed
        self.proof = hashlib.sha256(repr(said).encode()).hexdigest()[:24]

    def register(self, server: Flask, sign_in: "SignIn") -> None:
        """Add the routes that lead to the provider and back."""
        try:
            from authlib.integrations.flask_client import OAuth
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "sign_in = 'oidc' needs the package 'authlib'; install it with: pip install 'regulars[app]'"
            ) from error
        # Flask's own session carries state, nonce and verifier from here to the provider and back, and nothing else
        server.secret_key = sign_in.sessions.token("oidc journey")
        server.session_interface = _Journey()
        server.permanent_session_lifetime = timedelta(minutes=10)
        client: Any = OAuth(server).register(
            "provider",
            client_id=self.settings.client_id,
            client_secret=self._client_secret or None,
            server_metadata_url=f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(self.settings.scopes),
                "code_challenge_method": "S256",
                "default_timeout": _SECONDS,
                **({} if self._client_secret else {"token_endpoint_auth_method": "none"}),
            },
        )

        @server.get("/sign-in/with", endpoint="sign_in_with")
        def to_provider() -> Response:
            session.clear()
            try:
                self._check_metadata(client.load_server_metadata())
                answer = client.authorize_redirect(_return_address())
            except Exception as error:  # noqa: BLE001 - away, or no provider: nobody can sign in
                log.error("the provider %s cannot be asked: %s", self.settings.issuer, error)
                return sign_in.page(503, "The sign-in provider cannot be reached. The log says why.")
            session["next"] = path_here(request.args.get("next"))
            return answer

        @server.get("/sign-in/back", endpoint="signed_in")
        def from_provider() -> Response:
            leads_to = path_here(session.get("next"))
            try:
                self._check_metadata(client.load_server_metadata())
                token = client.authorize_access_token(
                    leeway=60,
                    claims_options={
                        "iss": {"essential": True, "value": client.server_metadata["issuer"]},
                        "aud": {"essential": True, "value": self.settings.client_id},
                        "nonce": {"essential": True},
                    },
                )
                claims = token.get("userinfo")
                if claims is None:
                    raise ValueError("it sent no ID token")
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, nobody is signed in
                log.warning("a sign-in at %s failed: %s", self.settings.issuer, error)
                return sign_in.page(401, "The sign-in did not succeed. Try again; the log says what was wrong.")
            finally:
                session.clear()
            return self._begin(sign_in, claims, leads_to)

    def _begin(self, sign_in: "SignIn", claims: Mapping[str, Any], leads_to: str) -> Response:
        name = self._name(claims)
        if not name:
            log.warning("%s sent no name: none of %s, email, sub", self.settings.issuer, self.settings.name_claim)
            return sign_in.page(401, "The provider did not say who you are. The log says what was missing.")
        role = self.settings.role_of(_groups(claims.get(self.settings.groups_claim)))
        if role is None:
            log.warning("%s is in no group with a role", name)
            return sign_in.page(403, f"{name} is in no group with a role here. Ask an admin ([app.oidc] roles).")
        return sign_in.begin(name, role, self.proof, leads_to)

    def _name(self, claims: Mapping[str, Any]) -> str:
        for key in (self.settings.name_claim, "email", "sub"):
            name = claims.get(key)
            if key == "email" and claims.get("email_verified") is False:
                continue
            if isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME:
                return name.strip()
        return ""

    def _check_metadata(self, metadata: dict[str, Any]) -> None:
        if str(metadata.get("issuer", "")).rstrip("/") != self.settings.issuer.rstrip("/"):
            raise ValueError(f"the provider calls itself {metadata.get('issuer')!r}, not {self.settings.issuer!r}")
        said = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [name for name in said if name in _ALGORITHMS] or ["RS256"]


def _groups(claim: Any) -> list[str]:
    return [one for one in (claim if isinstance(claim, list) else [claim]) if isinstance(one, str)]


def _return_address() -> str:
    # elsewhere than on this machine the browser comes by https, whatever the last proxy speaks
    scheme = "http" if is_loopback(host_name(request.host)) and not request.is_secure else "https"
    return f"{scheme}://{request.host}/sign-in/back"
