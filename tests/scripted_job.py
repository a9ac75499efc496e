"""A requester and its seats, played line by line by a test: real chain, real stores, real letters, idle training.

Whoever plays the other parts can then withhold, lie or dawdle at will, which a real node would not.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self

from heldout.devnet.devnet import Devnet
from heldout.market.artifacts import Stores
from heldout.market.calling import CallForBids, call_letter
from heldout.market.chain import Chain
from heldout.market.chain.deposits import deposit
from heldout.market.chain.sender import Outbox
from heldout.market.chain.sending import Receipt
from heldout.market.chain.signatures import sign_digest
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import JobState, State, fold
from heldout.market.mail import Mail
from heldout.market.manifest import Manifest, Resources, TaskFile
from heldout.market.messages import Kind, Letter, beside, bid_of, commit_hash, hexed, pack_vote
from heldout.market.money import ONE_TOKEN, Ppm, Wei
from heldout.market.sealing import encode_leaves, envelope_context, make_envelope, pad_shard, seal_shard, shard_key
from heldout.market.split import SEED_DELAY, Split, draw_split
from heldout.market.terms import Address, JobId, JobTerms, Timestamp, job_id, scorer_id

SHARD_BYTES = 4096
POLL_S = 0.2

TRAIN = """\
import json, os, pathlib, struct, time
inputs, out = pathlib.Path(os.environ["HELDOUT_IN"]), pathlib.Path(os.environ["HELDOUT_OUT"])
checkpoint = out / "checkpoint" / "epoch"
first = int(checkpoint.read_text()) if checkpoint.exists() else 0
shards = sorted((inputs / "data").iterdir())
print(json.dumps({"resumed": first, "shards": len(shards)}), flush=True)
for epoch in range(first, EPOCHS):
    time.sleep(0.1)
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.write_text(str(epoch + 1))
    print(json.dumps({"epoch": epoch, "loss": 1 / (epoch + 1)}), flush=True)
header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
weights = struct.pack("<Q", len(header)) + header + struct.pack("<f", len(shards))
(out / "weights.safetensors").write_bytes(weights)
"""


@dataclass
class Party:
    """One address with what it needs to act."""

    keys: KeyRing
    journal: Journal
    outbox: Outbox
    mail: Mail

    def send(self, function: str, *args: Any) -> Receipt:
        """Wait until it is mined."""
        return self.outbox.send(f"{function}:{time.monotonic_ns()}", function, *args, wait=True, timeout_s=60)


class ScriptedJob:
    """One job of one lane and three seats on a devnet with eight validators, none of them running."""

    def __init__(
        self,
        net: Devnet,
        *,
        epochs: int = 3,
        image: str = "sha256:" + "0" * 64,
        train: str = TRAIN,
        graph: bytes = b"no graph is needed by who only trains",
        **changes: Any,
    ) -> None:
        self.net = net
        self.chain: Chain = net.chain()
        self.network = net.network
        self._parties: dict[str, Party] = {}
        self.requester = self.party("requester")
        self.stores = Stores.of(self.network.stores, self.requester.keys.account)
        self.shard_keys: list[bytes] = []
        self.terms = replace(self._terms(f"EPOCHS = {epochs}\n{train}".encode(), image, graph), **changes)
        self.id: JobId = job_id(self.terms, self.network.chain_id, self.network.market)
        self.bytes = bytes.fromhex(self.id[2:])

    def close(self) -> None:
        """End what it opened, not the job."""
        for party in self._parties.values():
            party.mail.close()
            party.journal.close()
        self.chain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def party(self, name: str) -> Party:
        """`requester`, `validator-0` and so on, as this job sees them."""
        if name not in self._parties:
            keys = self.net.keys(name)
            journal = Journal(self.net.state / "scripted" / f"{name}-{time.monotonic_ns()}")
            outbox = Outbox(self.chain, keys.account, journal)
            self._parties[name] = Party(keys, journal, outbox, Mail(self.network, self.chain, keys.account, outbox))
        return self._parties[name]

    # ----------------------------------------------------------------------------------------- requester's part

    def fund(self) -> None:
        needed = self.terms.escrow - self.chain.free(self.requester.keys.address)
        if needed > 0:
            deposit(self.chain, self.requester.outbox, self.requester.keys.account, Wei(needed))

    def post(self) -> None:
        self.fund()
        self.requester.send("post", self.terms.as_tuple())

    def call(self) -> Timestamp:
        """Call for bids (P2.5) until the time that is returned."""
        until = Timestamp(self.chain.head().timestamp + self.terms.bidWindow)
        call = CallForBids(self.id, self.terms, until)
        signature = sign_digest(self.requester.keys.account, call.digest(self.network.chain_id, self.network.market))
        self.requester.mail.send(call_letter(call, signature), fallback=True)
        return until

    def accept(self, timeout_s: float = 40, *, function: str = "accept") -> None:
        """The first bid that comes; `open` posts the job with it."""
        bids = self.until(lambda: self.requester.mail.bids(self.id), timeout_s, "a bid")
        bid, signature = bid_of(bids[0])
        self.requester.send(function, self.terms.as_tuple(), [bid.as_tuple()], [signature])

    @property
    def split(self) -> Split:
        accepted = self.state.accept_block
        assert accepted is not None
        seed = bytes.fromhex(self.chain.block(accepted + SEED_DELAY).hash[2:])
        return draw_split(seed, self.bytes, self.terms.shards, self.terms.heldOut)

    def training_keys(self, *, spoil: bool = False) -> Letter:
        """The letter that the provider waits for; spoiled, its envelope is for somebody else."""
        self.until(lambda: self.chain.head().number >= (self.state.accept_block or 0) + SEED_DELAY + 2, 30, "the split")
        lane = self.state.lanes[0]
        secret = b"".join(self.shard_keys[i] for i in self.split.training)
        context = envelope_context(self.bytes, Kind.TRAINING_KEYS, self.terms.requester, lane.provider)
        to = self.requester.keys.wrap_public if spoil else lane.wrap_key
        envelope = make_envelope(self.requester.keys.seed(b"training", self.bytes), to, secret, context)
        body = {"envelope": hexed(envelope)}
        return Letter(self.id, Kind.TRAINING_KEYS, self.terms.requester, lane.provider, body)

    # ---------------------------------------------------------------------------------------------- seats' part

    def vote(self, score: int) -> None:
        """All drawn seats commit and reveal the same score; none looks at any weights."""
        round_, seats = self.chain.job(self.id).round, self.drawn()
        vote, evidence, salt = pack_vote([score]), sha256(b"evidence").digest(), sha256(b"salt").digest()
        for place, seat in enumerate(seats):
            hash_ = commit_hash(
                self.network.chain_id, self.network.market, self.bytes, round_, seat, vote, evidence, salt
            )
            self.seat(seat).send("commit", self.id, place, hash_)
        for place in range(len(seats)):
            commits = self.chain.commits(self.id, self.chain.job(self.id), self.chain.head())
            self.requester.send("reveal", self.id, place, vote, evidence, salt, *beside(commits, place))

    def drawn(self) -> tuple[int, ...]:
        """This round's seats, once their seed block is mined."""
        seed_block = self.chain.job(self.id).seed_block
        self.until(lambda: self.chain.head().number > seed_block, 30, "the seed block")
        return self.chain.committee(self.id)[1]

    def seat(self, seat: int) -> Party:
        """The validator whose hot key holds a seat."""
        hot = self.chain.seat(seat).hot
        return next(p for p in (self.party(f"validator-{i}") for i in range(8)) if p.keys.address == hot)

    # ------------------------------------------------------------------------------------------------- watching

    @property
    def state(self) -> JobState:
        return fold(self.chain.events(0, self.chain.head().number, job=self.id))[self.id]

    def await_state(self, state: State, timeout_s: float = 60) -> JobState:
        self.until(lambda: self.state.state is state, timeout_s, state.name)
        return self.state

    def until(self, ask: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """The first answer that is true."""
        give_up = time.monotonic() + timeout_s
        while not (answer := ask()):
            if time.monotonic() > give_up:
                raise TimeoutError(f"{what} did not come; the job is {self.chain.job(self.id).state.name}")
            time.sleep(POLL_S)
        return answer

    def letters(self, kind: Kind, receiver: Party) -> list[Letter]:
        """Letters of one kind that have come to a party since the last time it was asked."""
        return [letter for letter in receiver.mail.fetch(self.id) if letter.kind is kind]

    # --------------------------------------------------------------------------------------------------- making

    def _terms(self, train: bytes, image: str, graph: bytes) -> JobTerms:
        """A job of sixteen shards that hold nothing in particular."""
        ring = self.requester.keys
        salt = sha256(str(time.monotonic_ns()).encode()).digest()
        manifest = Manifest(
            files=(TaskFile("train.py", self.stores.put(train), len(train)),),
            image={"linux/amd64": image, "linux/arm64": image},
            command=("python3", "/in/task/train.py"),
            resources=Resources(cpus=1, memory_bytes=256 << 20, disk_bytes=16 << 20, gpus=0, seconds=60),
            graph=TaskFile("model.onnx", self.stores.put(graph), len(graph)),
            metric="accuracy",
            scorer="score-v1",
        )
        leaves = []
        for index in range(16):
            self.shard_keys.append(shard_key(ring.data_secret, salt, index))
            sealed, leaf = seal_shard(
                self.shard_keys[-1], pad_shard(json.dumps({"shard": index}).encode(), SHARD_BYTES)
            )
            self.stores.put(sealed)
            leaves.append(leaf)
        self.stores.put(encode_leaves(leaves))
        self.stores.put(manifest.encode())
        return JobTerms(
            requester=Address(ring.address),
            wrapKey=ring.wrap_public,
            lanes=1,
            priceCap=Wei(20 * ONE_TOKEN),
            floor=Ppm(500_000),
            target=Ppm(900_000),
            floorPay=Ppm(500_000),
            metric=1,
            scorer=scorer_id("score-v1"),
            operationCap=10**6,
            shardBytes=SHARD_BYTES,
            weightsBytes=65_536,
            taskHash=manifest.task_hash,
            dataRoot=sha256(encode_leaves(leaves)).digest(),
            shards=16,
            heldOut=4,
            committee=3,
            fee=Wei(ONE_TOKEN),
            bond=Wei(4 * ONE_TOKEN),
            collateral=Wei(4 * ONE_TOKEN),
            bidWindow=300,
            workWindow=600,
            releaseWindow=60,
            commitWindow=300,
            revealWindow=300,
            challengeWindow=60,
            salt=salt,
        )
