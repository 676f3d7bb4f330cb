"""Callers of a fresh archive."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

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
