"""Builds the use cases of operators: the check of an archive and its repair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from app.bootstrap.archive import Archive, build_archive, is_remote
from app.bootstrap.background import ENTRIES_OF
from app.bootstrap.engines import INDEX, Engine, build_engine
from app.dicom.json.model import Inline
from app.errors import ConfigurationError
from app.services import parallel
from app.services.policy import V1, V2, Policy
from app.services.recovery.backup_folder import UNFINISHED
from app.services.recovery.feed_check import FeedCheck
from app.services.recovery.file_examination import FileExamination
from app.services.recovery.findings import Fault, Subject
from app.services.recovery.indexing import Indexing
from app.services.recovery.item_checks import ItemCheck
from app.services.recovery.progress_file import ProgressFile
from app.services.recovery.rebuild import Rebuild
from app.services.recovery.records_in_flight import work_in_flight
from app.services.recovery.repair import GRACE_SECONDS, Repair
from app.services.recovery.restored_table import MARGIN, RestoredTable
from app.services.recovery.study_check import StudyCheck
from app.services.recovery.suspects import Suspects
from app.services.recovery.verification import ShowProgress, Verification
from app.services.retrieve.frames import FrameReader
from app.settings import Settings
from app.storage.index.leftovers_removal import LeftoversRemoval
from app.storage.table import keys
from app.storage.table.partitions import Partition

_EXAMINED_AHEAD: Final = 24
"""Files in S3 that are read before they are indexed."""

PAUSE_SECONDS: Final = 2.0
"""How long a store or a deletion may take between two of its writes before it looks like a fault."""


def open_archive(settings: Settings, open_layout: Callable[[Engine], None]) -> Archive:
    """Return the data model of an archive that exists. Raises `ConfigurationError` if there is none.

    Nothing is created in a folder without an archive: it is perhaps a disk that is not mounted.
    """
    place = settings.data_dir if settings.engine == "embedded" else settings.table
    none = ConfigurationError(f"There is no archive in {place}.")
    if settings.engine == "embedded" and not _has_one_of(settings.data_dir, INDEX, UNFINISHED):
        raise none
    engine = build_engine(settings)
    if engine.table.get(keys.LAYOUT) is None:
        raise none
    open_layout(engine)
    return build_archive(settings, engine)


def build_verification(
    settings: Settings,
    archive: Archive,
    *,
    partition_name: str | None,
    digests: bool,
    resume: Path | None,
    show: ShowProgress,
    pause: float | None = None,
    repair: bool = False,
    delete_lost: bool = False,
) -> Verification:
    """Return the check of an archive. Raises `ConfigurationError` if there is no such partition.

    `pause` is as in `Verification`, None for `PAUSE_SECONDS`. `repair` mends what it finds, and `delete_lost` deletes
    instances whose file is lost.
    """
    feed = FeedCheck(archive.feed)
    task = {"task": "verify", "partition": partition_name, "digests": digests, "repair": repair}

    def suspects(check_again: Callable[[Sequence[Subject]], Iterable[Fault]]) -> Suspects:
        in_flight = partial(work_in_flight, archive.table, archive.log)
        return Suspects(check_again, in_flight, pause=PAUSE_SECONDS if pause is None else pause)

    return Verification(
        table=archive.table,
        blobs=archive.blobs,
        partitions=archive.partitions,
        studies=StudyCheck(
            archive.table,
            archive.blobs,
            frames=FrameReader(archive.documents, archive.files, archive.lost),
            created=feed.created,
            digests=digests,
        ),
        items=ItemCheck(archive.table, ENTRIES_OF),
        feed=feed,
        suspects=suspects,
        parallel=parallel.parallel_map if is_remote(settings) else map,
        progress=ProgressFile(resume, task),
        show=show,
        only=partition_of(archive, partition_name) if partition_name else None,
        mend=build_repair(settings, archive, delete_lost=delete_lost) if repair else lambda _: (),
    )


def build_repair(settings: Settings, archive: Archive, *, delete_lost: bool) -> Repair:
    """Return what mends faults."""
    return Repair(
        table=archive.table,
        blobs=archive.blobs,
        partitions=archive.partitions,
        objects=archive.partition_objects,
        examine=build_examination(settings, archive),
        leftovers=LeftoversRemoval(archive.table, archive.blobs, ENTRIES_OF),
        removal=archive.removal,
        log=archive.log,
        grace=max(settings.delete_delay_seconds, GRACE_SECONDS),
        delete_lost=delete_lost,
    )


def partition_of(archive: Archive, name: str) -> Partition:
    """Return the partition of this name. Raises `ConfigurationError` if there is none."""
    found = archive.partitions.find(name)
    if found is None:
        raise ConfigurationError(f"There is no partition {name!r}.")
    return found


def open_empty_archive(settings: Settings, open_layout: Callable[[Engine], None]) -> Archive:
    """Return the data model on a table that may be empty.

    Raises `ConfigurationError` if the data folder has no folder of files. Nothing is created there.
    """
    if settings.engine == "embedded" and not _has_one_of(settings.data_dir, "blobs"):
        raise ConfigurationError(f"There are no files of an archive in {settings.data_dir}.")
    engine = build_engine(settings)
    open_layout(engine)
    return build_archive(settings, engine)


def _has_one_of(folder: Path, *names: str) -> bool:
    return any((folder / name).exists() for name in names)


def build_rebuild(settings: Settings, archive: Archive, *, show: ShowProgress, first_policy: Policy = V2) -> Rebuild:
    """Return what makes the index of an archive again. `first_policy` is that of the API version that stored most."""
    return Rebuild(
        table=archive.table,
        blobs=archive.blobs,
        partitions=archive.partitions,
        objects=archive.partition_objects,
        examine=build_examination(settings, archive, first_policy),
        indexing=build_indexing(archive),
        prefetch=partial(parallel.prefetch, ahead=_EXAMINED_AHEAD) if is_remote(settings) else map,
        folder=settings.spool_dir,
        show=show,
    )


def build_restored_table(
    settings: Settings, archive: Archive, *, show: ShowProgress, margin: int = MARGIN
) -> RestoredTable:
    """Return what mends a table that was restored to an earlier moment."""
    return RestoredTable(
        table=archive.table,
        blobs=archive.blobs,
        log=archive.log,
        feed=archive.feed,
        rebuild=build_rebuild(settings, archive, show=show),
        show=show,
        margin=margin,
    )


def build_examination(settings: Settings, archive: Archive, first_policy: Policy = V2) -> FileExamination:
    """Return what examines stored files as the store of these settings does."""
    return FileExamination(
        archive.blobs,
        policies=(first_policy, V1 if first_policy is V2 else V2),
        extended=archive.query_tags.extended,
        inline=Inline(settings.inline_binary_bytes, settings.inline_value_bytes),
        spool=settings.spool_dir,
    )


def build_indexing(archive: Archive) -> Indexing:
    return Indexing(
        archive.table,
        archive.blobs,
        writer=archive.index_writer,
        numbers=archive.numbers,
        log=archive.log,
    )
