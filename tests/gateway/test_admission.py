"""AE titles and addresses: who may connect, and to which partition (conformance §15.7)."""

from __future__ import annotations

import pytest

from app.gateway.admission import Admission, PartitionBy, Peer, Refusal


def decided(admission: Admission, *, calling: str = "CT1", called: str = "A", address: str = "10.1.2.3") -> object:
    return admission.partition_of(calling=calling, called=called, address=address)


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("clinic-a", "clinic-a"),
        (" clinic-a ", "clinic-a"),
        ("Clinic_A.1", "Clinic_A.1"),
        ("CLINIC B", "b"),
        ("two words", Refusal.CALLED_UNKNOWN),
        ("a/b", Refusal.CALLED_UNKNOWN),
        ("..", Refusal.CALLED_UNKNOWN),
        (".", Refusal.CALLED_UNKNOWN),
        ("", Refusal.CALLED_UNKNOWN),
    ],
)
def test_a_called_title_gives_the_partition(called: str, expected: object) -> None:
    admission = Admission(titles=frozenset({"*"}), partition_by=PartitionBy.CALLED, partitions={"CLINIC B": "b"})
    assert decided(admission, called=called) == expected


@pytest.mark.parametrize(
    ("allowed", "calling", "address", "admitted"),
    [
        ((), "CT1", "10.1.2.3", True),
        (("CT1",), "CT1", "10.1.2.3", True),
        (("CT1",), "ct1", "10.1.2.3", False),
        (("CT1@10.1.2.3",), "CT1", "10.1.2.3", True),
        (("CT1@10.1.2.3",), "CT1", "::ffff:10.1.2.3", True),
        (("CT1@10.1.2.3",), "CT1", "10.1.2.4", False),
        (("CT1@10.1.0.0/16",), "CT1", "10.1.200.4", True),
        (("*@10.1.0.0/16",), "MR1", "10.1.200.4", True),
        (("*@10.1.0.0/16",), "MR1", "10.2.0.1", False),
        (("CT1@2001:db8::/32",), "CT1", "2001:db8::1", True),
        (("CT1@2001:db8::/32",), "CT1", "10.1.2.3", False),
        (("MR1", "CT1@10.9.0.0/16"), "CT1", "10.1.2.3", False),
    ],
)
def test_the_list_of_allowed_peers(allowed: tuple[str, ...], calling: str, address: str, admitted: bool) -> None:
    admission = Admission(
        titles=frozenset({"A"}),
        partition_by=PartitionBy.FIXED,
        partition="clinic",
        peers=tuple(Peer.parsed(each) for each in allowed),
    )
    expected = "clinic" if admitted else Refusal.CALLING_UNKNOWN
    assert decided(admission, calling=calling, address=address) == expected


@pytest.mark.parametrize("text", ["", "@10.0.0.1", "CT1@", "CT1@host", "A" * 17, "A\\B", "CT1@10.0.0.1/99", "Ä"])
def test_what_is_no_peer(text: str) -> None:
    with pytest.raises(ValueError, match=r"AE title|address|network|netmask|Expected|appear"):
        Peer.parsed(text)
