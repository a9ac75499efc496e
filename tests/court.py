"""A devnet on which a test plays requester and provider, so that a real validator node has something to judge.

All 24 seats are one validator's, so one node is the whole committee, unless a test asks for more. Blocks are mined when
somebody sends, and by `Node.turn`. The played parties' letters go over the chain's `announce`.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import numpy as np
from builders import TERMS, digest
from score_graphs import node as operator
from score_graphs import onnx_file, tensors_file

from heldout.devnet import Devnet
from heldout.market.alarm import Alarm
from heldout.market.artifacts import Stores
from heldout.market.chain import Chain, Outbox
from heldout.market.chain.deposits import deposit
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import REQUESTER, VACANT, ChainEvent, JobState, State, fold
from heldout.market.manifest import Manifest, Resources, TaskFile
from heldout.market.messages import NO_KEYS, Bid, Kind, Letter, Submission, encode_answer, hexed
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.sealing import (
    encode_leaves,
    envelope_context,
    make_envelope,
    pad_shard,
    seal_shard,
    seal_weights,
    shard_key,
)
from heldout.market.split import SEED_DELAY, Split, draw_split
from heldout.market.terms import JobId, JobTerms, job_id
from heldout.validator.run import Options, assembled

SEATS = 24
WINDOW = 600
GRAPH = onnx_file([operator("Gemm", "x w b", "logits")], [4], {"w": [4, 3], "b": [3]})
WEIGHTS = {"w": np.eye(4, 3, dtype=np.float32), "b": np.zeros(3, np.float32)}
"""Says that a row's class is the place of its largest value among the first three: right for every row made here."""
PERFECT = 1_000_000
_names = count()


@dataclass(frozen=True)
class Case:
    """A job that waits for its committee."""

    id: JobId
    terms: JobTerms
    weights: bytes

    @property
    def bytes(self) -> bytes:
        return bytes.fromhex(self.id[2:])


class Court:
    """The devnet and the two played parties."""

    def __init__(self, devnet: Devnet, scratch: Path, validators: int = 1, *, service: bool = False) -> None:
        self.devnet = devnet
        self.network = devnet.network if service else replace(devnet.network, service=None)
        self.validators = [devnet.keys(f"validator-{number}") for number in range(validators)]
        self.chain: Chain = devnet.chain()
        self.requester, self.provider = devnet.keys("requester"), devnet.keys("provider-0")
        self._outboxes = {
            ring.address: Outbox(self.chain, ring.account, Journal(scratch / f"journal-{ring.address}"))
            for ring in (self.requester, self.provider, *self.validators)
        }
        self._stores = Stores.of(self.network.stores, self.requester.account)
        for ring in (self.requester, self.provider):
            deposit(self.chain, self._outboxes[ring.address], ring.account, Wei(20_000 * ONE_TOKEN))

    def call(self, ring: KeyRing, function: str, *args: object) -> None:
        """One transaction, waited for."""
        self._outboxes[ring.address].send(f"played:{next(_names)}", function, *args, wait=True)

    # ------------------------------------------------------------------------------------------------- a job

    def case(self, weights: bytes | None = None) -> Case:
        """Sealed, posted, accepted and submitted: the committee's seed block is about to be mined."""
        case = self._accepted(tensors_file(WEIGHTS) if weights is None else weights)
        self.call(
            self.provider, "submit", case.id, 0, self._submission(case)[0].word(case.bytes, self.provider.address)
        )
        self.devnet.mine(SEED_DELAY + self.network.confirmations)
        return case

    def disputed_case(self, training_secret: Callable[[Case], bytes]) -> Case:
        """The provider demands its training keys, is answered with `training_secret`, and denies having got them."""
        case = self._accepted(b"")
        self.call(self.provider, "demand", case.terms.as_tuple(), REQUESTER, 0)
        context = envelope_context(case.bytes, Kind.TRAINING_KEYS, self.requester.address, self.provider.address)
        envelope = make_envelope(self.training_seed(case), self.provider.wrap_public, training_secret(case), context)
        body = {"envelope": hexed(envelope)}
        letter = Letter(case.id, Kind.TRAINING_KEYS, self.requester.address, self.provider.address, body)
        self.call(self.requester, "answer", case.terms.as_tuple(), REQUESTER, encode_answer([letter]))
        self.call(self.provider, "submit", case.id, 0, NO_KEYS)
        self.devnet.mine(SEED_DELAY + self.network.confirmations)
        return case

    def training_seed(self, case: Case) -> bytes:
        return digest(f"training envelope {case.id}")

    def _accepted(self, weights: bytes) -> Case:
        terms = self._terms(digest(f"salt {next(_names)}"))
        case = Case(job_id(terms, self.network.chain_id, self.network.market), terms, weights)
        self.call(self.requester, "post", terms.as_tuple())
        bid, signature = self._bid(case)
        self.call(self.requester, "accept", terms.as_tuple(), [bid.as_tuple()], [signature])
        self.devnet.mine(SEED_DELAY + 1)
        return case

    def _terms(self, salt: bytes) -> JobTerms:
        draft = replace(
            TERMS, salt=salt, requester=self.requester.address, wrapKey=self.requester.wrap_public, parents=()
        )
        small = replace(draft, lanes=1, shards=16, heldOut=4, shardBytes=1024, operationCap=10**6)
        slow = {f"{name}Window": WINDOW for name in ("bid", "work", "release", "commit", "reveal", "challenge")}
        graph = TaskFile("model.onnx", self._stores.put(GRAPH), len(GRAPH))
        resources = Resources(1, 2**20, 2**20, 0, 60)
        image = {"linux/amd64": "sha256:" + "0" * 64}
        manifest = Manifest((), image, ("train",), resources, graph, "accuracy", "score-v1")
        task = bytes.fromhex(self._stores.put(manifest.encode()))
        return replace(small, **slow, taskHash=task, dataRoot=self._seal_data(small))  # type: ignore[arg-type]

    def _seal_data(self, terms: JobTerms) -> bytes:
        leaves = []
        for shard in range(terms.shards):
            x = np.random.default_rng(shard).standard_normal((8, 4)).astype(np.float32)
            rows = tensors_file({"x": x, "y": x[:, :3].argmax(axis=1).astype(np.int64)})
            key = shard_key(self.requester.data_secret, terms.salt, shard)
            sealed, leaf = seal_shard(key, pad_shard(rows, terms.shardBytes))
            self._stores.put(sealed)
            leaves.append(leaf)
        return bytes.fromhex(self._stores.put(encode_leaves(leaves)))

    def _bid(self, case: Case) -> tuple[Bid, bytes]:
        ring = self.provider
        until = self.chain.head().timestamp + 10_000
        bid = Bid(case.bytes, ring.address, Wei(50 * ONE_TOKEN), ring.wrap_public, until, next(_names))
        signed = ring.account.unsafe_sign_hash(bid.digest(self.network.chain_id, self.network.market))
        return bid, bytes(signed.signature)

    def _submission(self, case: Case) -> tuple[Submission, dict[str, object], bytes]:
        """The word's preimage, the letter's body without its envelope, and what belongs into that."""
        half_a, half_b, seed = (digest(f"{name} {case.id}") for name in ("a", "b", "seed"))
        sealed = seal_weights(half_a, half_b, case.weights, case.bytes, self.provider.address)
        context = envelope_context(case.bytes, Kind.SUBMISSION, self.provider.address, self.requester.address)
        envelope_a = make_envelope(seed, case.terms.wrapKey, half_a, context)
        self._stores.put(sealed)
        parts = (case.weights, sealed, half_b, envelope_a)
        submission = Submission(*(sha256(part).digest() for part in parts))
        body = {
            "lane": 0,
            "weightsHash": hexed(submission.weights_hash),
            "sealedHash": hexed(submission.sealed_hash),
            "halfBHash": hexed(submission.half_b_hash),
            "envelopeA": hexed(envelope_a),
        }
        return submission, body, half_a + half_b + seed

    # ----------------------------------------------------------------------------------------------- letters

    def send_weights(self, case: Case, **more: object) -> None:
        _, body, secret = self._submission(case)
        self._write(case, Kind.SUBMISSION, self.provider, secret, {**body, **more})

    def send_held_out_keys(self, case: Case, seeds: bytes = b"", **more: object) -> None:
        self._write(case, Kind.HELD_OUT_KEYS, self.requester, self.held_out_keys(case) + seeds, more)

    def held_out_keys(self, case: Case) -> bytes:
        return self._keys(case, self._split(case).held_out)

    def training_keys(self, case: Case) -> bytes:
        return self._keys(case, self._split(case).training)

    def _keys(self, case: Case, shards: tuple[int, ...]) -> bytes:
        return b"".join(shard_key(self.requester.data_secret, case.terms.salt, shard) for shard in shards)

    def _split(self, case: Case) -> Split:
        seed = self.chain.block(self.chain.job(case.id).accept_block + SEED_DELAY).hash
        return draw_split(bytes.fromhex(seed[2:]), case.bytes, case.terms.shards, case.terms.heldOut)

    def letter(
        self,
        case: Case,
        kind: Kind,
        sender: KeyRing,
        secret: bytes,
        body: dict[str, object] | None = None,
        seat: KeyRing | None = None,
    ) -> Letter:
        """To one validator, the first if none is named; all its seats read the same letters."""
        seat = seat or self.validators[0]
        context = envelope_context(case.bytes, kind, sender.address, seat.address)
        envelope = make_envelope(digest(f"{kind} {secret.hex()}"), seat.wrap_public, secret, context)
        return Letter(case.id, kind, sender.address, seat.address, {**(body or {}), "envelope": hexed(envelope)})

    def _write(self, case: Case, kind: Kind, sender: KeyRing, secret: bytes, body: dict[str, object]) -> None:
        for seat in self.validators:
            self.call(sender, "announce", self.letter(case, kind, sender, secret, body, seat).encode())

    # ----------------------------------------------------------------------------------------------- looking

    def events(self, case: Case) -> list[ChainEvent]:
        return self.chain.events(self.network.deploy_block, self.chain.head().number, job=case.id)

    def look(self, case: Case) -> JobState:
        return fold(self.events(case))[case.id]

    def take_back(self, case: Case, name: str, *, before: int = 0) -> None:
        """A reorg from so many blocks before the newest event of that name on, whatever a node has sent since."""
        block = max(event.block for event in self.events(case) if event.name == name)
        self.devnet.anvil.take_back(block - before)

    def seats(self, case: Case) -> tuple[int, ...]:
        seats = self.chain.committee(case.id)[1]
        assert VACANT not in seats
        return seats

    def pass_deadline(self, case: Case, spare: int = 0) -> None:
        """Move block time just past the deadline, and `spare` seconds more."""
        self.devnet.warp(max(1, self.chain.job(case.id).deadline - self.chain.head().timestamp + spare))


class Node:
    """A validator node in this process, turned over by hand."""

    def __init__(self, court: Court, loop, alarm: Alarm) -> None:  # type: ignore[no-untyped-def]
        self.court, self.alarm, self._loop = court, alarm, loop

    def turn(self) -> None:
        """One new block, one cycle."""
        self.court.devnet.mine()
        self.look()

    def look(self) -> None:
        """One cycle at the block there is."""
        self._loop.turn()

    def until(self, case: Case, holds: Callable[[JobState], object], patience_s: float = 60) -> JobState:
        """Turn until something holds of a job; a short sleep leaves the processor to the scoring process."""
        give_up = time.monotonic() + patience_s
        while time.monotonic() < give_up:
            self.turn()
            state = self.court.look(case)
            if holds(state):
                return state
            time.sleep(0.1)
        raise AssertionError(f"it did not come true in {patience_s:g} s: {self.court.look(case)}")

    def settle(self, case: Case) -> JobState:
        """Through the challenge, to the end, by this node's own moves."""
        self.until(case, lambda job: job.state >= State.SCORED)
        self.court.pass_deadline(case, spare=60)
        return self.until(case, lambda job: job.final)


@contextmanager
def held_court(state: Path, seats: Sequence[int] = (SEATS,), *, service: bool = False) -> Iterator[Court]:
    """A devnet with a store, a requester, a provider and validators with that many seats each."""
    with Devnet.up(state, providers=0, validators=0, service=service) as devnet:
        for number, count_ in enumerate(seats):
            devnet.stake(number, count_)
        devnet.mine(2)
        yield Court(devnet, state / "played", len(seats), service=service)


@contextmanager
def working(
    court: Court, home: Path, validator: int = 0, *, grace_s: int = 0, announce: bool = False
) -> Iterator[Node]:
    """A node of a validator's keys with its journal in `home`: on the plain road, unless it is given a grace."""
    options = Options(metrics="127.0.0.1:0", period_s=0.0, grace_s=grace_s, announce=announce)
    with assembled(court.network, court.validators[validator], home, options, threading.Event()) as (loop, alarm):
        yield Node(court, loop, alarm)
