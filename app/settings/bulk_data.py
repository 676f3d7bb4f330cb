"""Settings of bulk data in metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from marshmallow.fields import String
from marshmallow.validate import OneOf

from app.settings.declaration import SettingsGroup, setting, whole_number

_SMALLEST_LIMIT: Final = 65_536
_LARGEST_LIMIT: Final = 2_147_483_647
_LARGEST_BINARY: Final = 65_536


@dataclass(frozen=True, kw_only=True)
class BulkDataSettings(SettingsGroup):
    """Which metadata names bulk data, and which values are inline. Sizes apply to instances that are stored later."""

    bulk_data_uri: str = setting(
        "v2",
        String(validate=OneOf(("v2", "all", "none"))),
        "Whose metadata has BulkDataURI and InlineBinary. `v2`: version 2 and URLs without a version. `all`: version 1 "
        "too. `none`: no metadata.",
    )
    inline_binary_bytes: int = setting(
        512, whole_number(0, _LARGEST_BINARY), "Size of the largest binary value that is InlineBinary in metadata."
    )
    inline_value_bytes: int = setting(
        1_048_576,
        whole_number(_SMALLEST_LIMIT, _LARGEST_LIMIT),
        "Size of the largest value of numbers or text that is not replaced by a BulkDataURI in metadata.",
    )
