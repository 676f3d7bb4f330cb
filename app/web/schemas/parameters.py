"""Query parameters of the management resources (conformance §1.5). Names match in any letter case."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing
from marshmallow.validate import Range

from app.errors import InvalidParameter, InvalidRequest
from app.storage.table import clock
from app.storage.table.partitions import is_name

LARGEST: Final = 2**63 - 1
LARGEST_OFFSET: Final = 2**31 - 1

_NAME_BEGINNING: Final = re.compile("[A-Za-z0-9_.-]{0,64}")
_RFC_1123: Final = "%a, %d %b %Y %H:%M:%S GMT"
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,39}")
_SEVENTH_DIGIT: Final = re.compile(r"[.,][0-9]{6}([0-9])")


class IntegerParameter(fields.Field[int]):
    """A whole number between `low` and `high`. Without a `default`, an absent parameter has no value."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "integer"}

    def __init__(self, name: str, low: int, high: int, default: int | None = None) -> None:
        message = f"The field {name} must be between {low} and {high}."
        absent = missing if default is None else default
        super().__init__(data_key=name, load_default=absent, validate=Range(low, high, error=message))

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> int:
        number = value.strip()
        if not _INTEGER.fullmatch(number):
            raise ValidationError(f"The value '{value}' is not valid for {self.data_key}.")
        return int(number)  # `int` itself does not strip all that `strip` does


class BooleanParameter(fields.Field[bool]):
    """`true` or `false`, in any letter case."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "boolean"}

    def __init__(self, name: str, default: bool) -> None:
        super().__init__(data_key=name, load_default=default)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value.lower() not in ("true", "false"):
            raise ValidationError(f"The value '{value}' is not valid for {self.data_key}.")
        return value.lower() == "true"


class TimeParameter(fields.Field[str]):
    """An ISO 8601 date and time with a zone or an offset, or a date as in HTTP headers (RFC 1123 §5.2.14).

    The value is the text in which times are stored (`storage/table/clock.py`), and "" if the parameter is absent or
    empty.
    """

    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "const": ""}]
    }

    def __init__(self, name: str) -> None:
        super().__init__(data_key=name, load_default="")

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not value.strip():
            return ""
        try:
            time = _moment(value.strip())
            if time.tzinfo is not None:
                seventh_digit = _SEVENTH_DIGIT.search(value)
                return clock.format_utc(time.astimezone(UTC), seventh_digit[1] if seventh_digit else "0")
        except (ValueError, OverflowError):
            raise ValidationError(f"The value '{value}' is not valid for {self.data_key}.") from None
        raise ValidationError("Date and time value must specify a time zone.")


class PartitionNamesParameter(fields.Field[frozenset[str] | None]):
    """Names of partitions, separated by commas. The value has them in lower case. It is None without the parameter."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string"}

    def __init__(self, name: str) -> None:
        super().__init__(data_key=name, load_default=None)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> frozenset[str]:
        names = [each.strip() for each in value.split(",")]
        if not all(map(is_name, names)):
            raise ValidationError("The specified PartitionName is invalid.")
        return frozenset(each.lower() for each in names)


class NameBeginningParameter(fields.Field[str]):
    """The name of a partition, or the beginning of one. The value is "" without the parameter."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": "^[A-Za-z0-9_.-]{0,64}$"}

    def __init__(self, name: str) -> None:
        super().__init__(data_key=name, load_default="")

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not _NAME_BEGINNING.fullmatch(value):
            raise ValidationError(f"The value '{value}' is not valid for {self.data_key}.")
        return value


def _moment(text: str) -> datetime:
    """Return the time. One without a zone has no tzinfo. Raises `ValueError` for other text."""
    try:
        return datetime.strptime(text, _RFC_1123).replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromisoformat(text.upper())


class LatestParameters(Schema):
    """`changefeed/latest` (conformance §10.2)."""

    partitions = PartitionNamesParameter("PartitionName")
    metadata = BooleanParameter("IncludeMetadata", default=True)


class SequenceParameters(LatestParameters):
    """`changefeed` in v1: a window of sequence numbers."""

    offset = IntegerParameter("Offset", 0, LARGEST, 0)
    limit = IntegerParameter("Limit", 1, 100, 10)


class PageParameters(Schema):
    """`extendedquerytags` and the errors of a tag (conformance §8.1)."""

    offset = IntegerParameter("Offset", 0, LARGEST_OFFSET, 0)
    limit = IntegerParameter("Limit", 1, 200, 100)


class PartitionParameters(Schema):
    """`partitions` (conformance §2.6). Without `Limit` and `After` all partitions are listed."""

    prefix = NameBeginningParameter("Prefix")
    after = NameBeginningParameter("After")
    limit = IntegerParameter("Limit", 1, 1000)


class TimeParameters(LatestParameters):
    """`changefeed` in v2: a window of time."""

    offset = IntegerParameter("Offset", 0, LARGEST, 0)
    limit = IntegerParameter("Limit", 1, 200, 100)
    start = TimeParameter("StartTime")
    end = TimeParameter("EndTime")


LATEST: Final = LatestParameters(unknown=EXCLUDE)
BY_SEQUENCE: Final = SequenceParameters(unknown=EXCLUDE)
PAGE: Final = PageParameters(unknown=EXCLUDE)
PARTITIONS: Final = PartitionParameters(unknown=EXCLUDE)
BY_TIME: Final = TimeParameters(unknown=EXCLUDE)


def has_parameter(query: str, name: str) -> bool:
    """Return whether a query string has a parameter of this name, also an empty one."""
    return any(each.lower() == name.lower() for each, _ in parse_qsl(query, keep_blank_values=True))


def load_parameters(schema: Schema, query: str) -> dict[str, Any]:
    """Return the values of the parameters in a query string. Unknown names are ignored; the first of a name counts.

    Raises `InvalidParameter` for the first parameter that breaks its rule, in the order of the schema.
    """
    names = {str(field.data_key).lower(): str(field.data_key) for field in schema.fields.values()}
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name.lower() in names:
            given.setdefault(names[name.lower()], value)
    try:
        values: dict[str, Any] = schema.load(given)
    except ValidationError as error:
        name, reasons = next(iter(error.messages_dict.items()))
        raise InvalidParameter(name, reasons[0]) from None
    if "" < values.get("end", "") <= values.get("start", ""):
        start, end = given["StartTime"], given["EndTime"]
        raise InvalidRequest(f"The start time '{start}' must occur strictly before the end time '{end}'.")
    return values
