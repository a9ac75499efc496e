"""What a machine shows that it can, and what anybody can check of that (docs/capability.md)."""

import json
from dataclasses import asdict, replace
from hashlib import sha256

import numpy as np
import pytest
from eth_account import Account

from heldout.kernels import capability as kernel
from heldout.kernels.capability import Task, is_product, is_right, matrices, measure, vectors
from heldout.kernels.devices.workbench import Cpu
from heldout.market.capability import CREDIT_OPERATIONS, MAX_BYTES, Capability, Device, Work, capability_seed
from heldout.market.errors import BadMessage
from heldout.market.jsontext import canonical_json
from heldout.market.terms import Address

ALICE, MALLORY = Account.from_key("0x" + "11" * 32), Account.from_key("0x" + "22" * 32)
SEED = bytes(range(32))
SMALL, LITTLE = 8, 1000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same work on a few numbers."""
    monkeypatch.setattr(kernel, "SIDES", (SMALL, 16))
    monkeypatch.setattr(kernel, "VECTOR", LITTLE)
    monkeypatch.setattr(kernel, "LEAST_S", 0.001)


# --------------------------------------------------------------------------------------------------------- the work


@pytest.mark.usefixtures("small")
def test_every_result_of_this_machine_is_right_and_none_is_of_another_seed() -> None:
    found = list(measure(Cpu(), SEED))
    assert [task.kind for task, _ in found] in (["multiply"] * products + ["add", "copy"] for products in (1, 2))
    for task, result in found:
        assert is_right(task, SEED) and is_right(task, SEED, result)
        assert not is_right(task, bytes(32)) and not is_right(task, bytes(32), result)
        assert not is_right(replace(task, sha256=sha256(b"").hexdigest()), SEED)
        assert task.repeats >= 1 and task.nanoseconds >= 1


@pytest.mark.usefixtures("small")
def test_results_are_those_of_whole_numbers() -> None:
    """Anybody can write a checker from the page: this is one."""
    results = {(task.kind, task.size): result for task, result in measure(Cpu(), SEED)}
    left, right = (matrix.astype(np.int64) for matrix in matrices(SEED, SMALL))
    assert results["multiply", SMALL] == (left @ right).astype("<i4").tobytes()
    first, second = (vector.astype(np.uint64) for vector in vectors(SEED))
    assert results["add", LITTLE] == ((first + second) % 2**32).astype("<u4").tobytes()
    assert results["copy", LITTLE] == first.astype("<u4").tobytes()


def test_no_partial_sum_leaves_the_exact_range() -> None:
    """Entries of -64 to 63 in 4096 terms: 2**24 at most, so that binary32 is exact in any order."""
    left, right = matrices(SEED, kernel.SIDES[0])
    assert (left.min(), left.max(), right.min(), right.max()) == (-64, 63, -64, 63)
    assert 64 * 64 * kernel.SIDES[-1] == 2**24


@pytest.mark.parametrize("place", [0, 77, 256 * 256 - 1])
def test_freivalds_check_finds_one_wrong_number_in_a_product(place: int) -> None:
    left, right = matrices(SEED, 256)
    product = np.matmul(left, right).astype("<i4")
    assert is_product(left, right, product.tobytes())
    product.flat[place] += 1
    assert not is_product(left, right, product.tobytes())
    product.flat[place] = 2**31 - 1
    assert not is_product(left, right, product.tobytes())
    assert not is_product(left, right, product.tobytes()[:-4])


def test_work_that_is_not_on_the_page_is_wrong_unseen() -> None:
    """A stranger's file must not make a checker multiply matrices of its choice."""
    for kind, size in (("multiply", 1 << 20), ("multiply", 255), ("add", 1 << 40), ("copy", 1), ("divide", 256)):
        assert not is_right(Task(kind, size, 1, 1, "00" * 32), SEED)


# ----------------------------------------------------------------------------------------------------- the document

WORK = Work("multiply", 1024, 2, 2 * 1024**3, "ab" * 32)
DEVICE = Device(
    "numpy", "cpu", (WORK, Work("add", 1000, 1, 12_000, "cd" * 32), Work("copy", 1000, 1, 4_000, "ef" * 32))
)
PROOF = Capability(Address(ALICE.address), 31337, 7, "0f" * 32, 1_795_365_692, "linux/amd64", (DEVICE,))


def test_a_signed_file_is_read_back() -> None:
    data = PROOF.sign(ALICE)
    assert Capability.read(data) == PROOF
    assert data == canonical_json(json.loads(data))


def test_rates_and_credits_are_as_the_page_says() -> None:
    """A machine of 1 GFLOP/s earns 200 credits a day, as with BOINC's Cobblestones."""
    assert WORK.rate == 2.0
    assert (DEVICE.best("multiply"), DEVICE.best("add"), DEVICE.best("copy")) == (2.0, 1.0, 2.0)
    assert DEVICE.credits_per_day == 400
    assert CREDIT_OPERATIONS == 10**9 * 86_400 // 200
    assert Device("x", "x", ()).credits_per_day == 0


def _changed(**changes: object) -> bytes:
    return canonical_json({**json.loads(PROOF.sign(ALICE)), **changes})


FORGERIES = {
    "another provider": _changed(provider=MALLORY.address),
    "another date": _changed(date=PROOF.date + 1),
    "another block": _changed(block_hash="0e" * 32),
    "a faster machine": _changed(devices=[{**asdict(DEVICE), "work": [{**asdict(WORK), "nanoseconds": 1}]}]),
    "another's signature": replace(PROOF, provider=Address(MALLORY.address)).sign(ALICE),
    "no signature": _changed(signature="0x"),
}
BROKEN = {
    "nothing": b"",
    "no object": b"[]",
    "not canonical": PROOF.sign(ALICE) + b"\n",
    "another version": _changed(version=2),
    "a field too many": _changed(note="fast"),
    "a rate instead of a time": _changed(devices=[{**asdict(DEVICE), "work": [{**asdict(WORK), "nanoseconds": 1.5}]}]),
    "no time at all": _changed(devices=[{**asdict(DEVICE), "work": [{**asdict(WORK), "nanoseconds": 0}]}]),
    "work of no kind": _changed(devices=[{**asdict(DEVICE), "work": [{**asdict(WORK), "kind": "divide"}]}]),
    "a name without end": _changed(platform="x" * 1000),
    "a short hash": _changed(block_hash="00"),
    "nested": b"[" * 100_000,
    "too long": b" " * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("data", FORGERIES.values(), ids=FORGERIES.keys())
def test_nothing_can_be_changed_under_a_signature(data: bytes) -> None:
    with pytest.raises(BadMessage) as refused:
        Capability.read(data)
    assert refused.value.code == "bad_signature"


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_capability_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        Capability.read(data)


def test_the_work_is_the_providers_own_and_no_older_than_its_block() -> None:
    seeds = {
        capability_seed(Address(ALICE.address), 1, "00" * 32),
        capability_seed(Address(MALLORY.address), 1, "00" * 32),
        capability_seed(Address(ALICE.address), 2, "00" * 32),
        capability_seed(Address(ALICE.address), 1, "01" * 32),
    }
    assert len(seeds) == 4 and all(len(seed) == 32 for seed in seeds)
