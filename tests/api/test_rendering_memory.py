"""What renders frames holds memory of the budget, also for the window of a series, and never asks for it twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.imaging.decoding.decoder import FrameDecoder
from app.services.memory_budget import MemoryBudget
from tests.api.test_rendered import PATH, UIDS, on_one_engine
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance


@on_one_engine
@pytest.mark.parametrize("resource", ["rendered", "thumbnail", "frames/2/rendered"])
@pytest.mark.parametrize("media_type", ["image/png", "image/gif"])
def test_each_frame_is_decoded_within_the_budget(
    clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch, resource: str, media_type: str
) -> None:
    clinic.stored(make_instance(**UIDS, rows=8, columns=8, frames=3))
    held, decoded = 0, 0
    decode, use = FrameDecoder.decode, MemoryBudget.use

    @contextmanager
    def watched_use(budget: MemoryBudget, size: int) -> Iterator[None]:
        nonlocal held
        assert held == 0
        with use(budget, size):
            held += 1
            yield
            held -= 1

    def watched_decode(*arguments: Any) -> Any:
        nonlocal decoded
        assert held == 1
        decoded += 1
        return decode(*arguments)

    monkeypatch.setattr(MemoryBudget, "use", watched_use)
    monkeypatch.setattr(FrameDecoder, "decode", watched_decode)
    assert clinic.get(f"{PATH}/{resource}", media_type).status_code == 200
    assert decoded > 1  # the window of the series, and the picture
