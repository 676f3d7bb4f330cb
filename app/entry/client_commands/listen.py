"""`bulkhead listen`: the gateway from the DICOM network to a server (conformance §15.7)."""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import structlog

from app import logs
from app.client.connection import ArchiveClient
from app.client.identifiers import is_partition_name
from app.entry.client_commands.common import FAILED, calls_server
from app.errors import BulkheadError
from app.gateway.admission import ANY, Admission, PartitionBy, Peer, is_title

if TYPE_CHECKING:
    from app.gateway.gateway import GatewaySettings

_INSTALL: Final = "This command needs pynetdicom: run `pip install 'bulkhead[dimse]'`."
_STATUS_SECONDS: Final = 60.0
_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE: Final = re.compile(r"([0-9]{1,15})([KMGT]?)", re.ASCII)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

_LOG: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)


def _size(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    """Return a number of bytes: digits, perhaps with K, M, G or T."""
    found = _SIZE.fullmatch(value.upper())
    if found is None:
        raise click.BadParameter(f"'{value}' is no size: digits, perhaps with K, M, G or T, such as 20G.")
    return int(found[1]) * _UNITS[found[2]]


def _titles(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value != ANY and not is_title(value):
            raise click.BadParameter(f"'{value}' is no AE title: 1 to 16 ASCII characters without a backslash.")
    return values


def _peers(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Peer, ...]:
    try:
        return tuple(Peer.parsed(value) for value in values)
    except ValueError as error:
        raise click.BadParameter(f"{error}. The form is AET, AET@ADDRESS or AET@NETWORK.") from None


def _partitions(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        title, _, name = value.rpartition("=")
        if not is_title(title) or not is_partition_name(name):
            raise click.BadParameter(f"'{value}' is not AET=PARTITION with an AE title and a name of a partition.")
        pairs[title] = name
    return pairs


@click.command()
@click.option("--aet", "titles", multiple=True, default=("BULKHEAD",), show_default=True, callback=_titles,
              help="An AE title of the gateway. Repeat it for several. '*' answers to every title.")  # fmt: skip
@click.option("--host", default="0.0.0.0", show_default=True, help="The address to listen on.")  # noqa: S104 - modalities are other machines
@click.option("--port", type=click.IntRange(0, 65535), default=11112, show_default=True, help="The port to listen on.")
@click.option("--partition-by", type=click.Choice([each.value for each in PartitionBy]), default="fixed",
              show_default=True, help="What chooses the partition: an AE title, or --partition.")  # fmt: skip
@click.option("--map", "partitions", multiple=True, metavar="AET=PARTITION", callback=_partitions,
              help="The partition of an AE title whose text is not the name of its partition. Repeatable.")  # fmt: skip
@click.option("--allow", "peers", multiple=True, metavar="AET[@HOST]", callback=_peers,
              help="A calling AE title that may connect, from an address or a network such as 10.1.0.0/16. "
              "'*' is every title. Repeatable. Without it everyone may connect.")  # fmt: skip
@click.option("--spool", type=click.Path(file_okay=False, path_type=Path), default=Path("bulkhead-spool"),
              show_default=True, help="The folder for instances that the server does not have yet.")  # fmt: skip
@click.option("--spool-limit", default="20G", show_default=True, callback=_size, help="The largest size of the spool.")
@click.option("--spool-free", default="1G", show_default=True, callback=_size,
              help="The free space that the spool leaves on its disk.")  # fmt: skip
@click.option("--wait-for-server", is_flag=True,
              help="Acknowledge an instance only when the server has it, not when it is in the spool.")  # fmt: skip
@click.option("--query", is_flag=True,
              help="Answer queries (C-FIND) in the partition of the association. The token must allow it.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 16), default=4, show_default=True,
              help="How many instances are sent to the server at the same time.")  # fmt: skip
@click.option("--tls-certificate", type=_FILE, help="The certificate of the gateway (PEM). It switches TLS on.")
@click.option("--tls-key", type=_FILE, help="The private key, if the file of the certificate does not hold it.")
@click.option("--tls-ca", type=_FILE, help="Authorities of the peers (PEM): each peer must show a certificate.")
@click.option("--max-associations", type=click.IntRange(1, 500), default=20, show_default=True,
              help="How many associations may be open at the same time.")  # fmt: skip
@click.option("--max-pdu", type=click.IntRange(4096, 1_048_576), default=131_072, show_default=True,
              help="The longest PDU that peers may send, in bytes.")  # fmt: skip
@click.option("--idle-timeout", type=click.FloatRange(1, 3600), default=60, show_default=True,
              help="The seconds after which a silent association is aborted.")  # fmt: skip
@click.option("--stop-timeout", type=click.FloatRange(0, 3600), default=20, show_default=True,
              help="The seconds that running associations get after SIGTERM or Ctrl-C.")  # fmt: skip
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
              envvar="BULKHEAD_LOG_LEVEL", help="[env: BULKHEAD_LOG_LEVEL]")  # fmt: skip
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console",
              envvar="BULKHEAD_LOG_FORMAT", help="[env: BULKHEAD_LOG_FORMAT]")  # fmt: skip
@calls_server
def listen(client: ArchiveClient, /, **options: Any) -> None:
    """Receive instances from the DICOM network (C-STORE), store them on a server, and answer queries (C-FIND).

    \b
    bulkhead listen --aet ARCHIVE --partition clinic-a
    bulkhead listen --aet CLINIC_A --aet CLINIC_B --partition-by called-aet
    bulkhead listen --partition-by calling-aet --map "CT 3=clinic-a" --allow "CT 3@10.1.2.3" --query

    An acknowledged instance is on disk in the spool, and it stays there until the server has it. Exit codes: 0 after
    SIGTERM or Ctrl-C, 1 the gateway cannot run, 2 the options are wrong.
    """
    try:
        import pynetdicom  # noqa: F401 - it is an extra, and the command says how to install it
    except ModuleNotFoundError:
        raise click.ClickException(_INSTALL) from None
    admission = _admission(options, client)
    logs.configure(options["log_level"], options["log_format"])
    logging.getLogger("pydicom").setLevel(logging.ERROR)  # its warnings quote values
    warnings.simplefilter("ignore")
    threading.excepthook = _log_failure
    try:
        _run(client, options, admission)
    except BulkheadError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(FAILED)


def _admission(options: dict[str, Any], client: ArchiveClient) -> Admission:
    by, titles, mapped = PartitionBy(options["partition_by"]), set(options["titles"]), options["partitions"]
    if mapped and by is PartitionBy.FIXED:
        raise click.UsageError("--map needs --partition-by called-aet or calling-aet.")
    if by is PartitionBy.CALLED:
        for title in sorted(titles - {ANY} - set(mapped)):
            if not is_partition_name(title):
                raise click.UsageError(f"'{title}' is no name of a partition: add --map '{title}=PARTITION'.")
        titles |= set(mapped)
    return Admission(
        titles=frozenset(titles),
        partition_by=by,
        partition=client.chosen_partition or "",
        partitions=mapped,
        peers=options["peers"],
    )


def _run(client: ArchiveClient, options: dict[str, Any], admission: Admission) -> None:
    # pynetdicom is an extra, so these modules are imported only here.
    from app.gateway.gateway import Gateway
    from app.gateway.http_search import HttpSearch
    from app.gateway.http_sender import HttpSender
    from app.gateway.spool import Spool

    spool = Spool(options["spool"], limit=options["spool_limit"], minimum_free=options["spool_free"])
    search = HttpSearch(client) if options["query"] else None
    gateway = Gateway(_settings(options), admission=admission, spool=spool, sender=HttpSender(client), search=search)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    gateway.start()
    host, port = gateway.address
    click.echo(f"Bulkhead listens as {', '.join(sorted(admission.titles))} on {host}:{port}.")
    while not stop.wait(_STATUS_SECONDS):
        gateway.log_status()
    gateway.stop(options["stop_timeout"])
    gateway.log_status()


def _settings(options: dict[str, Any]) -> GatewaySettings:
    from app.gateway.gateway import GatewaySettings
    from app.gateway.tls import server_context

    certificate = options["tls_certificate"]
    if certificate is None and (options["tls_key"] or options["tls_ca"]):
        raise click.UsageError("--tls-key and --tls-ca need --tls-certificate.")
    tls = certificate and server_context(certificate=certificate, key=options["tls_key"], client_ca=options["tls_ca"])
    return GatewaySettings(
        title=next((title for title in options["titles"] if title != ANY), "BULKHEAD"),
        host=options["host"],
        port=options["port"],
        tls=tls or None,
        associations=options["max_associations"],
        pdu_bytes=options["max_pdu"],
        idle_seconds=options["idle_timeout"],
        threads=options["threads"],
        wait_for_server=options["wait_for_server"],
    )


def _log_failure(failure: threading.ExceptHookArgs) -> None:
    """Log what ended a thread. The message of the error stays out of the log, because it may quote received data."""
    if failure.exc_value is not None:
        _LOG.error("A thread failed", **logs.described(failure.exc_value))
