"""The items of pages fit in the table, whatever script the texts have."""

from __future__ import annotations

import random

import pytest

from app.storage.records.page_marks import COLUMNS
from app.storage.search.page_builder import _parts
from app.storage.search.value_pages import PageRow, items_of, lines_of
from app.storage.table.ports import MAX_ITEM_BYTES

SCRIPTS = {"Latin": (0x61, 0x7A), "Chinese": (0x4E00, 0x9FFF), "rare Chinese": (0x20000, 0x2A6DF)}


@pytest.mark.parametrize("script", SCRIPTS)
def test_long_descriptions_that_cannot_be_compressed(script: str) -> None:
    letters = random.Random(1)
    low, high = SCRIPTS[script]
    rows = []
    for number in range(1500):
        description = "".join(map(chr, letters.choices(range(low, high), k=200)))
        rows.append(PageRow(number, f"1.2.{number}", lines_of([[description], *([[]] * (len(COLUMNS) - 1))])))
    parts = list(_parts(rows))
    assert [row for part in parts for row in part] == rows
    for part in parts:
        assert all(len(item.data) <= MAX_ITEM_BYTES for item in items_of(1, "page", part))
