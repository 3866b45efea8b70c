"""The frame around every page: the way between pages, light and dark, and the notice of a newer snapshot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from .. import formats, theme
from .aria import aria
from .icons import icon

if TYPE_CHECKING:
    from ..pages import Page
    from ..sign_in import Account
    from ..snapshot_data import SnapshotData

POLL_SECONDS = 30


def shell(pages: Sequence["Page"], account: "Account | None" = None) -> Component:
    """Return the layout of the app; the page itself is filled in by its path. ``account`` is who is signed in."""
    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="run"),
            dcc.Store(id="scheme"),
            dcc.Store(id="scheme-choice", storage_type="local"),
            dcc.Interval(id="poll", interval=POLL_SECONDS * 1000),
            html.A("Skip to content", href="#page", className="skip"),
            dmc.AppShell(
                [
                    dmc.AppShellHeader(_bar(), className="bar-top"),
                    dmc.AppShellNavbar(_navigation(pages, account), className="side", id="side"),
                    dmc.AppShellMain(
                        [_newer_notice(), html.Div(id="page", className="page", tabIndex=-1)], className="main"
                    ),
                ],
                id="frame",
                header={"height": {"base": 56, "sm": 0}},  # pyright: ignore[reportArgumentType]
                navbar={"width": 216, "breakpoint": "sm", "collapsed": {"mobile": True}},
                padding=0,
                layout="default",
            ),
        ],
        id="mantine",
        theme=theme.MANTINE,  # pyright: ignore[reportArgumentType]
        forceColorScheme="light",
    )


def register(app: Dash) -> None:
    """Wire what every page shares: scheme, menu, title."""
    app.clientside_callback(
        ClientsideFunction("regulars", "chooseScheme"),
        Output("scheme-choice", "data"),
        Input("scheme-toggle", "n_clicks"),
        Input("scheme-toggle-top", "n_clicks"),
        State("scheme", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("regulars", "applyScheme"),
        Output("scheme", "data"),
        Output("mantine", "forceColorScheme"),
        Input("scheme-choice", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("regulars", "toggleMenu"),
        Output("frame", "navbar"),
        Input("menu", "opened"),
        Input("url", "pathname"),
        State("frame", "navbar"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("regulars", "closeMenu"),
        Output("menu", "opened"),
        Input("url", "pathname"),
        prevent_initial_call=True,
    )
    app.clientside_callback(ClientsideFunction("regulars", "arrive"), Input("page", "children"))


def newer_text(data: "SnapshotData") -> str:
    """Say that a newer snapshot than the one on the page has been published."""
    return f"A newer snapshot is published: as of {formats.day(data.as_of)}, run {data.run_id[:8]}."


def _newer_notice() -> Component:
    return html.Div(
        [
            icon("check", 16),
            html.Span(id="newer-text"),
            html.Button("Show it", id="show-newer", type="button", className="link-button"),
        ],
        id="newer",
        className="notice notice-newer",
        role="status",
        hidden=True,
    )


def _bar() -> Component:
    return html.Div(
        [
            dmc.Burger(id="menu", opened=False, size="sm", **aria(label="Menu")),
            html.Span("regulars", className="brand"),
            _scheme_button("scheme-toggle-top"),
        ],
        className="bar-inner",
    )


def _navigation(pages: Sequence["Page"], account: "Account | None") -> Component:
    links = [
        html.Li(
            dmc.NavLink(
                label=page.name,
                href=page.path,
                leftSection=icon(page.icon),
                active="exact",
                className="side-link",
            )
        )
        for page in pages
        if page.in_menu
    ]
    return html.Div(
        [
            html.Div("regulars", className="brand brand-side"),
            html.Nav(html.Ul(links), **aria(label="Pages")),
            _account(account) if account is not None else None,
            html.Div([html.Div(id="side-snapshot"), _scheme_button("scheme-toggle")], className="side-foot"),
        ],
        className="side-inner",
    )


def _account(account: "Account") -> Component:
    """Who is signed in, and the way out."""
    leave: Component | None = None
    if account.token:
        # a form of its own: signing out is a write, and carries its proof in the button
        leave = html.Form(
            html.Button("Sign out", type="submit", name="token", value=account.token, className="link-button"),
            action="/sign-out",
            method="POST",
        )
    elif account.leave:
        leave = html.A("Sign out", href=account.leave, className="link-button")
    return html.Div(
        [
            icon("person", 20),
            html.Div(
                [
                    html.Strong(account.name, title=account.name),
                    html.Div([html.Span(account.role.capitalize(), className="account-role"), leave]),
                ],
                className="account-who",
            ),
        ],
        className="account",
        role="group",
        **aria(label="Signed in as"),
    )


def _scheme_button(button_id: str) -> Component:
    return html.Button(
        [icon("sun"), icon("moon")],
        id=button_id,
        type="button",
        className="round-button",
        **aria(label="Switch between light and dark"),
    )
