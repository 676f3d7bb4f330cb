"""wsidicom: a slide that is read from the service has the pixels of its local files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from wsidicom import WsiDicom, WsiDicomWebClient

from tests.integration.slides import SERIES, STUDY, slide
from tests.support.instances import read

pytestmark = pytest.mark.integration


def test_a_slide_has_the_pixels_of_its_local_files(clinic: str, tmp_path: Path) -> None:
    files = slide()
    for number, file in enumerate(files):
        (tmp_path / f"{number}.dcm").write_bytes(file)
    client = DICOMwebClient(clinic)
    client.store_instances([read(file) for file in files])

    with (
        WsiDicom.open(sorted(tmp_path.glob("*.dcm"))) as local,
        WsiDicom.open_web(WsiDicomWebClient(client), STUDY, SERIES) as remote,
    ):
        levels = [(level.level, level.size.width) for level in remote.levels]
        assert levels == [(level.level, level.size.width) for level in local.levels] == [(0, 256), (1, 128)]
        for level, corner, size in ((0, (50, 30), (150, 180)), (1, (0, 0), (128, 128))):
            expected = np.asarray(local.read_region(corner, level, size))
            assert expected.std() > 20  # the region is not blank
            assert np.array_equal(np.asarray(remote.read_region(corner, level, size)), expected)
