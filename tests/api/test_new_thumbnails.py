"""Thumbnails of new series are made in the background if a setting says so (conformance §4.10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.services import Services
from app.services.retrieve.new_thumbnails import NewThumbnails
from app.settings import Settings
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.pictures import gradient, gray_image, picture

STUDY, SERIES = "2.25.81", "2.25.82"


class Maker:
    """The step of the worker, with a clock that the test turns."""

    def __init__(self, client: PartitionClient) -> None:
        self.now = 0.0
        services: Services = client.client.application.extensions["bulkhead"]
        self.step: NewThumbnails = next(
            step.__self__  # type: ignore[attr-defined]  # a bound method
            for step in services.background
            if isinstance(getattr(step, "__self__", None), NewThumbnails)
        )
        self.step._clock = lambda: self.now

    def work(self, seconds: float = 0) -> None:
        self.now += seconds
        for _ in range(20):
            if not self.step.run_once():
                return
        raise AssertionError("the step does not end")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def clinic(serve: Serve, folder: Path) -> PartitionClient:
    """Calls to a service that makes thumbnails."""
    return PartitionClient(serve(picture_cache_dir=folder, make_thumbnails=True))


def pictures(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_thumbnail_of_a_new_series_is_ready_when_it_is_quiet(
    clinic: PartitionClient, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.stored(gray_image(gradient(9, 9), study=STUDY))  # before the worker starts
    maker = Maker(clinic)
    maker.work()
    for number in range(3):
        clinic.stored(gray_image(gradient(20, 20, number), study=STUDY, series=SERIES))
        maker.work(9)
    assert pictures(folder) == []
    maker.work(11)
    assert len(pictures(folder)) == 1

    server = PartitionClient(serve(picture_cache_dir=folder))
    rendering = server.client.application.extensions["bulkhead"].rendering
    monkeypatch.setattr(type(rendering), "_rendered", lambda *_: pytest.fail("it was rendered again"))
    found = picture(server.get(f"/studies/{STUDY}/series/{SERIES}/thumbnail?viewport=256,256"), "image/jpeg")
    assert np.abs(found - gradient(20, 20, 1)).mean() < 3


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_what_has_no_picture_or_is_deleted_meanwhile_holds_up_nothing(clinic: PartitionClient, folder: Path) -> None:
    maker = Maker(clinic)
    maker.work()
    clinic.stored(gray_image(gradient(9, 9), study="2.25.1", series="2.25.2", PhotometricInterpretation="ARGB"))
    clinic.stored(make_instance(study="2.25.3", pixel=False))
    clinic.stored(gray_image(gradient(9, 9), study="2.25.4"))
    clinic.delete("/studies/2.25.4")
    clinic.stored(gray_image(gradient(9, 9), study=STUDY, series=SERIES))
    maker.work()
    maker.work(11)
    assert maker.step._waiting == {}
    assert len(pictures(folder)) >= 1


def test_the_setting_needs_a_folder() -> None:
    environment: dict[str, Any] = {"BULKHEAD_MAKE_THUMBNAILS": "true"}
    with pytest.raises(Exception, match="BULKHEAD_MAKE_THUMBNAILS: It needs BULKHEAD_PICTURE_CACHE_DIR"):
        Settings.from_environment(environment)
    assert Settings.from_environment(environment | {"BULKHEAD_PICTURE_CACHE_DIR": "/pictures"}).make_thumbnails


def test_without_the_setting_there_is_no_step(serve: Serve) -> None:
    services: Services = serve().application.extensions["bulkhead"]
    assert not any(isinstance(getattr(step, "__self__", None), NewThumbnails) for step in services.background)
