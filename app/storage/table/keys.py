"""Every key of the table and of the bucket; no key string is made anywhere else.

`p` is the partition key (an int), so no read or write of one partition can name an item of another. `{n}` is a
sequence number written so that newer sorts first (`newest`), `{n+}` one that sorts oldest first. TAB parts a value
from a number: canonical values (dicom/query/matching.py) never hold control characters.

| family    | pk · sk                                            | serves                                           |
|-----------|----------------------------------------------------|--------------------------------------------------|
| counter   | `counters` · `partition`, `sequence`,              | partition keys; watermarks and feed sequence;    |
|           | `settled`, `workitem/{p}`                          | how far the feed is final; the order of workitems |
| layout    | `layout` · `layout`                                | the form of all items: `table/layout.py`         |
| partition | `partitions` · lower-cased name                    | list, lookup, conditional create                 |
| study     | `{p}/study/{S}` · `study`, `series/{Se}`,          | existence, counts, a study in one query          |
|           | `instance/{Se}/{I}`                                |                                                  |
| metadata  | `{p}/metadata/{S}` · `{n}`                         | DICOM JSON, one document a version of an instance |
| frames    | `{p}/frames/{S}` · `{n}`                           | where encapsulated frames lie in the file        |
| workitem  | `{p}/workitem/{U}` · `workitem`                    | a workitem whole: row and dataset                |
| newest    | `{p}/newest/{level}` · `{n}`                       | search without a usable filter, newest first     |
| value     | `{p}/value/{level}/{tag}` · `{value}TAB{n}`        | exact match newest first, ranges, prefixes       |
| word      | `{p}/word/{level}/{tag}/{bucket}` · `{word}TAB{n}` | fuzzy person names; 32 buckets by first letter   |
| feed      | `feed/{n // 1000}` · `{n+}`                        | change feed by sequence                          |
| feed time | `feed/hours` · hour;                               | change feed by time                              |
|           | `feed/hour/{hour}` · `{time}/{n+}`                 |                                                  |
| sweep     | `sweep` · `{due}/{what}`                           | blobs that no row names; deletions to finish;    |
|           |                                                    | postings that were written apart from their row  |
| operation | `operation/{id}` · `operation`, `lease`;           | background work, and who works on it;            |
|           | `operations/open` · id;                            | what is still to be done;                        |
|           | `operations/active` · type;                        | one at a time;                                   |
|           | `operations/ended/{status}` · `{time}/{id}`        | what may be forgotten                            |
| tags      | `querytags` · `catalogue`;                         | all extended query tags, one item;               |
|           | `querytags/{tag}/errors` · `{time}/{n+}`           | the instances whose value cannot be filed        |
| queue     | `queue` · `{due}/{id}`; `queue/dead` · id;         | announcements of work, of the embedded engine;   |
|           | `queue/check` · `check`                            | what is written to see that it can be            |
| export    | `export/{operation}/identifiers` · `{n+}`;         | what an export was asked for;                    |
|           | `export/{operation}/errors` · `{n+}`               | the lines of its error log                       |

A posting's `{level}` is that of the object it leads to, or `workitem`; its `{tag}` is `Attribute.key`.

One posting family (`value`) does what two would, one for exact matches and one for order: within one value the entries
lie newest first, so exact matches merge; the values themselves lie in order, so ranges and prefixes are ranges.

Blobs: `{p}/{S}/{Se}/{I}/{version}.dcm`, version fresh per write, never overwritten; a metadata document or frame
table too large for an item lies beside it as `.json` or `.frames`. The table alone decides what exists.
"""

from __future__ import annotations

from typing import Final

from app.storage.table.ports import ALL, Key, Range, starting

NEWEST: Final = 2**63 - 1
"""A sequence number above all others."""

FEED_BUCKET: Final = 1000
"""Sequence numbers in one item collection of the feed."""


def newest(sequence: int) -> str:
    """16 hex digits that sort the newer number first."""
    return f"{NEWEST - sequence:016x}"


def oldest(sequence: int) -> str:
    """16 digits that sort the older number first."""
    return f"{sequence:016d}"


# --- counters and partitions --------------------------------------------------------------------------------------

PARTITIONS: Final = "partitions"
PARTITION_COUNTER: Final = Key("counters", "partition")
SEQUENCE_COUNTER: Final = Key("counters", "sequence")
FEED_COMPLETE: Final = Key("counters", "settled")
LAYOUT: Final = Key("layout", "layout")


def partition(name: str) -> Key:
    return Key(PARTITIONS, name.lower())


# --- what is stored -----------------------------------------------------------------------------------------------

SERIES: Final = starting("series/")
INSTANCES: Final = starting("instance/")


def study_items(p: int, study: str) -> str:
    return f"{p}/study/{study}"


def study(p: int, study: str) -> Key:
    return Key(f"{p}/study/{study}", "study")


def series(p: int, study: str, series: str) -> Key:
    return Key(f"{p}/study/{study}", f"series/{series}")


def instance(p: int, study: str, series: str, instance: str) -> Key:
    return Key(f"{p}/study/{study}", f"instance/{series}/{instance}")


def instances_of(series: str) -> Range:
    return starting(f"instance/{series}/")


def instances_beyond(sort_key: str) -> Range:
    """The instances of a study after the one under this sort key; all of them after an empty one."""
    return Range(f"{sort_key} ", INSTANCES.high) if sort_key else INSTANCES


def rows_after(sort_key: str, between: Range = ALL) -> Range:
    """The rows of a study in a range that sort after this sort key; all of the range after an empty one."""
    return between._replace(low=f"{sort_key} ") if sort_key else between


def before_instances_of(series: str) -> str:
    """A sort key that sorts just before the instances of a series."""
    return f"instance/{series}"


BEFORE_SERIES: Final = "series"
"""A sort key that sorts just before the series of a study."""


def metadata_items(p: int, study: str) -> str:
    return f"{p}/metadata/{study}"


def metadata(p: int, study: str, watermark: int) -> Key:
    return Key(f"{p}/metadata/{study}", newest(watermark))


def frames(p: int, study: str, watermark: int) -> Key:
    return Key(f"{p}/frames/{study}", newest(watermark))


def blob(p: int, study: str, series: str, instance: str, version: str) -> str:
    return f"{p}/{study}/{series}/{instance}/{version}.dcm"


def spilled_metadata(blob: str) -> str:
    """Where the metadata of this blob lies when it is too large for an item."""
    return blob.removesuffix(".dcm") + ".json"


def spilled_frames(blob: str) -> str:
    """Where the frame table of this blob lies when it is too large for an item."""
    return blob.removesuffix(".dcm") + ".frames"


def files(blob: str) -> tuple[str, str, str]:
    """Every blob that there may be of one version."""
    return blob, spilled_metadata(blob), spilled_frames(blob)


def workitem(p: int, workitem: str) -> Key:
    return Key(f"{p}/workitem/{workitem}", "workitem")


def workitem_counter(p: int) -> Key:
    return Key("counters", f"workitem/{p}")


# --- postings -----------------------------------------------------------------------------------------------------


def newest_of(p: int, level: str) -> str:
    return f"{p}/newest/{level}"


def values(p: int, level: str, tag: str) -> str:
    return f"{p}/value/{level}/{tag}"


WORD_BUCKETS: Final = 32


def words(p: int, level: str, tag: str, word: str) -> str:
    """Where a word lies, and whatever starts with it."""
    return words_in(p, level, tag, ord(word[0]) % WORD_BUCKETS)


def words_in(p: int, level: str, tag: str, bucket: int) -> str:
    return f"{p}/word/{level}/{tag}/{bucket:02d}"


def entries(value: str) -> str:
    """The sort-key prefix of all entries of one value or word."""
    return f"{value}\t"


def entry(value: str, sequence: int) -> str:
    return f"{value}\t{newest(sequence)}"


def family(row: Key) -> str:
    """Return the family of a row that belongs to a partition: `study` or `workitem`."""
    return row.pk.split("/")[1]


def is_posting(key: Key) -> bool:
    """Tell whether an item under this key leads from a value or a word to a row."""
    return "/value/" in key.pk or "/word/" in key.pk


def value_of(entry: Key) -> str:
    """The value or word that an entry lies under."""
    return entry.sk.rpartition("\t")[0]


# --- change feed --------------------------------------------------------------------------------------------------

FEED_HOURS: Final = "feed/hours"


def feed_hours(hour: str) -> Key:
    return Key(FEED_HOURS, hour)


def feed_bucket(sequence: int) -> str:
    return f"feed/{sequence // FEED_BUCKET}"


def feed(sequence: int) -> Key:
    return Key(feed_bucket(sequence), oldest(sequence))


def feed_hour(hour: str) -> str:
    return f"feed/hour/{hour}"


def hour_of(timestamp: str) -> str:
    """`2024-03-01T09` of an ISO time in UTC."""
    return timestamp[:13]


def feed_time(timestamp: str, sequence: int) -> Key:
    return Key(feed_hour(hour_of(timestamp)), f"{timestamp}/{oldest(sequence)}")


# --- export -------------------------------------------------------------------------------------------------------


def export_identifiers(operation: str, page: int) -> Key:
    return Key(f"export/{operation}/identifiers", oldest(page))


def export_errors(operation: str, part: int) -> Key:
    return Key(f"export/{operation}/errors", oldest(part))


# --- operations ---------------------------------------------------------------------------------------------------

OPEN_OPERATIONS: Final = "operations/open"


def operation(operation: str) -> Key:
    return Key(f"operation/{operation}", "operation")


def lease(operation: str) -> Key:
    return Key(f"operation/{operation}", "lease")


def open_operation(operation: str) -> Key:
    return Key(OPEN_OPERATIONS, operation)


def active_operation(kind: str) -> Key:
    return Key("operations/active", kind)


def ended_operations(status: str) -> str:
    return f"operations/ended/{status}"


def ended_operation(status: str, timestamp: str, operation: str) -> Key:
    return Key(ended_operations(status), f"{timestamp}/{operation}")


def ended_by(timestamp: str) -> Range:
    return Range("", timestamp)


# --- queue --------------------------------------------------------------------------------------------------------

QUEUE: Final = "queue"


def queued(due: int, message: str) -> Key:
    """`due` in milliseconds since 1970."""
    return Key(QUEUE, f"{due:015d}/{message}")


def queued_by(now: int) -> Range:
    return Range("", f"{now:015d}/\U0010ffff")


QUEUE_CHECK: Final = Key("queue/check", "check")


def dead_message(message: str) -> Key:
    return Key("queue/dead", message)


# --- extended query tags ------------------------------------------------------------------------------------------

QUERY_TAGS: Final = Key("querytags", "catalogue")


def tag_errors(tag: str) -> str:
    return f"querytags/{tag}/errors"


def tag_error(tag: str, place: str) -> Key:
    return Key(tag_errors(tag), place)


def is_tag_error(key: Key) -> bool:
    """Tell whether an item under this key is an error of an extended query tag."""
    return key.pk.startswith("querytags/")


def tag_error_place(timestamp: str, watermark: int) -> str:
    """Oldest first."""
    return f"{timestamp}/{oldest(watermark)}"


# --- sweep --------------------------------------------------------------------------------------------------------

SWEEP: Final = "sweep"


def sweep(due: int, what: str) -> Key:
    """`due` in whole seconds since 1970; `what` is unique among records due at one time."""
    return Key(SWEEP, f"{due:012d}/{what}")


def due_by(now: int) -> Range:
    return Range("", f"{now:012d}/\U0010ffff")
