"""The policy of answers that come from files."""

from __future__ import annotations

import pytest
from flask import Response

from app.imaging.documents.page import STYLE_HASH
from app.web.response.content_policy import restrict_content


@pytest.mark.parametrize("media_type", ["text/xml", "application/xml", "image/svg+xml", "model/stl", "model/obj"])
def test_content_that_could_have_scripts_runs_in_a_sandbox(media_type: str) -> None:
    response = restrict_content(Response(b"", content_type=media_type))
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_a_page_may_have_its_own_style_and_nothing_else() -> None:
    response = restrict_content(Response(b"", content_type="text/html; charset=utf-8"))
    assert response.headers["Content-Security-Policy"] == f"default-src 'none'; style-src '{STYLE_HASH}'; sandbox"


def test_a_pdf_is_shown_by_the_viewer_of_the_browser() -> None:
    """Older releases of Chromium show no PDF in a sandbox."""
    policy = restrict_content(Response(b"", content_type="application/pdf")).headers["Content-Security-Policy"]
    assert "sandbox" not in policy
    assert "script-src" not in policy
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("media_type", ["application/pdf", "text/html", "image/jpeg", "text/plain"])
def test_a_page_that_is_isolated_may_show_any_answer_in_a_frame(media_type: str) -> None:
    response = restrict_content(Response(b"", content_type=media_type))
    assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "video/mp4", "application/dicom"])
def test_pictures_and_videos_have_no_policy_of_their_own(media_type: str) -> None:
    response = restrict_content(Response(b"", content_type=media_type))
    assert "Content-Security-Policy" not in response.headers
