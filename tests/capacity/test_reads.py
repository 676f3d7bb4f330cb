"""What a page of a search costs depends on the page, and not on the size of the archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.capacity.reads import ReadCost, filled_archive

PAGE: Mapping[str, int] = {
    "no filter": 40,
    "PatientID": 10,
    "AccessionNumber": 10,
    "oldest day": 20,
    "oldest year, first page": 60,
    "all dates": 60,
    "dates without a study": 40,
    "modality and oldest year": 120,
    "PatientName=Smith*": 100,
    "PatientName=*zzq*": 30,
    "PatientName=*mith*": 100,
}
"""The most read units of a page of 20 studies, without an offset."""


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, ReadCost]]:
    """The cost of each search, by the number of studies in the archive."""
    found = {}
    for studies in (1200, 4800):
        folder: Path = tmp_path_factory.mktemp("archive")
        with filled_archive(folder, studies) as archive:
            found[studies] = {cost.name: cost for cost in archive.all_costs(limit=20, repeats=0)}
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("name", PAGE)
def test_a_page_of_a_search_has_a_budget(costs: dict[int, dict[str, ReadCost]], name: str) -> None:
    few, many = costs[1200][name], costs[4800][name]
    assert many.read_units <= PAGE[name]
    assert many.read_units <= few.read_units + 20
    assert many.calls <= few.calls + 10
