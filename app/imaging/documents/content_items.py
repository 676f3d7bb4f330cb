"""The values of content items as HTML, by value type (PS3.3 C.17.3.2, C.18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.limits import MAX_VALUE
from app.dicom.encoding.vr import keyword
from app.imaging.documents import value_text
from app.imaging.documents.page import Page, text
from app.imaging.documents.references import REFERENCED_INSTANCES, References

CONCEPT_NAME: Final = 0x0040A043
_CONCEPT_CODE: Final = 0x0040A168
_TEXT_VALUE: Final = 0x0040A160
_DATE_TIME: Final = 0x0040A120
_DATE: Final = 0x0040A121
_TIME: Final = 0x0040A122
_PERSON_NAME: Final = 0x0040A123
_UID: Final = 0x0040A124
_MEASURED_VALUES: Final = 0x0040A300
_QUALIFIER: Final = 0x0040A301
_NUMERIC_VALUE: Final = 0x0040A30A
_UNITS: Final = 0x004008EA
_GRAPHIC_TYPE: Final = 0x00700023
_GRAPHIC_DATA: Final = 0x00700022
_FRAME_OF_REFERENCE: Final = 0x30060024
_TEMPORAL_RANGE: Final = 0x0040A130
_POSITIONS: Final = ((0x0040A132, "samples"), (0x0040A138, "seconds"), (0x0040A13A, "times"))
_TABULATED: Final = 0x0040A801
_ROW_DEFINITIONS: Final = 0x0040A806
_COLUMN_DEFINITIONS: Final = 0x0040A807
_CELLS: Final = 0x0040A808
_ROW_NUMBER: Final = 0x0040A804
_COLUMN_NUMBER: Final = 0x0040A805
_SELECTOR_VR: Final = 0x00720050

_SHOWN_NUMBERS: Final = 1000
_MAX_REFERENCES: Final = 1000
_MAX_CELLS: Final = 20_000
_MAX_LINES: Final = 5_000
"""Bounds of one value. What is left out is counted."""

WriteValue = Callable[[Page, AttributeReader, References], None]


def _text(page: Page, item: AttributeReader, _: References) -> None:
    page.element("span", item.text(_TEXT_VALUE), "value")
    if item.length(_TEXT_VALUE) > MAX_VALUE:
        page.element("span", f" The text is cut: it has {item.length(_TEXT_VALUE)} bytes.", "note")


def _code(page: Page, item: AttributeReader, _: References) -> None:
    code = item.item(_CONCEPT_CODE)
    page.element("span", value_text.code(code) or "no code", "value")
    source = value_text.code_source(code) if code else ""
    if source:
        page.element("span", f"({source})", "note")


def _number(page: Page, item: AttributeReader, _: References) -> None:
    measured = item.item(_MEASURED_VALUES)
    value = measured.text(_NUMERIC_VALUE) if measured else ""
    units = measured.item(_UNITS) if measured else None
    unit = value_text.code_value(units) if units else ""
    page.element("span", f"{value or 'no value'} {'' if unit == '1' else unit}".strip(), "value")
    meaning = units.text(value_text.CODE_MEANING) if units else ""
    for note in (meaning if meaning != unit and unit != "1" else "", value_text.code(item.item(_QUALIFIER))):
        if note:
            page.element("span", f"({note})", "note")


def _single(tag: int, shown: Callable[[str], str]) -> WriteValue:
    """Return the writer of a value type that is one attribute."""

    def write(page: Page, item: AttributeReader, _: References) -> None:
        page.element("span", ", ".join(map(shown, item.texts(tag))) or "no value", "value")

    return write


def _referenced(page: Page, item: AttributeReader, references: References) -> None:
    for number, reference in enumerate(item.items(REFERENCED_INSTANCES)):
        if number == _MAX_REFERENCES or page.is_full:
            page.element("span", "and more", "note")
            return
        references.write(page, reference)


def _coordinates(page: Page, item: AttributeReader, _: References) -> None:
    page.element("span", item.text(_GRAPHIC_TYPE) or "no graphic type", "value")
    page.element("span", value_text.numbers(item, _GRAPHIC_DATA, _SHOWN_NUMBERS), "value")
    if frame := item.text(_FRAME_OF_REFERENCE):
        page.element("span", f"(frame of reference {frame})", "note")


def _times(page: Page, item: AttributeReader, _: References) -> None:
    page.element("span", item.text(_TEMPORAL_RANGE) or "no range", "value")
    for tag, label in _POSITIONS:
        values = item.texts(tag)
        if values:
            rest = f" … ({len(values)} values)" if len(values) > _SHOWN_NUMBERS else ""
            page.element("span", f"{label} {', '.join(values[:_SHOWN_NUMBERS])}{rest}", "value")


def _table(page: Page, item: AttributeReader, _: References) -> None:
    table = item.item(_TABULATED)
    if table is None:
        page.element("span", "no value", "value")
        return
    rows, columns = (
        _definitions(table, *tags) for tags in ((_ROW_DEFINITIONS, _ROW_NUMBER), (_COLUMN_DEFINITIONS, _COLUMN_NUMBER))
    )
    cells: dict[tuple[int, int], str] = {}
    for number, cell in enumerate(table.items(_CELLS)):
        if number == _MAX_CELLS:
            page.element("p", f"The table is cut after {_MAX_CELLS} cells.", "warning")
            break
        place = cell.integer(_ROW_NUMBER, 0), cell.integer(_COLUMN_NUMBER, 0)
        cells[place] = _cell_value(cell)
    row_numbers = sorted({row for row, _ in cells} | rows.keys())
    column_numbers = sorted({column for _, column in cells} | columns.keys())
    if len(row_numbers) * len(column_numbers) > 8 * _MAX_CELLS:
        page.element("p", "The cells of the table are too far apart to be shown.", "warning")
        return
    with page.inside("table"):
        with page.inside("tr"):
            page.raw("<td></td>" + "".join(f"<th>{text(columns.get(each, ''))}</th>" for each in column_numbers))
        for row in row_numbers:
            with page.inside("tr"):
                shown = "".join(f"<td>{text(cells.get((row, column), ''))}</td>" for column in column_numbers)
                page.raw(f"<th>{text(rows.get(row, ''))}</th>{shown}")


def _definitions(table: AttributeReader, tag: int, number: int) -> dict[int, str]:
    """Return the names of the rows or columns of a table, with their units."""
    names = {}
    for order, each in enumerate(table.items(tag), 1):
        if order > _MAX_LINES:
            break
        units = each.item(_UNITS)
        unit = f" [{value_text.code_value(units)}]" if units else ""
        names[each.integer(number, order)] = value_text.code(each.item(CONCEPT_NAME)) + unit
    return names


def _cell_value(cell: AttributeReader) -> str:
    """Return the values of whatever attributes a cell has (PS3.3 C.18.10)."""
    values = []
    for tag in cell:
        if tag in (_ROW_NUMBER, _COLUMN_NUMBER, _SELECTOR_VR):
            continue
        values += [value_text.code(cell.item(tag))] if cell.vr(tag) == "SQ" else cell.texts(tag)[:_SHOWN_NUMBERS]
    return ", ".join(filter(None, values))


def _nothing(_page: Page, _item: AttributeReader, _references: References) -> None:
    """A container: its value is its content."""


WRITERS: Final[dict[str, WriteValue]] = {
    "CONTAINER": _nothing,
    "TEXT": _text,
    "CODE": _code,
    "NUM": _number,
    "DATE": _single(_DATE, value_text.date),
    "TIME": _single(_TIME, value_text.time),
    "DATETIME": _single(_DATE_TIME, value_text.date_time),
    "PNAME": _single(_PERSON_NAME, value_text.person),
    "UIDREF": _single(_UID, str),
    "COMPOSITE": _referenced,
    "IMAGE": _referenced,
    "WAVEFORM": _referenced,
    "SCOORD": _coordinates,
    "SCOORD3D": _coordinates,
    "TCOORD": _times,
    "TABLE": _table,
}
"""Value Type (0040,A040) -> the function that writes the value."""


def write_unknown(page: Page, item: AttributeReader, known: frozenset[int]) -> None:
    """Write a content item of an unknown value type: each attribute that is text, by its keyword."""
    for tag in item:
        if tag not in known and item.vr(tag) not in ("SQ", "OB", "OW", "UN"):
            page.element("span", f"{keyword(tag)}: {', '.join(item.texts(tag)[:_SHOWN_NUMBERS])}", "value")
