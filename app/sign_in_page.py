"""The page on which one signs in: whole in itself, for nothing else of the app is given to who is not signed in."""

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files

from flask import Response

from .security import content_security_policy

_STYLE = """
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px; background: var(--ground);
  color: var(--ink); font: 14px/1.45 Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  -webkit-font-smoothing: antialiased; }
main { width: 100%; max-width: 372px; background: var(--surface); border: 1px solid var(--line); border-radius: 16px;
  padding: 32px 30px 30px; box-shadow: 0 1px 2px rgba(20, 24, 31, 0.04), 0 12px 32px rgba(20, 24, 31, 0.06); }
.brand { display: flex; align-items: center; gap: 10px; margin: 0 0 22px; font-size: 17px; font-weight: 700;
  letter-spacing: -0.02em; }
.brand img { width: 24px; height: 24px; border-radius: 6px; display: block; }
h1 { font-size: 22px; line-height: 1.2; font-weight: 680; letter-spacing: -0.022em; margin: 0 0 6px; }
.lead { color: var(--muted); margin: 0 0 20px; }
label { display: block; font-weight: 560; font-size: 13px; margin: 0 0 6px; }
input { width: 100%; height: 40px; padding: 0 12px; margin: 0 0 16px; border: 1px solid var(--field);
  border-radius: 9px; background: var(--surface); color: var(--ink); font: inherit; }
.go { display: flex; align-items: center; justify-content: center; width: 100%; height: 42px; margin-top: 4px;
  border: 0; border-radius: 9px; background: var(--go); color: var(--on-go); font: inherit; font-weight: 620;
  text-decoration: none; cursor: pointer; }
.go:hover { filter: brightness(1.07); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.problem { margin: 12px 0 18px; padding: 10px 12px; border-radius: 9px; background: var(--warn-soft);
  color: var(--warn); font-weight: 540; overflow-wrap: anywhere; }
.problem:last-child { margin-bottom: 0; }
[hidden] { display: none; }
:root { --ground: #f6f7f9; --surface: #fff; --line: #e2e5ea; --field: #8a94a3; --ink: #14181f; --muted: #5a6472;
  --accent: #2f5fb3; --go: #2f5fb3; --on-go: #fff; --warn: #8a4b00; --warn-soft: #fdf3e3; color-scheme: light; }
:root[data-mantine-color-scheme="dark"] { --ground: #10141a; --surface: #171c22; --line: #2c343e; --field: #6b7686;
  --ink: #e6e9ee; --muted: #a3adba; --accent: #86a8df; --go: #86a8df; --on-go: #10141a; --warn: #f3c07a;
  --warn-soft: #2b2316; color-scheme: dark; }
"""

# The cookie of a session goes over https alone, but on this machine: say so before a password is typed in vain.
_WARN = """
addEventListener("DOMContentLoaded", function () {
  var here = /^(localhost|127\\.0\\.0\\.1|\\[::1\\])$/.test(location.hostname);
  document.getElementById("plain").hidden = here || location.protocol === "https:";
});
"""


def answer(status: int, problem: str, *, token: str, leads_to: str, name: str = "", provider: str = "") -> Response:
    """Return the page: a form for name and password, or with ``provider`` the link that leads there.

    Parameters
    ----------
    status : int
    problem : str
        Why it is shown again; "" the first time.
    token : str
        What the form proves itself with.
    leads_to : str
        The page that was asked for.
    name : str
        What was typed before.
    provider : str
        The address of our own from which the provider is asked; "" where passwords are checked here.
    """
    alert = f'<p class="problem" role="alert" id="problem">{escape(problem)}</p>' if problem else ""
    if provider:
        body = (
            '<p class="lead">Your organisation says who you are.</p>'
            f'{alert}<a class="go" href="{escape(provider)}">Continue to sign in</a>'
        )
    else:
        described = ' aria-describedby="problem" aria-invalid="true"' if problem else ""
        first, second = (" autofocus", "") if not name else ("", " autofocus")
        body = (
            f'<p class="lead">With the name and password you were given.</p>{alert}'
            '<form method="post" action="/sign-in">'
            f'<input type="hidden" name="token" value="{escape(token)}">'
            f'<input type="hidden" name="next" value="{escape(leads_to)}">'
            '<label for="name">Name</label><input id="name" name="name" autocomplete="username" autocapitalize="none" '
            f'spellcheck="false" required maxlength="128" value="{escape(name)}"{described}{first}>'
            '<label for="password">Password</label><input id="password" name="password" type="password" '
            f'autocomplete="current-password" required maxlength="1024"{described}{second}>'
            '<button class="go" type="submit">Sign in</button></form>'
        )
    return _page(status, "Sign in", body)


def refusal(status: int, problem: str) -> Response:
    """Return the page for who cannot be let in, and cannot do anything about it here."""
    return _page(status, "No way in", f'<p class="problem" role="alert">{escape(problem)}</p>')


def _page(status: int, heading: str, body: str) -> Response:
    text = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading} · regulars</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<link rel="icon" href="{_icon()}"><style>{_font()}{_STYLE}</style><script>{_script()}</script></head>'
        f'<body><main><p class="brand"><img src="{_icon()}" alt="">regulars</p><h1>{heading}</h1>'
        '<p class="problem" id="plain" hidden>This page came without https, and the sign-in will not hold. '
        "Open it at its https:// address.</p>"
        f"{body}</main></body></html>\n"
    )
    headers = {
        "Content-Security-Policy": content_security_policy([_script_hash()], scripts_from_here=False),
        "Cache-Control": "no-store",
        # with none at all, browsers call the origin of a form null
        "Referrer-Policy": "same-origin",
    }
    return Response(text, status=status, mimetype="text/html", headers=headers)


def _asset(name: str) -> bytes:
    return files(__name__.rpartition(".")[0]).joinpath("assets", name).read_bytes()


@cache
def _icon() -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(_asset('favicon.svg')).decode('ascii')}"


@cache
def _font() -> str:
    font = base64.b64encode(_asset("inter-latin.woff2")).decode("ascii")
    return (
        "@font-face { font-family: Inter; font-weight: 100 900; font-display: swap; "
        f'src: url("data:font/woff2;base64,{font}") format("woff2"); }}'
    )


@cache
def _script() -> str:
    return _asset("early.js").decode() + _WARN


@cache
def _script_hash() -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode('ascii')}'"
