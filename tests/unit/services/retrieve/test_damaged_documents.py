"""Objects whose bytes are damaged give an answer or a reason, and never another error.

`StorageUnavailable` is the error of a file that is shorter than the index says.
"""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from app.dicom.encoding.part10 import parse
from app.errors import ImageFailure, StorageUnavailable
from app.imaging.rendering.parameters import RenderingParameters
from app.services.retrieve.documents import document_renderers
from tests.support.documents import (
    PRESENTATION_STATE,
    channel,
    code,
    content_item,
    dataset,
    document,
    evidence,
    measurement,
    multiplex_group,
    reference,
    report,
    waveform,
)
from tests.support.instances import IMPLICIT_LITTLE, make_instance
from tests.support.stored_instance import StoredInstance, bytes_of

PARAMETERS = RenderingParameters(annotation=frozenset({"patient", "technique"}))


def content() -> list[Dataset]:
    """Return content items of many value types."""
    table = dataset(
        TableRowDefinitionSequence=[dataset(TableRowNumber=1, ConceptNameCodeSequence=[code("Row")])],
        CellValuesSequence=[dataset(TableRowNumber=1, TableColumnNumber=1, SelectorDSValue="1")],
    )
    return [
        content_item("CONTAINER", "Findings", measurement("Width", "1.5", "mm", "millimeter")),
        content_item("IMAGE", "Key", ReferencedSOPSequence=[reference("2.25.3", ReferencedFrameNumber=[1, 2])]),
        content_item("SCOORD", "Edge", GraphicType="POINT", GraphicData=[1.0, 2.0]),
        content_item("TABLE", "Table", TabulatedValuesSequence=[table]),
        dataset(RelationshipType="CONTAINS", ReferencedContentItemIdentifier=[1, 2]),
    ]


def objects(syntax: str) -> list[bytes]:
    """Return one object of each kind, without its preamble in the part that is damaged."""
    proof = [evidence("2.25.1", "2.25.2", "2.25.3")]
    group = multiplex_group([[1, -2, 300] * 4] * 2, [channel("I"), channel("II")], WaveformPaddingValue=b"\0\x80")
    return [
        document(b"%PDF-" + b"x" * 200, transfer_syntax=syntax),
        report(*content(), CurrentRequestedProcedureEvidenceSequence=proof, transfer_syntax=syntax),
        waveform(group, transfer_syntax=syntax),
        make_instance(
            SOPClassUID=PRESENTATION_STATE,
            pixel=False,
            transfer_syntax=syntax,
            ReferencedSeriesSequence=[
                dataset(SeriesInstanceUID="2.25.2", ReferencedImageSequence=[reference("2.25.3")])
            ],
        ),
    ]


OBJECTS = objects("1.2.840.10008.1.2.1") + objects(IMPLICIT_LITTLE)
NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


@pytest.mark.parametrize("number", range(len(OBJECTS)))
@given(data=st.data())
@settings(max_examples=50)
def test_any_change_of_bytes_gives_an_answer_or_a_reason(number: int, data: st.DataObject) -> None:
    whole = OBJECTS[number]
    stored = StoredInstance(whole)
    begin = parse(whole).dataset_offset
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(begin, len(whole) - 4))
        patch = data.draw(
            st.binary(min_size=1, max_size=4) | st.sampled_from(NUMBERS).map(lambda value: struct.pack("<L", value))
        )
        changed[place : place + len(patch)] = patch
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(begin, len(changed))) :]
    stored.blobs.data = bytes(changed)
    renderer = document_renderers(stored.files)[stored.row.sop_class]
    with suppress(ImageFailure, StorageUnavailable):
        bytes_of(renderer.render(stored.row, (), renderer.media_types(stored.row)[0], PARAMETERS))
