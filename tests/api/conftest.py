"""Callers of a fresh archive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.imaging.decoding.decoder import FrameDecoder
from tests.support.bulk_update import INSTANCE, OTHER, SERIES, STUDY
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance


@pytest.fixture
def clinic(client: FlaskClient) -> PartitionClient:
    """Calls in partition clinic-a, version 2."""
    return PartitionClient(client)


@pytest.fixture
def strict(client: FlaskClient) -> PartitionClient:
    """Calls in partition clinic-a, version 1."""
    return PartitionClient(client, "/v1/partitions/clinic-a")


@pytest.fixture
def study_to_update(clinic: PartitionClient) -> bytes:
    """Store three instances in two series of one study, and one of another study. Return the bytes of the first."""
    first = make_instance(study=STUDY, series=SERIES, instance=INSTANCE, PatientComments=None)
    more = [make_instance(study=STUDY, series=series) for series in (SERIES, "2.25.1105")]
    clinic.stored(first, *more, make_instance(study=OTHER))
    return first


@pytest.fixture(scope="session")
def session_decoder() -> Iterator[FrameDecoder]:
    """A decoder with one process. Starting a process takes longer than most tests."""
    decoder = FrameDecoder(processes=1)
    yield decoder
    decoder.close()


@pytest.fixture
def shared_decoder(session_decoder: FrameDecoder, monkeypatch: pytest.MonkeyPatch) -> FrameDecoder:
    """Let each service that a test starts use the decoder of the session."""
    monkeypatch.setattr(bootstrap, "build_decoder", lambda _: session_decoder)
    return session_decoder
