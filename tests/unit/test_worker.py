"""The loop of the worker: it runs every step, and an error of a step does not end it."""

import threading

from app.entry.worker import work


class Steps:
    """Three steps. The loop stops when the last one has run `rounds` times."""

    def __init__(self, rounds: int) -> None:
        self.stop = threading.Event()
        self.taken: list[str] = []
        self.rounds = rounds

    def faulty(self) -> bool:
        self.taken.append("faulty")
        raise RuntimeError("disk on fire")

    def busy(self) -> bool:
        self.taken.append("busy")
        return True

    def last(self) -> bool:
        self.taken.append("last")
        if self.taken.count("last") == self.rounds:
            self.stop.set()
        return False


def test_the_other_steps_run_when_one_fails() -> None:
    steps = Steps(rounds=3)
    work((steps.faulty, steps.busy, steps.last), steps.stop)
    assert steps.taken == ["faulty", "busy", "last"] * 3


def test_no_step_begins_after_a_stop() -> None:
    steps = Steps(rounds=1)
    work((steps.last, steps.busy), steps.stop)
    assert steps.taken == ["last"]


def test_a_stop_ends_the_pause() -> None:
    steps = Steps(rounds=2)
    looked = threading.Event()

    def idle() -> bool:
        looked.set()
        return False

    loop = threading.Thread(target=work, args=((idle,), steps.stop))
    loop.start()
    looked.wait()
    steps.stop.set()
    loop.join()
    assert not loop.is_alive()
