"""Forms: bodies in application/x-www-form-urlencoded (WHATWG URL §5), read with a schema (conformance §15.4).

A form with faults is no error of the request. The handler gets the form with a text for each fault, and shows it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as copied_with
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from flask import Request
from marshmallow import EXCLUDE, Schema, ValidationError, fields

from app.errors import InvalidRequest, UnsupportedContent
from app.settings import Settings
from app.web.request.body import open_body
from app.web.site.form_tokens import check_form_token

FORM: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 200

UNREADABLE: Final = f"The form cannot be read. It must be UTF-8 with at most {MAX_FIELDS} fields."


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form as it was sent, or as it is shown first.

    `texts` are the texts of the fields by name, without blanks at their ends. `values` are what the schema makes of
    them. `errors` are the faults by the name of the field; the name "" is for the form as a whole. A form with errors
    has no values.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the text of a field, "" for a field that was not sent."""
        return self.texts.get(name, "")

    def error(self, name: str) -> str:
        """Return the fault of a field, "" for a field without one."""
        return self.errors.get(name, "")

    def refused(self, errors: Mapping[str, str]) -> Form:
        """Return this form with these faults."""
        return copied_with(self, values={}, errors=errors)


class FormSchema(Schema):
    """The fields of a form. Unknown fields are ignored."""

    class Meta:
        unknown = EXCLUDE


class LinesField(fields.Field[list[str]]):
    """A text area with one value in each line. Empty lines are ignored."""

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        lines = [line.strip() for line in value.splitlines() if line.strip()]
        if self.required and not lines:
            raise ValidationError("Enter at least one value.")
        return lines


def comma_separated(name: str, is_valid: Callable[[str], bool]) -> fields.Field[list[str]]:
    """Return the field of a query parameter with texts that commas separate. Text that is not valid is left out."""
    return fields.Function(
        deserialize=lambda text: [each for each in map(str.strip, text.split(",")) if is_valid(each)],
        load_default=list,
        data_key=name,
    )


@dataclass(frozen=True, slots=True)
class FormBody:
    """A form of at most `max_bytes` bytes. The handler gets a `Form`."""

    schema: Schema
    max_bytes: int = 64 * 1024
    media_types: ClassVar[tuple[str, ...]] = (FORM,)

    def open(self, request: Request, settings: Settings) -> Callable[[], Form]:
        """Check the Content-Type; the returned function reads the form. Raises `UnsupportedContent`.

        The function raises `FormExpired` if the form does not have the token of the session (`form_tokens.py`).
        """
        if request.mimetype != FORM:
            raise UnsupportedContent(f"The content type of a form is {FORM}.")
        return lambda: self._read(request, settings)

    def _read(self, request: Request, settings: Settings) -> Form:
        texts = form_texts(request, min(self.max_bytes, settings.max_request_bytes))
        check_form_token(request, texts)
        return read_form(self.schema, texts)


def form_texts(request: Request, limit: int) -> dict[str, str]:
    """Return the fields of a form of at most `limit` bytes. The first field of a name counts.

    Raises `TooLarge` past the limit, `InvalidRequest` for a body that is no form.
    """
    body = open_body(request, limit)
    body.begin(may_be_empty=True)
    try:
        pairs = parse_qsl(
            body.read().decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise InvalidRequest(UNREADABLE) from error
    texts: dict[str, str] = {}
    for name, value in pairs:
        texts.setdefault(name, value.strip())
    return texts


def read_form(schema: Schema, texts: Mapping[str, str]) -> Form:
    """Return the form with the values that the schema makes of its texts, or with the faults of its fields."""
    try:
        return Form(texts=texts, values=schema.load(texts))
    except ValidationError as error:
        return Form(texts=texts, errors={name: _first(reasons) for name, reasons in error.messages_dict.items()})


def _first(reasons: Any) -> str:
    while isinstance(reasons, dict):
        reasons = next(iter(reasons.values()))
    return str(reasons[0])
