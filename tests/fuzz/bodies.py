"""Request bodies: valid ones for each kind of route, with or without damage."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import pydicom.data
import zstandard

from tests.fuzz.mutation import mutated_bytes, mutated_json, mutated_text, text
from tests.support.dicomweb import related
from tests.support.instances import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, ct, make_instance
from tests.support.workitems import COMPLETE, state, workitem

TRANSACTION: Final = "2.25.777"
OPERATION: Final = "0123456789abcdef0123456789abcdef"
_BOUNDARY: Final = "b1"

_UPDATE: Final = {
    "studyInstanceUids": ["2.25.1", "2.25.2"],
    "changeDataset": {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]},
        "00100020": {"vr": "LO", "Value": ["N1"]},
    },
}
_EXPORT: Final = {
    "source": {"type": "identifiers", "settings": {"values": ["2.25.1", "2.25.2/2.25.3", "2.25.2/2.25.3/2.25.4"]}},
    "destination": {"type": "file", "settings": {"name": "drop"}},
}
_TAGS: Final = [
    {"path": "00101010", "vr": "AS", "level": "Study"},
    {"path": "ManufacturerModelName", "level": "Series"},
    {"path": "00091001", "vr": "SS", "level": "Instance", "privateCreator": "ACME"},
]
_TOKEN: Final = {"name": "CT 3", "roles": ["writer"], "partitions": ["clinic-a"], "expires": "2099-01-01T00:00:00Z"}
_GRANT: Final = {
    "subject": {"issuer": "https://login.example", "claim": "sub", "value": "ann"},
    "role": "reader",
    "partitions": ["clinic-*"],
    "expires": "2099-01-01T00:00:00Z",
}
DOCUMENTS: Final[dict[str, Any]] = {
    "update": _UPDATE,
    "export": _EXPORT,
    "tags": _TAGS,
    "status": {"queryStatus": "disabled"},
    "token": _TOKEN,
    "grant": _GRANT,
    "workitem": workitem(),
    "change": COMPLETE,
    "state": state("IN PROGRESS", TRANSACTION),
    "cancel": {"00741238": {"vr": "LT", "Value": ["no longer needed"]}},
}
"""A valid document for each kind of JSON body."""


@cache
def files() -> tuple[bytes, ...]:
    """Return small files: those that come with pydicom, and some of ours in each uncompressed transfer syntax."""
    root = Path(pydicom.data.__file__).parent
    small = [path.read_bytes() for path in sorted(root.rglob("*.dcm")) if path.stat().st_size < 20_000]
    syntaxes = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE)
    own = [
        make_instance(study=f"2.25.{n}", series=f"2.25.{n}.1", instance=f"2.25.{n}.1.{n}", pixel=False)
        for n in range(1, 6)
    ]
    return (*small, *(ct(rows=2, columns=2, transfer_syntax=each) for each in syntaxes), *own, *own)


def instance(random: Random) -> bytes:
    """Return a file. Half of them are damaged."""
    chosen = random.choice(files())
    return mutated_bytes(random, chosen) if random.random() < 0.5 else chosen


def multipart(random: Random) -> tuple[bytes, str]:
    """Return a body of some files, and its Content-Type. Some of the bodies and types are damaged."""
    kind = random.choice(("application/dicom",) * 6 + ("", "text/plain", "application/dicom+json"))
    body = related(*(instance(random) for _ in range(random.randrange(4))), boundary=_BOUNDARY, content_type=kind)
    content_type = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
    if random.random() < 0.3:
        body = mutated_bytes(random, body)
    if random.random() < 0.2:
        content_type = mutated_text(random, content_type)
    return body, content_type


def document(random: Random, kind: str) -> bytes:
    """Return a JSON body. A third is valid, a third has other values, a third has damaged bytes."""
    valid = DOCUMENTS[kind]
    chosen = random.randrange(3)
    if chosen == 0:
        return json.dumps(valid).encode()
    if chosen == 1:
        changed = mutated_json(random, [valid] if kind == "workitem" and random.random() < 0.3 else valid)
        return json.dumps(changed).encode("utf-8", "surrogatepass")
    return mutated_bytes(random, json.dumps(valid).encode())


def coded(random: Random, body: bytes) -> tuple[bytes, str]:
    """Return a body in a content coding, perhaps damaged, and the value of its Content-Encoding."""
    codings = {"gzip": gzip.compress, "zstd": zstandard.compress, "deflate": zlib.compress}
    name = random.choice(list(codings))
    body = codings[name](body)
    if random.random() < 0.4:
        body = mutated_bytes(random, body)
    return body, name if random.random() < 0.8 else text(random)
