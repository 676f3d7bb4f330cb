"""UIDs and transfer syntaxes (conformance §3.7)."""

from __future__ import annotations

import pytest

from app.dicom.encoding.uids import TRANSFER_SYNTAXES, clean_uid, is_uid, transfer_syntax
from app.errors import InvalidIdentifier


@pytest.mark.parametrize("text", ["1.2.3", "0", "1.02.3", "1..2", ".1", "1" * 64, "1.2   ", "1" * 64 + " " * 9])
def test_accepted_uids(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize(
    "text", ["", " ", "1.2.", "1.2.a", "1.2-3", "1" * 65, " 1.2", "1.2\0", "1.2\n", "1. 2", "٣.٢", "1.2/.."]
)
def test_refused_uids(text: str) -> None:
    assert not is_uid(text)


def test_padding_is_removed() -> None:
    assert clean_uid("1.2.3 \0", "StudyInstanceUID") == "1.2.3"


def test_the_message_names_an_invalid_uid() -> None:
    with pytest.raises(
        InvalidIdentifier, match=r"^Dicom element 'StudyInstanceUID' failed validation for VR 'UI': DICOM"
    ):
        clean_uid("abc", "StudyInstanceUID")


def test_transfer_syntaxes() -> None:
    assert len({syntax.uid for syntax in TRANSFER_SYNTAXES}) == len(TRANSFER_SYNTAXES)
    assert not transfer_syntax("1.2.840.10008.1.2").explicit
    assert not transfer_syntax("1.2.840.10008.1.2.2").little
    assert transfer_syntax("1.2.840.10008.1.2.1.99").deflated
    assert transfer_syntax("1.2.840.10008.1.2.4.90").encapsulated
    assert transfer_syntax("1.2.3") == ("1.2.3", "Unknown", True, True, True, False)
