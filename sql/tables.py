"""What a table of the contract is made of: columns with type, unit and meaning."""

from dataclasses import dataclass

ID = "VARCHAR"
MONEY = "DECIMAL(18,2)"
PRICE = "DECIMAL(18,4)"
QUANTITY = "DECIMAL(18,3)"


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type, unit ("" where it has none), meaning, and whether it must be there."""

    name: str
    type: str
    unit: str
    meaning: str
    required: bool = True
    personal: bool = False


@dataclass(frozen=True)
class Table:
    """One table: its name, its grain (the columns whose values identify a row) and its columns in order."""

    name: str
    grain: tuple[str, ...]
    meaning: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column called ``name``; KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def optional(name: str, type_: str, unit: str, meaning: str, *, personal: bool = False) -> Column:
    """A column that an input may lack."""
    return Column(name, type_, unit, meaning, required=False, personal=personal)
