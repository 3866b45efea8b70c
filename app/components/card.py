"""The card: a heading, its controls, and a body that a callback fills; until then a skeleton holds its place."""

from dash import html
from dash.development.base_component import Component

from .aria import aria
from .states import skeleton


def card(
    title: str,
    body_id: str,
    *,
    height: int,
    subtitle: str = "",
    controls: Component | None = None,
    class_name: str = "",
) -> Component:
    """Return a card whose body is ``body_id``, at least ``height`` pixels high from the first moment."""
    heading_id = f"{body_id}-heading"
    return html.Section(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H2(title, id=heading_id),
                            html.P(subtitle, className="card-subtitle") if subtitle else None,
                        ]
                    ),
                    html.Div(controls, className="card-controls") if controls is not None else None,
                ],
                className="card-head",
            ),
            html.Div(skeleton(height), id=body_id, className="card-body", style={"minHeight": height}),
        ],
        className=f"card {class_name}".strip(),
        **aria(labelledby=heading_id),
    )


def footer(*parts: Component | str | None) -> Component:
    """Return the line under a card's figure: what it says at the left, its source at the right."""
    return html.Div([part for part in parts if part is not None], className="card-foot")
