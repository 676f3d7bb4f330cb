"""Eight clients store instances of one study at the same time that no one has stored before.

All rows of the study are written by all of them. Each write before a transaction may belong to an attempt that loses.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.archive import Archive, Uids, file
from tests.support.clock import AdvanceClock

CLIENTS, ROUNDS = 8, 3


def uids_of(study: str, client: int, number: int) -> Uids:
    return study, f"{study}.{client % 3}", f"{study}.{client}.{number}"


@pytest.mark.parametrize("processes", [1, 4])
def test_clients_that_create_one_study_at_once_store_everything(
    processes: int, tmp_path: Path, advance_clock: AdvanceClock
) -> None:
    archives = [Archive(tmp_path) for _ in range(processes)]
    expected: set[Uids] = set()
    for turn in range(ROUNDS):
        study = f"2.25.7{turn}1"
        barrier = threading.Barrier(CLIENTS)
        outcomes: list[list[int]] = [[] for _ in range(CLIENTS)]

        def store(client: int, study: str = study, barrier: threading.Barrier = barrier) -> None:
            bodies = [file(*uids_of(study, client, number), modality=("CT", "MR")[client % 2]) for number in range(2)]
            barrier.wait(60)
            outcomes[client].extend(archives[client % processes].store(*bodies))  # noqa: B023 - joined in this round

        threads = [threading.Thread(target=store, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert outcomes == [[0, 0]] * CLIENTS
        expected |= {uids_of(study, client, number) for client in range(CLIENTS) for number in range(2)}
    archive = archives[0]
    assert archive.visible() == expected
    advance_clock()
    archive.work()
    archive.check_clean()
