"""Components as plain HTML: what a page shows, without the app behind it. Text stays text, whatever it holds."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

from dash.development.base_component import Component

_VOID = {"Br", "Hr", "Img", "Input", "Wbr", "Col"}
# what only works with the app behind it, and what is nothing to see
_LEFT_OUT = {
    "Store", "Interval", "Location", "Download", "Skeleton", "PopoverTarget", "SegmentedControl", "ChipGroup",
    "Chip", "Select", "MultiSelect", "TextInput", "NumberInput", "Slider", "RangeSlider", "Switch",
    "Checkbox", "Textarea", "DateInput", "DatePickerInput", "PasswordInput", "FileInput", "Autocomplete",
    "TagsInput", "Burger", "AgGrid", "Fieldset", "Button", "Upload",
}  # fmt: skip
_ATTRIBUTES = {
    "className": "class", "title": "title", "role": "role", "scope": "scope", "colSpan": "colspan",
    "rowSpan": "rowspan", "hidden": "hidden", "dateTime": "datetime", "open": "open", "lang": "lang", "dir": "dir",
}  # fmt: skip
_LETTERS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def script_safe(json_text: str) -> str:
    r"""Return JSON that may stand in a script of a page: no text in it can end the script.

    Examples
    --------
    >>> script_safe('"</script>"')
    '"\\u003c/script\\u003e"'
    """
    return json_text.translate(_LETTERS)


class StaticHtml:
    """Writes components as HTML; figures become places that Plotly's own script fills.

    Attributes
    ----------
    figures : list of (str, str)
        Of each figure its place's id and its JSON, in their order.

    Examples
    --------
    >>> from dash import html
    >>> StaticHtml().write(html.P(["5 < 6 ", html.Strong("<b>", className="num")]))
    '<p>5 &lt; 6 <strong class="num">&lt;b&gt;</strong></p>'
    """

    def __init__(self) -> None:
        self.figures: list[tuple[str, str]] = []

    def write(self, component: Any) -> str:
        """Return the HTML of a component, a text, a number, or a list of them; "" of what is not to be seen."""
        return "".join(self._parts(component))

    def _parts(self, component: Any) -> Iterator[str]:
        if component is None or isinstance(component, bool):
            return
        if isinstance(component, (list, tuple)):
            for one in component:
                yield from self._parts(one)
        elif isinstance(component, Component):
            yield from self._component(component)
        else:
            yield escape(str(component))

    def _component(self, component: Component) -> Iterator[str]:
        name = type(component).__name__
        if name in _LEFT_OUT:
            return
        if name == "Graph":
            yield self._figure(component)
            return
        special = _SPECIAL.get(name)
        if special is not None:
            yield special(self, component)
            return
        namespace = getattr(component, "_namespace", "")
        tag = name.lower() if namespace == "dash_html_components" else "span" if name == "Link" else "div"
        if tag in {"a", "form", "iframe", "script", "style", "object", "embed", "link", "meta", "base"}:
            tag = "span"
        yield f"<{tag}{self._attributes(component)}>"
        if name not in _VOID:
            yield from self._parts(getattr(component, "children", None))
            yield f"</{tag}>"

    def _attributes(self, component: Component) -> str:
        written = []
        said = component.to_plotly_json()["props"]
        for name, value in said.items():
            known = name if name.startswith("aria-") else _ATTRIBUTES.get(name, "")
            if known and value not in (None, False) and known not in {"aria-labelledby", "aria-controls"}:
                written.append(f' {known}="{escape(str(value))}"' if value is not True else f" {known}")
        if isinstance(said.get("style"), dict):
            rules = "; ".join(f"{_css_name(key)}: {_css_value(value)}" for key, value in said["style"].items())
            written.append(f' style="{escape(rules)}"')
        return "".join(written)

    def _figure(self, graph: Component) -> str:
        from plotly.io import to_json

        figure = getattr(graph, "figure", None)
        if figure is None:
            return ""
        height = (getattr(graph, "style", None) or {}).get("height", 320)
        place = f"figure-{len(self.figures) + 1}"
        self.figures.append((place, script_safe(str(to_json(figure, validate=False)))))
        return f'<div id="{place}" style="height: {_css_value(height)}; width: 100%"></div>'


def _disclosure(writer: StaticHtml, popover: Component) -> str:
    inside: Sequence[Any] = getattr(popover, "children", None) or ()
    drops = [one for one in inside if type(one).__name__ == "PopoverDropdown"]
    text = writer.write([getattr(one, "children", None) for one in drops])
    return f'<details class="source-details"><summary>Source and SQL</summary>{text}</details>' if text else ""


def _table(writer: StaticHtml, table: Component) -> str:
    return f'<div class="table-scroll">{writer.write(getattr(table, "children", None))}</div>'


_SPECIAL: dict[str, Callable[[StaticHtml, Component], str]] = {"Popover": _disclosure, "TableScrollContainer": _table}


def _css_name(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)


def _css_value(value: Any) -> str:
    return f"{value}px" if isinstance(value, (int, float)) and value else str(value)
