"""The entity tag of a picture is the same in each server process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from app.imaging.rendering.parameters import RenderingParameters
from app.services.retrieve.rendering import Rendering


class Words(frozenset[str]):
    """A set with the order of another process: it depends on hashes of texts, which are random."""

    def __repr__(self) -> str:
        return f"frozenset({{{', '.join(map(repr, sorted(self, reverse=True)))}}})"


class OtherWords(frozenset[str]):
    """The same set in the opposite order."""

    def __repr__(self) -> str:
        return f"frozenset({{{', '.join(map(repr, sorted(self)))}}})"


def tag(annotation: frozenset[str]) -> str:
    renderer = SimpleNamespace(variant=lambda row, frames: "")
    renderers = cast(Any, SimpleNamespace(renderer=lambda row: renderer))
    rendering = Rendering(renderers, cast(Any, None), cast(Any, None))
    row = cast(Any, SimpleNamespace(blob="1/2/3/4.dcm"))
    return rendering.rendition(row, (), "image/png", RenderingParameters(annotation=annotation)).tag


def test_the_order_of_a_set_does_not_change_the_tag() -> None:
    both = ("patient", "technique")
    assert repr(Words(both)) != repr(OtherWords(both))
    assert tag(Words(both)) == tag(OtherWords(both))
    assert tag(Words(both)) != tag(frozenset({"patient"}))
