"""Every key of the table and of the bucket. No other module makes a key.

All families are in this module, and not with their topics, for two reasons. The table below shows at a glance that no
two families share a key. And several families are used below their topic: the batch writer knows postings and sweep
records, and an instance row names the errors of query tags.

`p` is the partition key (an int). It is part of every key of a partition, so no read or write of one partition can name
an item of another one. `{n}` is a sequence number in a form that sorts the newest first (`newest`), `{n+}` in a form
that sorts the oldest first (`oldest`). TAB separates a value from a number: canonical values (dicom/query/canonical.py)
contain no control characters.

| family    | pk · sk                                            | contents                                         |
|-----------|----------------------------------------------------|--------------------------------------------------|
| counter   | `counters` · `partition`, `sequence`,              | partition keys; watermarks;                      |
|           | `workitem/{p}`                                     | order of workitems                               |
|           | `settled`, `earliest`                              | end and time of the feed of layout 4             |
| layout    | `layout` · `layout`, `unposted`, `undated`,        | the layout version (`table/layout.py`); the last |
|           | `shards`, `migration`, `rebuild`                   | objects without all postings; parts of lists; a  |
|           |                                                    | migration or a rebuild that runs                 |
| partition | `partitions` · lower-cased name                    | the partitions; created on a condition           |
| study     | `{p}/study/{S}` · `study`, `series/{Se}`,          | the rows of a study, for one query               |
|           | `instance/{Se}/{I}`,                               |                                                  |
|           | `shard/{series number}/{shard}`                    | numbers of instances (`index/counts.py`)         |
| statistics| `{p}/statistics` · `{shard}`                       | numbers of a partition (`index/statistics.py`)   |
| metadata  | `{p}/metadata/{S}` · `{n}`                         | DICOM JSON of each version of an instance        |
| frames    | `{p}/frames/{S}` · `{n}`                           | positions of encapsulated frames in the file     |
| workitem  | `{p}/workitem/{U}` · `workitem`                    | a workitem: row and dataset                      |
| newest    | `{p}/newest/{level}` · `{n}`                       | posting: search without a usable filter          |
| value     | `{p}/value/{level}/{tag}` · `{value}TAB{n}`        | posting: exact matches, ranges, prefixes         |
| period    | `{p}/value/{level}/{tag}/periods` ·                | posting: the year and the month of a date        |
|           | `{year}TAB{n}`, `{month}TAB{n}`                    | (`records/periods.py`)                           |
| word      | `{p}/word/{level}/{tag}/{bucket}` · `{word}TAB{n}` | posting: fuzzy person names; 32 buckets          |
| pages     | `{p}/pages` · `list`;                              | values of many studies in one item, for searches |
|           | `{p}/pages/{column}` · page                        | by a contained text (`search/value_pages.py`)    |
| page mark | `unpaged/{kind}/{p % 4}` · `{p}/{n+}`              | a study that no page has as it is now            |
|           | `unpaged/walk` · `walk`                            | partitions of older archives without pages       |
| feed      | `feed/{n // 1000}` · `{n+}`                        | pages of the change feed (`feed/entries.py`)     |
|           | `feed/head` · `head`                               | its last number and latest time                  |
| feed time | `feed/hours` · hour;                               | the first number of each hour                    |
|           | `feed/hour/{hour}` · `{time}/{n+}`                 | entries by time, of layout 4                     |
| log       | `log/{shard}` · `{started ms}/{id}`                | commits that are open, or not yet in the feed    |
|           |                                                    | (`feed/log.py`)                                  |
| sweep     | `sweep`, `sweep/{shard}` · `{due}/{what}`          | blobs that no row may name; deletions to finish; |
|           |                                                    | postings that were written apart from their row  |
| operation | `operation/{id}` · `operation`, `lease`;           | a background operation, and its lease;           |
|           | `operations/open` · id;                            | operations that have not ended;                  |
|           | `operations/active` · type;                        | the one operation of an exclusive type;          |
|           | `operations/ended/{status}` · `{time}/{id}`        | operations to purge                              |
| tags      | `querytags` · `catalogue`;                         | all extended query tags, in one item;            |
|           | `querytags/{tag}/errors` · `{time}/{n+}`           | instances whose value breaks a rule              |
|           | `tagged/{tag}` · `{p+}`                            | the partitions that have entries of the tag      |
| queue     | `queue` · `{due}/{id}`; `queue/dead` · id;         | announcements of work, of the embedded engine;   |
|           | `queue/check` · `check`                            | written by the health check                      |
| export    | `export/{operation}/identifiers` · `{n+}`;         | the identifiers of an export request;            |
|           | `export/{operation}/errors` · `{n+}`               | the lines of its error log                       |
| access    | `access/token/{first half of its digest}`·`token`; | a token of our own, for one read                 |
|           | `access/tokens` · id;                              | all tokens, the oldest first; their last use     |
|           | `access/grants` · id;                              | all stored grants, the oldest first              |
|           | `access/grants/revision` · `revision`              | how often grants were written                    |
|           | `access/session` · `key`                           | the key that seals session cookies               |

The `{level}` of a posting is that of the object that it leads to, or `workitem`. Its `{tag}` is `Attribute.key`.

The lists `newest` and `value` may be spread over several partition keys: `~{k}` follows then
(`records/spread_lists.py`).

One posting family (`value`) serves exact matches and ranges. Within one value the newest entry comes first, so exact
matches of several values can be merged. The values are in order, so a range or a prefix is a range of keys.

Blobs: `{p}/{S}/{Se}/{I}/{version}.dcm`. Each write has a new version, and no blob is overwritten. A metadata document
or frame table that is too large for an item is stored beside it as `.json` or `.frames`. Only the table decides what
exists. `partitions/{p}.json` has the name of a partition, for a rebuild of the table.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from app.storage.table.ports import ALL, Key, Range, starting

NEWEST: Final = 2**63 - 1
"""A sequence number above all others."""

FEED_BUCKET: Final = 1000
"""Sequence numbers in one item collection of the feed."""


@lru_cache(maxsize=64)  # all postings of a row have the same number
def newest(sequence: int) -> str:
    """Return 16 hex digits that sort the newer number first."""
    return f"{NEWEST - sequence:016x}"


def oldest(sequence: int) -> str:
    """Return 16 digits that sort the older number first."""
    return f"{sequence:016d}"


# --- counters and partitions --------------------------------------------------------------------------------------

PARTITIONS: Final = "partitions"
PARTITION_COUNTER: Final = Key("counters", "partition")
WATERMARK_COUNTER: Final = Key("counters", "sequence")
FEED_COMPLETE: Final = Key("counters", "settled")
FEED_EARLIEST: Final = Key("counters", "earliest")
LAYOUT: Final = Key("layout", "layout")
MIGRATION: Final = Key("layout", "migration")
REBUILD: Final = Key("layout", "rebuild")
LAST_UNPOSTED: Final = Key("layout", "unposted")
LAST_UNDATED: Final = Key("layout", "undated")
ROW_SHARDS: Final = Key("layout", "shards")


def partition(name: str) -> Key:
    return Key(PARTITIONS, name.lower())


# --- studies, series, instances -------------------------------------------------------------------------------------

STUDY: Final = "study"
"""The sort key of a study row."""
SERIES: Final = starting("series/")
INSTANCES: Final = starting("instance/")
SHARDS: Final = starting("shard/")
SERIES_AND_SHARDS: Final = Range(SERIES.low, SHARDS.high)


def study_items(p: int, study: str) -> str:
    return f"{p}/study/{study}"


def study(p: int, study: str) -> Key:
    return Key(f"{p}/study/{study}", STUDY)


def series(p: int, study: str, series: str) -> Key:
    return Key(f"{p}/study/{study}", f"series/{series}")


def instance(p: int, study: str, series: str, instance: str) -> Key:
    return Key(f"{p}/study/{study}", f"instance/{series}/{instance}")


def shard(p: int, study: str, series_number: int, shard: int) -> Key:
    """Return the key of a count shard of the series row that has this `created` number."""
    return Key(f"{p}/study/{study}", f"shard/{series_number}/{shard:02d}")


def statistics_items(p: int) -> str:
    return f"{p}/statistics"


def statistics(p: int, shard: int) -> Key:
    return Key(f"{p}/statistics", f"{shard:02d}")


def shards_of(series_number: int) -> Range:
    return starting(f"shard/{series_number}/")


def instances_of(series: str) -> Range:
    return starting(f"instance/{series}/")


def instances_beyond(sort_key: str) -> Range:
    """Return the range of the instances of a study after this sort key; of all instances if it is empty."""
    return Range(f"{sort_key} ", INSTANCES.high) if sort_key else INSTANCES


def rows_after(sort_key: str, between: Range = ALL) -> Range:
    """Return the part of a range after this sort key; all of the range if the sort key is empty."""
    return between._replace(low=f"{sort_key} ") if sort_key else between


def before_instances_of(series: str) -> str:
    """Return a sort key that sorts just before the instances of a series."""
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


class BlobName(NamedTuple):
    """What the key of a blob says: the version of an instance that it belongs to. `kind` is dcm, json or frames."""

    partition: int
    study: str
    series: str
    instance: str
    version: str
    kind: str

    @property
    def file(self) -> str:
        """The key of the file of the same version."""
        return blob(self.partition, self.study, self.series, self.instance, self.version)


PARTITION_OBJECTS: Final = "partitions/"
"""The beginning of the keys of all objects that name a partition."""


def partition_object(p: int) -> str:
    """Return the key of the object that has the name of a partition."""
    return f"{PARTITION_OBJECTS}{p}.json"


_BLOB_KINDS: Final = frozenset(("dcm", "json", "frames"))


def blob_name(blob: str) -> BlobName | None:
    """Return what the key of a blob says, None for an object that belongs to no instance."""
    parts = blob.split("/")
    version, _, kind = parts[-1].rpartition(".")
    if len(parts) != 5 or not parts[0].isdecimal() or kind not in _BLOB_KINDS:
        return None
    return BlobName(int(parts[0]), parts[1], parts[2], parts[3], version, kind)


def blobs_of(p: int, *uids: str) -> str:
    """Return the beginning of the keys of all blobs of a partition, or of one of its studies, series or instances."""
    return "/".join((str(p), *uids, ""))


def spilled_metadata(blob: str) -> str:
    """Return the key of the metadata document of this blob, for a document that is too large for an item."""
    return blob.removesuffix(".dcm") + ".json"


def spilled_frames(blob: str) -> str:
    """Return the key of the frame table of this blob, for a table that is too large for an item."""
    return blob.removesuffix(".dcm") + ".frames"


def files(blob: str) -> tuple[str, str, str]:
    """Return the keys of every blob that one version may have."""
    return blob, spilled_metadata(blob), spilled_frames(blob)


def workitem(p: int, workitem: str) -> Key:
    return Key(f"{p}/workitem/{workitem}", "workitem")


def workitem_counter(p: int) -> Key:
    return Key("counters", f"workitem/{p}")


# --- postings -----------------------------------------------------------------------------------------------------


def newest_of(p: int, level: str) -> str:
    return f"{p}/newest/{level}"


def part(pk: str, sequence: int, shards: int) -> str:
    """Return the partition key of the part of a list in which the object with this number is.

    A list with one part is under `pk` itself (`records/spread_lists.py`).
    """
    return pk if shards == 1 else f"{pk}~{sequence % shards}"


def whole(pk: str) -> str:
    """Return the partition key of the list to which a part belongs."""
    return pk.partition("~")[0]


def parts(pk: str, shards: int) -> list[str]:
    """Return the partition keys of all parts of a list, also of the objects whose lists have one part."""
    return [pk] if shards == 1 else [pk, *(f"{pk}~{number}" for number in range(shards))]


def values(p: int, level: str, tag: str) -> str:
    return f"{p}/value/{level}/{tag}"


_PERIODS: Final = "/periods"


def periods(p: int, level: str, tag: str) -> str:
    return values(p, level, tag) + _PERIODS


YEARS: Final = Range("0", ":")
"""The range of the entries of years and months. A colon sorts after every digit."""


def years_after(year: int) -> Range:
    return Range(f"{year:04d}:", YEARS.high)


def is_period(key: Key) -> bool:
    """Return whether this is the key of the posting of a year or a month."""
    return _PERIODS in key.pk


def number_of(entry: Key) -> int:
    """Return the `created` number of the row that a posting leads to."""
    return NEWEST - int(entry.sk[-16:], 16)


WORD_BUCKETS: Final = 32


def words(p: int, level: str, tag: str, word: str) -> str:
    """Return the partition key of the postings of a word, and of all words that start with it."""
    return words_in(p, level, tag, ord(word[0]) % WORD_BUCKETS)


def words_in(p: int, level: str, tag: str, bucket: int) -> str:
    return f"{p}/word/{level}/{tag}/{bucket:02d}"


def entries(value: str) -> str:
    """Return the sort-key prefix of all postings of one value or word."""
    return f"{value}\t"


def entry(value: str, sequence: int) -> str:
    return f"{value}\t{newest(sequence)}"


def family(row: Key) -> str:
    """Return the family of a row that belongs to a partition: `study` or `workitem`."""
    return row.pk.split("/")[1]


def is_posting(key: Key) -> bool:
    """Return whether an item under this key leads from a value or a word to a row."""
    return "/value/" in key.pk or "/word/" in key.pk


def leads_to_row(key: Key) -> bool:
    """Return whether an item under this key is a posting of any family. Its fields are the UIDs of the row."""
    return is_posting(key) or (key.pk[:1].isdecimal() and key.pk.split("/")[1] == "newest")


def value_of(entry: Key) -> str:
    """Return the value or word of a posting."""
    return entry.sk.rpartition("\t")[0]


# --- pages of values -----------------------------------------------------------------------------------------------

NEW_STUDIES: Final = "new"
CHANGED_STUDIES: Final = "changed"
MARK_SHARDS: Final = 4
PAGE_WALK: Final = Key("unpaged/walk", "walk")


def page_list(p: int) -> Key:
    """Return the key of the list of the pages of studies of a partition."""
    return Key(f"{p}/pages", "list")


def page_column(p: int, column: str, page: str) -> Key:
    return Key(f"{p}/pages/{column}", page)


def mark_items(kind: str, shard: int) -> str:
    return f"unpaged/{kind}/{shard}"


def mark_kind(pk: str) -> str:
    return pk.split("/")[1]


def page_mark(kind: str, p: int, created: int) -> Key:
    """Return the key of the mark of a study row. It never is a posting: the mark is written with the row."""
    return Key(mark_items(kind, p % MARK_SHARDS), f"{p}/{oldest(created)}")


def page_marks(p: int) -> Range:
    """Return the range of the marks of a partition among those of its shard."""
    return starting(f"{p}/")


def marked(sk: str) -> tuple[int, int]:
    """Return the partition and the `created` number of the study row of a mark with this sort key."""
    partition, _, created = sk.partition("/")
    return int(partition), int(created)


# --- change feed --------------------------------------------------------------------------------------------------

FEED_HEAD: Final = Key("feed/head", "head")
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
    """Return the hour of a timestamp, `2024-03-01T09`."""
    return timestamp[:13]


def start_of_hour(hour: str) -> str:
    """Return the first timestamp of an hour."""
    return f"{hour}:00:00.0000000+00:00"


# --- commit log ---------------------------------------------------------------------------------------------------


def log(shard: int) -> str:
    return f"log/{shard:02d}"


def log_record(shard: int, started: int, record: str) -> Key:
    """Return the key of the record of a commit that started at `started`, in milliseconds since 1970."""
    return Key(log(shard), f"{started:015d}/{record}")


def log_started(sk: str) -> int:
    """Return when the commit with this sort key started, in milliseconds since 1970."""
    return int(sk.partition("/")[0])


def started_by(moment: int) -> Range:
    """Return the range of the records that were started at `moment` or before, in milliseconds since 1970."""
    return Range("", f"{moment:015d}/\U0010ffff")


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
    """Return the key of a message that is due at `due`, in milliseconds since 1970."""
    return Key(QUEUE, f"{due:015d}/{message}")


def queued_due(sk: str) -> int:
    """Return when the message with this sort key is due, in milliseconds since 1970."""
    return int(sk.partition("/")[0])


def queued_by(now: int) -> Range:
    return Range("", f"{now:015d}/\U0010ffff")


QUEUE_CHECK: Final = Key("queue/check", "check")


def dead_message(message: str) -> Key:
    return Key("queue/dead", message)


# --- extended query tags ------------------------------------------------------------------------------------------

QUERY_TAGS: Final = Key("querytags", "catalogue")


def tagged(tag: str) -> str:
    """Return the partition key of the notes of a tag (`table/tag_partitions.py`)."""
    return f"tagged/{tag}"


def tag_partition(tag: str, p: int) -> Key:
    return Key(tagged(tag), oldest(p))


def noted_partition(note: Key) -> int:
    return int(note.sk)


def tag_and_partition(posting: Key) -> tuple[str, int] | None:
    """Return the extended query tag and the partition of a posting, None for another item."""
    if "#" not in posting.pk or not is_posting(posting):
        return None
    partition, _, _, tag, *_ = posting.pk.split("/")
    return whole(tag), int(partition)


def tag_errors(tag: str) -> str:
    return f"querytags/{tag}/errors"


def tag_error(tag: str, place: str) -> Key:
    return Key(tag_errors(tag), place)


def is_tag_error(key: Key) -> bool:
    """Return whether an item under this key is an error of an extended query tag."""
    return key.pk.startswith("querytags/")


def tag_error_place(timestamp: str, watermark: int) -> str:
    """Return the sort key of an error. Errors sort by time, oldest first."""
    return f"{timestamp}/{oldest(watermark)}"


# --- access -------------------------------------------------------------------------------------------------------

TOKEN_ENTRIES: Final = "access/tokens"  # noqa: S105 - a partition key, no secret
GRANTS: Final = "access/grants"
GRANT_REVISION: Final = Key("access/grants/revision", "revision")
SESSION_KEY: Final = Key("access/session", "key")


def token(lookup: str) -> Key:
    """Return the key of a token's record. `lookup` is the first half of its digest."""
    return Key(f"access/token/{lookup}", "token")


def token_entry(token: str) -> Key:
    return Key(TOKEN_ENTRIES, token)


def grant(grant: str) -> Key:
    return Key(GRANTS, grant)


# --- sweep --------------------------------------------------------------------------------------------------------

SWEEP: Final = "sweep"

SWEEP_SHARDS: Final = 8
"""The most partition keys of the records of the sweep. Stores use none of them, so these are for deletions."""


def sweep_shard(shard: int) -> str:
    """Return a partition key of the records of the sweep. The first one has those of every engine and layout."""
    return f"{SWEEP}/{shard}" if shard else SWEEP


SWEEPS: Final = tuple(map(sweep_shard, range(SWEEP_SHARDS)))
"""All partition keys of the records of the sweep."""


def sweep(due: int, what: str, shard: int = 0) -> Key:
    """Return the key of a record that is due at `due`, in whole seconds since 1970.

    `what` is unique among the records of one time.
    """
    return Key(sweep_shard(shard), f"{due:012d}/{what}")


def sweep_due(sk: str) -> int:
    """Return when the record with this sort key is due, in seconds since 1970."""
    return int(sk.partition("/")[0])


def due_by(now: int) -> Range:
    return Range("", f"{now:012d}/\U0010ffff")


# --- migration ----------------------------------------------------------------------------------------------------


def is_queued(key: Key) -> bool:
    """Return whether an item under this key belongs to the queue of an engine."""
    return key.pk == QUEUE or key.pk.startswith(f"{QUEUE}/")


def is_logged(key: Key) -> bool:
    """Return whether an item under this key is a record of the log of commits."""
    return key.pk.startswith("log/")


def in_first_shard(key: Key) -> Key | None:
    """Return the key of a record of the log or of the sweep in the shard that every engine has.

    The rest of such a key is unique in all shards. None: the item is something else.
    """
    if is_logged(key):
        return Key(log(0), key.sk)
    return Key(SWEEP, key.sk) if key.pk in SWEEPS else None
