"""Brings removed objects back: `python -m infra.undelete BUCKET --since 2026-11-30T08:00:00Z`.

In a bucket with versions a deletion is a marker above the object. The program removes the markers that are newer than
a moment, and so the objects can be read again. Use it after the table was restored to that moment: the table names
objects that were removed later. Run it with credentials that may list and delete versions, which the role of the tasks
may not.

It may be stopped and started again at any time. What is left is a marker.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_BATCH: Final = 1000
"""Versions in one DeleteObjects. This is a limit of S3."""


def main(arguments: list[str] | None = None) -> None:
    """Remove the markers and print how many there were. Exit with 1 if S3 refuses some of them."""
    parser = argparse.ArgumentParser(prog="python -m infra.undelete", description="Bring removed objects back.")
    parser.add_argument("bucket")
    parser.add_argument("--since", type=_moment, required=True, help="bring back what was removed after this moment")
    parser.add_argument("--prefix", default="", help="only keys that begin with this text")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    options = parser.parse_args(arguments)
    s3 = boto3.client("s3")
    found = refused = 0
    for markers in _in_batches(markers_since(s3, options.bucket, options.since, options.prefix)):
        found += len(markers)
        if not options.dry_run:
            refused += remove(s3, options.bucket, markers)
    sys.stdout.write(f"{found - refused} objects {'were removed' if options.dry_run else 'are back'}\n")
    if refused:
        sys.exit(f"S3 refused to bring back {refused} objects.")


def _moment(text: str) -> datetime:
    """Return a moment. Raises ValueError, which argparse reports, if it has no offset from UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC.")
    return moment


def markers_since(s3: S3Client, bucket: str, since: datetime, prefix: str) -> Iterator[ObjectIdentifierTypeDef]:
    """Yield the markers after a moment that hide an object now, in the order of the keys."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for marker in page.get("DeleteMarkers", ()):
            if marker["IsLatest"] and marker["LastModified"] > since:
                yield {"Key": marker["Key"], "VersionId": marker["VersionId"]}


def remove(s3: S3Client, bucket: str, markers: list[ObjectIdentifierTypeDef]) -> int:
    """Remove at most a thousand markers. Return how many of them S3 refused."""
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": markers, "Quiet": True})
    return len(answer.get("Errors", ()))


def _in_batches(markers: Iterator[ObjectIdentifierTypeDef]) -> Iterator[list[ObjectIdentifierTypeDef]]:
    while batch := list(islice(markers, _BATCH)):
        yield batch


if __name__ == "__main__":
    main()
