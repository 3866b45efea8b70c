"""Pages that scripts write: one section per measurement, replaced when it is measured anew, the others kept."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MARK = re.compile(r"^<!-- section: (\S+) (.*)-->$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """One measurement: its name on the command line, its title, what was done, a table, and remarks below it.

    ``key`` states what it was made with; a study whose key stands on the page already need not run again.
    """

    name: str
    title: str
    text: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str] = ()
    key: str = ""

    def markdown(self) -> str:
        """The section as it stands on the page."""
        lines = [f"<!-- section: {self.name} {self.key} -->", f"## {self.title}", "", self.text, ""]
        lines += ["| " + " | ".join(self.head) + " |", "|" + "---|" * len(self.head)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        for remark in self.remarks:
            lines += ["", remark]
        return "\n".join(lines)


class Page:
    """A page of sections in a fixed order."""

    def __init__(self, path: Path, introduction: str, order: Sequence[str]) -> None:
        self.path = path
        self.introduction = introduction
        self.order = tuple(order)
        self._sections = self._read()

    def _read(self) -> dict[str, tuple[str, str]]:
        return _sections(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def has(self, name: str, key: str) -> bool:
        """Whether the page holds this section, made with ``key``."""
        return name in self._sections and self._sections[name][0] == key

    def put(self, section: Section) -> None:
        """Write the page anew with this section in its place, and what another run wrote meanwhile in its own."""
        self._sections = self._read()
        self._sections[section.name] = (section.key, section.markdown())
        parts = [self._sections[name][1] for name in self.order if name in self._sections]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n\n".join([self.introduction, *parts]) + "\n", encoding="utf-8")


def _sections(text: str) -> dict[str, tuple[str, str]]:
    marks = list(_MARK.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return {
        mark.group(1): (mark.group(2).strip(), text[mark.start() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    }


def seconds(value: float) -> str:
    """Seconds as people read them."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def gigabytes(value: float) -> str:
    """Bytes in GB of 10^9."""
    return f"{value / 1e9:.2f} GB"
