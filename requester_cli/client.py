"""`heldout.Client`: everything the requester's commands do, as a small synchronous Python API.

    from pathlib import Path
    from heldout import Client

    with Client.open(Path("network.json"), home=Path("keys"), password_file=Path("password")) as client:
        client.seal(Path("digits"))
        posting = client.draft(Path("digits"))
        print(client.plan(posting).lines())
        job = client.post(posting)
        client.keep(job)                      # releases keys when they are due, until the job has ended
        print(client.verify(job))

Amounts are wei (`heldout.market.money.parse_tokens("12.5")`), jobs are their ids, times are block time. Every method
raises errors of heldout.market.errors. With the market service gone, everything still works over chain and stores.
"""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from heldout.market.agreeing import outcome_letter, outcome_of
from heldout.market.alarm import Alarm
from heldout.market.artifacts import Stores
from heldout.market.calling import CallForBids, call_letter, is_called
from heldout.market.chain import Block, Chain, connect
from heldout.market.chain.deposits import deposit
from heldout.market.chain.sender import Outbox
from heldout.market.chain.sending import Receipt
from heldout.market.daemon import Loop, Pace
from heldout.market.durable import write_whole
from heldout.market.errors import BadEnvelope, BadInput, BadMessage, KeyProblem, StoreProblem, TimedOut
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing, open_ring
from heldout.market.lifecycle import ChainEvent, JobState, State, fold
from heldout.market.mail import Mail
from heldout.market.messages import AgreedOutcome, Kind, Letter
from heldout.market.money import BasisPoints, Wei
from heldout.market.posting.drafting import SealedData
from heldout.market.posting.plan import Plan, make_plan
from heldout.market.posting.reuse import data_offered, refuse_used_data
from heldout.market.relayed import sign
from heldout.market.runrecord import RunRecord, read_record
from heldout.market.settings import Network
from heldout.market.terms import Address, JobId, Timestamp
from heldout.market.valuechain import ValueChain
from heldout.requester_cli.bids import valid_offers
from heldout.requester_cli.calls import Calls
from heldout.requester_cli.dataset import seal
from heldout.requester_cli.duties import Offer, Policy, pays
from heldout.requester_cli.keeper import Keeper
from heldout.requester_cli.opening import Parcel, find_parcel, open_parcel
from heldout.requester_cli.posting import Posting, draft
from heldout.requester_cli.project import Project
from heldout.requester_cli.provided import own_weights, verify_own
from heldout.requester_cli.shelf import Shelf
from heldout.requester_cli.tools import Tools, getter
from heldout.requester_cli.verifying import Check, verify
from heldout.requester_cli.witnessing import witness

if TYPE_CHECKING:
    from heldout.requester_cli.checking import CheckReport


_LAG_S = 30.0


class Client:
    """One requester on one market. Without keys it can only read."""

    def __init__(
        self, network: Network, keys: KeyRing | None = None, *, home: Path | None = None, journal: str = "commands"
    ) -> None:
        """`home` is where transactions are journalled; it is needed for sending. One process at a time holds the
        journal of a name, so that commands work beside the daemon, which calls its own "keeper"."""
        self.network = network
        self._keys = keys
        self._home = home
        self._journal_name = journal
        self._journal: Journal | None = None
        self._letters: dict[JobId, list[Letter]] = {}

    @staticmethod
    def open(network: Path, *, home: Path, password_file: Path) -> "Client":
        """A client from a network file and a key ring on disk."""
        return Client(Network.from_json(network.read_bytes()), open_ring(home, password_file=password_file), home=home)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the journal and all connections free."""
        for part in ("mail", "stores", "chain"):
            if part in self.__dict__:
                self.__dict__.pop(part).close()
        self.__dict__.pop("outbox", None)
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # -------------------------------------------------------------------------------------------------- parts

    @property
    def keys(self) -> KeyRing:
        if self._keys is None:
            raise KeyProblem("this needs your keys", hint="give a key ring with --home", code="no_keys")
        return self._keys

    @property
    def address(self) -> Address:
        return self.keys.address

    @cached_property
    def chain(self) -> Chain:
        return connect(self.network)

    @cached_property
    def stores(self) -> Stores:
        return Stores.of(self.network.stores, self._keys.account if self._keys else None)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.chain, self.keys.account, self.journal)

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            if self._home is None:
                raise KeyProblem("sending needs a home directory for its journal", code="no_home")
            self._journal = Journal(self._home / "journals" / self._journal_name)
        return self._journal

    @cached_property
    def mail(self) -> Mail:
        sender = self._keys.account if self._keys else None
        return Mail(self.network, self.chain, sender, self.outbox if sender and self._home else None)

    # -------------------------------------------------------------------------------------------------- money

    def deposit(self, amount: Wei) -> Receipt:
        """Tokens of this address into its free balance on the market."""
        return deposit(self.chain, self.outbox, self.keys.account, amount)

    def withdraw(self, amount: Wei, to: Address | None = None) -> Receipt:
        """Free balance back to this address, or to another."""
        name = f"withdraw:{secrets.token_hex(8)}"
        return self.outbox.send(name, "withdraw", to or self.address, amount, wait=True)

    # ------------------------------------------------------------------------------------------------ posting

    def seal(self, folder: Path, *, drop_duplicates: bool = False, again: bool = False) -> SealedData:
        """Seal the data of a job folder, keep it under `.heldout/`, and upload it to the stores.

        Data that is sealed already is only uploaded, unless `again` asks for fresh keys and a fresh order.
        """
        project = Project(folder)
        if again or not project.is_sealed():
            files, salt = project.data_files(), secrets.token_bytes(32)
            shards = seal(files, self.keys.data_secret, salt, project.job.shards, drop_duplicates=drop_duplicates)
            project.save_shards(shards)
        shards = project.shards()
        for sealed in shards.sealed:
            self.stores.put(sealed)
        self.stores.put(shards.leaves)
        return shards.about

    def draft(self, folder: Path) -> Posting:
        """Manifest and terms of a job folder, with every default filled in and every bound checked."""
        return draft(Project(folder), self.network, self.chain.parameters(), self.address, self.keys.wrap_public)

    def check(self, folder: Path, *, runner: str = "docker") -> "CheckReport":
        """Baseline and scorer twice in the sandbox, as providers and validators will run them."""
        from heldout.requester_cli.checking import check

        return check(Project(folder), self.draft(folder), self.keys, self.network, runner=runner)

    def plan(self, posting: Posting, *, bids_first: bool = False) -> Plan:
        """What posting costs and promises, who could bid, and what it would need first. Raises BadInput for data that
        another job uses."""
        for other in self.called():
            if other.id != posting.job and other.terms.dataRoot == posting.terms.dataRoot:
                raise data_offered(other.id)
        return make_plan(self.chain, posting.job, posting.terms, posting.manifest, self.address, bids_first=bids_first)

    def post(self, posting: Posting) -> JobId:
        """Upload what the terms name, deposit what the escrow lacks, and post. Safe to repeat."""
        if self.chain.job(posting.job).state is not State.NONE:
            return posting.job
        self._prepare(posting, self.plan(posting))
        self.outbox.send(f"post:{posting.job}", "post", posting.terms.as_tuple(), wait=True)
        return posting.job

    def call(self, posting: Posting) -> CallForBids:
        """Upload what the terms name, deposit what the escrow lacks, and call for bids for a bid window (P2.5): nothing
        is locked until a keeper takes some, in one transaction. Safe to repeat: a call that stands is sent again.

        Raises BadInput for a job that is on chain.
        """
        if self.chain.job(posting.job).state is not State.NONE:
            raise BadInput(f"this very job was posted already: {posting.job}", code="job_exists")
        self._prepare(posting, self.plan(posting, bids_first=True))
        now, standing = self.chain.head().timestamp, self._calls.get(posting.job)
        if standing and standing[0].until > now:
            call, letter = standing
        else:
            call = CallForBids(posting.job, posting.terms, Timestamp(now + posting.terms.bidWindow))
            signature = sign(self.keys.account, call.digest(self.network.chain_id, self.network.market))
            letter = call_letter(call, signature)
            self._calls.keep(letter)
        self.mail.send(letter, fallback=True)
        return call

    def _prepare(self, posting: Posting, plan: Plan) -> None:
        """What posting needs: artifacts in the stores, and the escrow in free balance."""
        for blob in posting.blobs:
            self.stores.put(blob)
        plan.refuse_impossible()
        if plan.to_deposit:
            self.deposit(plan.to_deposit)

    # --------------------------------------------------------------------------------------------------- jobs

    def jobs(self) -> list[JobState]:
        """Every job of the market, oldest first, from the chain alone."""
        found = fold(self.chain.events(self.network.deploy_block, self.chain.head().number))
        return sorted(found.values(), key=lambda job: (job.posted.block, job.posted.log_index))

    def called(self) -> list[JobState]:
        """Jobs that are called for from this home directory and not on chain, as if they were open."""
        head = self.chain.head()
        standing = [call for call, _ in self._calls if call.until > head.timestamp] if self._home else []
        return [call.as_job(head.number) for call in standing if self.chain.job(call.job, head).state is State.NONE]

    def is_past(self, job: JobState) -> bool:
        """Whether a call is over, and came to nothing."""
        head = self.chain.head()
        over = is_called(job) and head.timestamp >= job.deadline
        return over and self.chain.job(job.id, head).state is State.NONE

    def job(self, job: str) -> JobState:
        """One job, posted or called for, by its id or the beginning of it. Raises BadInput if none or several fit."""
        known = [*self.called(), *self.jobs()] if job.startswith("0x") else []
        fitting = list({state.id: state for state in known if state.id.startswith(job.lower())}.values())
        if len(fitting) != 1:
            what = "no job" if not fitting else f"{len(fitting)} jobs"
            raise BadInput(
                f"{what} of this market begin(s) with {job}", hint="see `heldout job list`", code="no_such_job"
            )
        return fitting[0]

    def events(self, job: JobState) -> list[ChainEvent]:
        """Everything that happened to a job, in the chain's order."""
        return self.chain.events(job.posted.block, self.chain.head().number, job=job.id)

    def runs(self, job: JobState) -> tuple[RunRecord, ...]:
        """How the lanes' trainings ran, by their providers' signed word; none without the market service."""
        found = []
        for letter in self.mail.records(job.id):
            try:
                record, signature = read_record(letter)
            except BadMessage:
                continue
            mine = record.lane < len(job.lanes) and job.lanes[record.lane].provider.lower() == record.provider.lower()
            if mine and record.job == job.id and self.chain.verify_signature(record.provider, record.digest, signature):
                found.append(record)
        return tuple(found)

    def readings(self, job: JobState) -> dict[int, list[dict[str, float]]]:
        """What each lane's training says of itself now, by its provider's word alone."""
        return self.mail.readings(job.id)

    def offers(self, job: JobState) -> tuple[Offer, ...]:
        """The bids that could be accepted now, the cheapest first."""
        return valid_offers(self.chain, self.mail.bids(job.id), job, self.chain.head())

    def accept(self, job: JobState, offers: Sequence[Offer]) -> Receipt:
        """Take bids; of a job that is only called for, post it in the same transaction. Raises BadInput `data_used`."""
        refuse_used_data(self.chain, job.id, job.terms, self.chain.head(), posting=False)
        bids, signatures = [offer.bid.as_tuple() for offer in offers], [offer.signature for offer in offers]
        function = "open" if is_called(job) else "accept"
        arguments = (job.terms.as_tuple(), bids, signatures)
        return self.outbox.send(f"{function}:{job.id}:by-hand", function, *arguments, wait=True)

    def forget(self, job: JobState) -> None:
        """Take a call for bids back: whoever does the duties opens it no more, unless a transaction that does is under
        way. Bids for it are good for nobody else."""
        self._calls.forget(job.id)

    def cancel(self, job: JobState) -> Receipt:
        """Take an open job back, whole."""
        return self.outbox.send(f"cancel:{job.id}", "cancel", job.terms.as_tuple(), wait=True)

    def appeal(self, job: JobState) -> Receipt:
        """Ask for a bigger committee, with a bond out of the free balance (P3.6)."""
        return self.outbox.send(f"appeal:{job.id}:{job.round}", "appeal", job.terms.as_tuple(), 0, wait=True)

    # ----------------------------------------------------------------------------------------- by consent (P6.1)

    def propose(self, job: JobState, outcome: AgreedOutcome) -> None:
        """Send a signed outcome to every provider. Raises ServiceProblem, Refused."""
        signature = self._consent(outcome)
        for provider in dict.fromkeys(lane.provider for lane in job.lanes):
            self.mail.send(outcome_letter(outcome, signature, self.address, provider))

    def consents(self, job: JobState, outcome: AgreedOutcome) -> list[bytes] | None:
        """Everybody's signature of it, in the order `agree` takes them; None while one is lacking."""
        digest, gathered = outcome.digest(self.network.chain_id, self.network.market), [self._consent(outcome)]
        offered = [found[1] for letter in self._letters_of(job) if (found := _read(letter)) and found[0] == outcome]
        for lane in job.lanes:
            by = (each for each in offered if self.chain.verify_signature(lane.provider, digest, each))
            if (signature := next(by, None)) is None:
                return None
            gathered.append(signature)
        return gathered

    def agree(self, job: JobState, outcome: AgreedOutcome, signatures: Sequence[bytes]) -> Receipt:
        """Settle a job as requester and all providers signed. The requester sends it, which is its signature."""
        name = outcome.digest(self.network.chain_id, self.network.market).hex()[:16]
        lanes = [lane.as_tuple() for lane in outcome.lanes]
        arguments = (job.terms.as_tuple(), lanes, outcome.validUntil, [b"", *signatures[1:]])
        return self.outbox.send(f"agree:{job.id}:{name}", "agree", *arguments, wait=True)

    def opens(self, job: JobState, lane: int) -> bool:
        """Whether a lane's weights are here, opened and held against the word on chain."""
        try:
            return bool(self.fetch(job, lane))
        except (BadInput, BadEnvelope, StoreProblem):
            return False

    def _consent(self, outcome: AgreedOutcome) -> bytes:
        return sign(self.keys.account, outcome.digest(self.network.chain_id, self.network.market))

    # -------------------------------------------------------------------------------------------------- duties

    def keeper(self, alarm: Alarm, *, policy: Policy | None = None, only: Sequence[JobId] = ()) -> Keeper:
        """What does the requester's duties, one `step` at a time."""
        tools = Tools(self.chain, self.keys, self.stores, self.mail, self.outbox, self.journal)
        return Keeper(tools, alarm, self._shelf, self._calls, policy=policy, only=only)

    def keep(
        self,
        job: JobId,
        *,
        policy: Policy | None = None,
        on_cycle: Callable[[Keeper], object] | None = None,
        period_s: float = 1.0,
        alone: bool = True,
    ) -> JobState:
        """Do what is due for one job until it has ended; the job as it ended. Unless `alone`, for all others too.

        Raises TimedOut if it was only called for, and nobody was accepted."""
        alarm, stop = Alarm(), threading.Event()
        keeper = self.keeper(alarm, policy=policy, only=[job] if alone else ())
        loop = Loop(_UntilDone(keeper, job, stop, on_cycle), self.chain.head, alarm, pace=Pace(period_s), stop=stop)
        loop.run()
        if self.chain.job(job).state is State.NONE:
            raise TimedOut("the call is over, or was taken back; nothing was locked", code="expired")
        return self.job(job)

    # ------------------------------------------------------------------------------------------------- results

    def fetch(self, job: JobState, lane: int) -> bytes:
        """The weights of a paid lane, opened and checked. Raises BadInput while something is lacking."""
        _refuse_other_lane(job, lane)
        kept = self._shelf.find(job, lane)
        if kept is not None:
            return kept
        parcel = self._parcel_of(job, lane)
        if parcel is None:
            why = "its provider owes half b" if pays(job, lane) else "only a lane that pays can be opened"
            hint = "leave `heldout job watch` running: it demands what does not come"
            raise BadInput(f"lane {lane} cannot be opened yet: {why}", hint=hint, code="not_delivered")
        weights = open_parcel(parcel, job, getter(self.stores))
        self._shelf.keep(job.id, lane, parcel.submission, weights)
        return weights

    def _letters_of(self, job: JobState) -> list[Letter]:
        letters = self._letters.setdefault(job.id, [])
        letters += self.mail.fetch(job.id)  # each comes once, and the two that are needed may come apart
        return letters

    def _parcel_of(self, job: JobState, lane: int) -> Parcel | None:
        return find_parcel(self.keys, job, lane, self._letters_of(job)) if job.lanes[lane].word else None

    def save(self, job: JobState, lane: int, path: Path) -> bytes:
        """As `fetch`, into a file."""
        weights = self.fetch(job, lane)
        write_whole(path, weights)
        return weights

    def witness(self, job: JobState) -> list[Check]:
        """What anybody can recompute without a key: draws, votes, payouts and money (P7.5). Raises StoreProblem."""
        return witness(self.chain, job, getter(self.stores))

    def verify(self, job: JobState, weights: dict[int, bytes] | None = None) -> list[Check]:
        """Score lanes again, here, and compare with the chain: the requester those that are paid, a provider its own.
        `weights` by lane: fetched if left out.

        Raises BadInput `keys_elsewhere` for anybody else, `keys_not_sent` for a provider without held-out keys.
        """
        if self.address.lower() != job.terms.requester.lower():
            return self._verify_own(job, weights)
        if weights is None:
            weights = {lane: self.fetch(job, lane) for lane in range(len(job.lanes)) if pays(job, lane)}
        for lane in weights:
            _refuse_other_lane(job, lane)
        return verify(self.chain, self.keys, job, weights, getter(self.stores))

    def _verify_own(self, job: JobState, weights: dict[int, bytes] | None) -> list[Check]:
        """As a provider. Its mail is read and none is sent, so its node's journals are left alone."""
        lane, get = job.lane_of(self.address), getter(self.stores)
        if lane is None or self._home is None:
            hint = "requester and provider hold them; a drawn seat measures with `heldout validator replay`"
            raise BadInput("the keys of weights and held-out rows are not here", hint=hint, code="keys_elsewhere")
        mail = Mail(self.network, self.chain, self.keys.account)
        try:
            letters = list(mail.fetch(job.id))
        finally:
            mail.close()
        own = weights or {lane: own_weights(self._home, job, lane, get)}
        return verify_own(self.chain, self.keys, job, own, letters, get)

    # --------------------------------------------------------------------------------------------- value chain

    def value_chain(self) -> ValueChain:
        """Every artifact of this market: who asked, who trained, who measured, what it cost and was made of (P7)."""
        return self.chain.value_chain(self.chain.head().number)

    def claim(self, job: JobState, lane: int) -> Receipt:
        """Enter what a paid lane made in the registry; its weights are fetched first. The requester owns it."""
        self.fetch(job, lane)
        preimage = self._shelf.preimage(job, lane)
        if preimage is None:
            raise BadInput(f"the weights of lane {lane} are not here", hint="fetch them", code="not_delivered")
        hashes = (preimage.weights_hash, preimage.sealed_hash, preimage.half_b_hash, preimage.envelope_hash)
        return self._register(f"claim:{job.id}:{lane}", "claim", job.terms.as_tuple(), lane, hashes)

    def offer_artifact(self, artifact: str, to: Address) -> Receipt:
        """Offer an artifact of yours to somebody, who owns it once they take it."""
        return self._register(f"offer:{artifact}:{secrets.token_hex(8)}", "offer", artifact, to)

    def take_artifact(self, artifact: str) -> Receipt:
        """Take what was offered to this address."""
        return self._register(f"take:{artifact}:{secrets.token_hex(8)}", "take", artifact)

    def suggest_royalty(self, artifact: str, bps: BasisPoints) -> Receipt:
        """Say what you would like those who build on an artifact of yours to pay. It binds nobody (P7.2)."""
        return self._register(f"suggest:{artifact}:{secrets.token_hex(8)}", "suggestRoyalty", artifact, bps)

    def _register(self, intent: str, function: str, *args: object) -> Receipt:
        if self.network.value_chain is None:
            hint = "its operator may add `value_chain` to the network file"
            raise BadInput("this network names no value chain", hint=hint, code="no_value_chain")
        return self.outbox.send(intent, function, *args, on=self.chain.registry, wait=True)

    @property
    def _calls(self) -> Calls:
        if self._home is None:
            raise KeyProblem("calls for bids are kept in a home directory", code="no_home")
        return Calls(self._home / "calls", self.network)

    @property
    def _shelf(self) -> Shelf:
        if self._home is None:
            raise KeyProblem("weights are kept in a home directory", code="no_home")
        return Shelf(self._home / "weights")


def _refuse_other_lane(job: JobState, lane: int) -> None:
    if lane not in range(len(job.lanes)):
        raise BadInput(f"the job has {len(job.lanes)} lane(s), counted from 0", code="no_such_lane")


def _read(letter: Letter) -> tuple[AgreedOutcome, bytes] | None:
    try:
        return outcome_of(letter) if letter.kind is Kind.OUTCOME else None
    except BadMessage:
        return None


class _UntilDone:
    """A keeper that ends the loop when its one job is done."""

    def __init__(
        self, keeper: Keeper, job: JobId, stop: threading.Event, on_cycle: Callable[[Keeper], object] | None
    ) -> None:
        self._keeper, self._job, self._stop, self._on_cycle = keeper, job, stop, on_cycle
        self._nowhere_since: float | None = None

    def step(self, head: Block) -> None:
        self._keeper.step(head)
        if self._on_cycle is not None:
            self._on_cycle(self._keeper)
        if self._keeper.is_done(self._job) or self._is_nowhere(head):
            self._stop.set()

    def _is_nowhere(self, head: Block) -> bool:
        """For a while: an RPC may lag behind the one that took the post."""
        if not self._keeper.is_nowhere(self._job, head):
            self._nowhere_since = None
            return False
        self._nowhere_since = self._nowhere_since or time.monotonic()
        return time.monotonic() >= self._nowhere_since + _LAG_S
