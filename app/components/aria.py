"""Accessibility attributes of elements, whose names are no Python names."""

from typing import Any


def aria(**attributes: str) -> dict[str, Any]:
    """Return ``aria-`` attributes to pass on to an element.

    Examples
    --------
    >>> aria(label="Pages", hidden="true")
    {'aria-label': 'Pages', 'aria-hidden': 'true'}
    """
    return {f"aria-{name}": text for name, text in attributes.items()}
