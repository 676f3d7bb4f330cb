"""How schemathesis writes the bodies that it does not know: instances, as one file or as the only part of a body."""

from __future__ import annotations

from typing import Any

import schemathesis

from tests.support.dicomweb import related

RELATED = 'multipart/related; type="application/dicom"'


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def one_file(_context: Any, value: Any) -> bytes:
    """Return the body of one file."""
    return _bytes(value)


def one_part(_context: Any, value: Any) -> bytes:
    """Return a body with one part."""
    return related(_bytes(value))


# Without the package, which `make integration` installs, mypy does not know the type of the decorator.
schemathesis.serializer("application/dicom")(one_file)
schemathesis.serializer(RELATED)(one_part)
