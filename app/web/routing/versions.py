"""The API versions: their spellings in a URL, and the policy of each (conformance §1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.services import policy
from app.services.policy import Policy


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One version. `name` is the first segment of the URLs that the service generates."""

    name: str
    policy: Policy


V1: Final = ApiVersion("v1", policy.V1)
V2: Final = ApiVersion("v2", policy.V2)
V1_PRERELEASE: Final = ApiVersion("v1.0-prerelease", policy.V1)

ALL: Final = (V1, V2, V1_PRERELEASE)
RELEASED: Final = (V1, V2)
UNVERSIONED: Final = V2
"""The version that answers a URL without a version."""

BY_NAME: Final[Mapping[str, ApiVersion]] = {version.name: version for version in ALL}
BY_SPELLING: Final[Mapping[str, ApiVersion]] = {
    "v1": V1,
    "v1.0": V1,
    "v2": V2,
    "v2.0": V2,
    "v1.0-prerelease": V1_PRERELEASE,
    "v1-prerelease": V1_PRERELEASE,
}
"""Every spelling of a version, in lower case."""

VERSION_SEGMENT: Final = "/<any({}):version>".format(", ".join(f'"{version.name}"' for version in ALL))
"""The first segment of the rules. It matches the canonical names; `paths.py` puts one into every path."""

SUPPORTED: Final = "v1, v2"
"""The value of the header `api-supported-versions`."""
