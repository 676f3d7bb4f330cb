"""Requests in the forms of real clients: bodies in chunks, and multipart bodies as each library writes them."""

from __future__ import annotations

from io import BytesIO

from werkzeug.test import TestResponse

from tests.support.dicomweb import PartitionClient


def send_chunked(
    caller: PartitionClient, path: str, body: bytes, content_type: str, method: str = "POST", **headers: str
) -> TestResponse:
    """Send a body in chunks, without a Content-Length."""
    return caller.client.open(
        caller.prefix + path,
        method=method,
        input_stream=BytesIO(body),
        content_type=content_type,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )


def dotnet_multipart(*files: bytes) -> tuple[bytes, str]:
    """Return the body and the Content-Type of .NET's `MultipartContent`. It quotes the boundary."""
    boundary = "6c1f2d7e-9a43-4b0e-8f55-1c2d3e4f5a6b"
    parts = [b"Content-Type: application/dicom\r\n\r\n" + file for file in files]
    body = f"--{boundary}\r\n".encode() + f"\r\n--{boundary}\r\n".encode().join(parts)
    return (
        body + f"\r\n--{boundary}--\r\n".encode(),
        f'multipart/related; boundary="{boundary}"; type="application/dicom"',
    )


def orthanc_multipart(*files: bytes) -> tuple[bytes, str]:
    """Return the body and the Content-Type of Orthanc's DICOMweb plugin. Its parts have a Content-Length."""
    boundary = "9d8b1c5e-4f27-4d2a-a6a1-0b7c3e2f1d00-9d8b1c5e-4f27-4d2a-a6a1-0b7c3e2f1d01"
    parts = [
        f"--{boundary}\r\nContent-Type: application/dicom\r\nContent-Length: {len(file)}\r\n\r\n".encode() + file
        for file in files
    ]
    return (
        b"\r\n".join(parts) + f"\r\n--{boundary}--\r\n".encode(),
        f"multipart/related; type=application/dicom; boundary={boundary}",
    )


def javascript_multipart(*files: bytes) -> tuple[bytes, str]:
    """Return the body and the Content-Type of dicomweb-client in JavaScript."""
    boundary = "5a7e0c1b-0f8d-4c63-9a39-7d5e6b2c4f10"
    header = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return (
        b"".join(header + file for file in files) + f"\r\n--{boundary}--".encode(),
        f"multipart/related; type=application/dicom; boundary={boundary}",
    )


def python_multipart(*files: bytes) -> tuple[bytes, str]:
    """Return the body and the Content-Type of dicomweb-client in Python."""
    boundary = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
    header = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return (
        b"".join(header + file for file in files) + f"\r\n--{boundary}--".encode(),
        f'multipart/related; type="application/dicom"; boundary="{boundary}"',
    )
