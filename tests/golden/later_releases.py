"""What later releases answer otherwise on purpose. The test of the golden archive leaves it out of both answers."""

from __future__ import annotations

import re
from typing import Any, Final

_SEARCH: Final = re.compile(r"/(studies|series|instances)(\?|$)")

_SUMMARY: Final = frozenset({"00080061", "00201206", "00201208", "00201209"})
"""Counts and modalities, which a search with `includefield=all` returns since (conformance §5.8)."""

_OF_INSTANCES: Final = frozenset({"00080008", "00280008"})
"""ImageType is no default of instances any more, and NumberOfFrames is one (conformance §5.7)."""

_COMPRESSED_FILE: Final = tuple(f"application/dicom; transfer-syntax=1.2.840.10008.1.2.{last}" for last in ("4.", "5"))
"""One compressed file is returned as stored if no transfer syntax is named. It was 406 (conformance §4.3)."""

_TRANSCODED: Final = re.compile(r"/instances/2\.25\.40[234]$")
"""A transcoded file names this service as its writer since, so its bytes differ (conformance §4.3)."""

_CHANGED: Final = _SUMMARY | _OF_INSTANCES

_WITHOUT_TAG_ERRORS: Final = ("/Microsoft.Default/", "/clinic-b/")
"""Partitions without tag errors. A search names the tags that have errors in its partition since. It named those with
errors anywhere (conformance §5.9)."""

_WORKITEMS: Final = "/workitems"
"""Texts of the worklist are `application/dicom+json` since (conformance §7.2)."""


def comparable(ask: dict[str, str], answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what later releases answer otherwise."""
    if any(name in ask["path"] for name in _WITHOUT_TAG_ERRORS):
        answer = {name: value for name, value in answer.items() if name != "erroneous"}
    if _WORKITEMS in ask["path"] and isinstance(answer.get("json"), str):
        return {**answer, "type": ""}
    if ask.get("Accept") == "application/dicom":
        if answer["status"] == 406 or answer["type"].startswith(_COMPRESSED_FILE):
            return {}
        return {**answer, "sha256": ""} if _TRANSCODED.search(ask["path"]) else answer
    if "json" not in answer or not _SEARCH.search(ask["path"]):
        return answer
    rows = [{tag: element for tag, element in row.items() if tag not in _CHANGED} for row in answer["json"]]
    return {**answer, "json": rows}
