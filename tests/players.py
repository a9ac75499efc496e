"""Parties of all kinds who do what the rules allow, and sometimes what they do not, on both markets of a `Duel`.

Every choice comes out of the `Random` that a method is given: Hypothesis's own, which shrinks, or a seeded one.
"""

from dataclasses import replace
from random import Random
from typing import Any

from heldout.market.lifecycle import REQUESTER, VACANT, JobState, Outcome, State
from heldout.market.messages import (
    BAD,
    MISSING,
    NO_DATA,
    NO_KEYS,
    AgreedLane,
    AgreedOutcome,
    Bid,
    beside,
    commit_hash,
    pack_vote,
)
from heldout.market.money import ONE_TOKEN, BasisPoints, Ppm, Wei
from heldout.market.settlement import NOBODY
from heldout.market.signatures import checksummed
from heldout.market.terms import Address, JobId, JobTerms, Parent, job_id
from heldout.simulation.bytecode import CHAIN_ID
from heldout.simulation.rules.demands import stage_start
from heldout.simulation.rules.jobs import SEATS_PER_PLACE, window
from heldout.simulation.rules.world import REMEMBERED_BLOCKS
from tests.builders import TERMS, digest
from tests.duel import STAKE, Duel, Signer
from tests.relayers import EVIDENCE, SALT, STRANGER, commit_together, conclude, open_together

WORD = digest("word")
SCORES = (960_000, 910_000, 100_000)


def _address(name: str) -> Address:
    return checksummed(digest(name)[:20])


REQUESTERS = [_address("requester 0"), _address("requester 1")]
PROVIDERS = [Signer(f"provider {i}") for i in range(8)]
OWNERS = [_address(f"owner {i}") for i in range(10)]


HOTS = {owner: Signer(f"hot of {owner}") for owner in OWNERS}


def hot_of(owner: Address) -> Address:
    return HOTS[owner].address


class Town:
    """A market with enough live seats, and the jobs of the people in it."""

    signers = PROVIDERS
    hots = tuple(HOTS.values())

    def __init__(self, rng: Random) -> None:
        self.duel = Duel()
        self.rules = self.duel.rules
        self.ids: list[JobId] = []
        self.ballots: dict[tuple[JobId, int, int], bytes] = {}
        self.opened = 0
        for account in [*REQUESTERS, STRANGER, *(p.address for p in PROVIDERS), *OWNERS]:
            self.duel(account, "deposit", 100_000 * ONE_TOKEN)
        self.duel(PROVIDERS[7].address, "withdraw", STRANGER, 99_950 * ONE_TOKEN)  # too poor for some jobs
        each = rng.choice([3, 5, 7, 7])
        for owner in OWNERS[:8]:
            self.duel(owner, "stake", each, hot_of(owner), digest("key"))
        self.duel.pass_time(12, 2)

    def play(self, rng: Random, steps: int) -> None:
        """Some calls after each other, up to three jobs at a time, and then the end of them all."""
        acts = (
            self.begin,
            self.advance,
            self.demand,
            self.answer,
            self.appeal,
            self.wait,
            self.tend_seats,
            self.meddle,
            self.agree,
        )
        for act in rng.choices(acts, weights=(12, 45, 13, 6, 2, 12, 5, 5, 1), k=steps):
            act(rng)
        self.finish()

    # ------------------------------------------------------------------------------------------------ a job

    def live(self) -> list[JobState]:
        return [self.rules.jobs[id_] for id_ in self.ids if not self.rules.jobs[id_].final]

    def terms(self, rng: Random) -> JobTerms:
        """Sound terms of many kinds; one in eight has a fault."""
        self.opened += 1
        affordable = [n for n in (3, 3, 3, 5, 7) if SEATS_PER_PLACE * n <= self.rules.totals["live"]]
        committee = rng.choice(affordable or [3])
        floor, target = rng.choice([(900_000, 980_000), (900_000, 980_000), (950_000, 90_000)])
        cap, fee = rng.choice([0, 7, 50 * ONE_TOKEN]), rng.choice([ONE_TOKEN // 100, ONE_TOKEN + 3, STAKE // 32])
        lanes = rng.choice([1, 2, 3, 8])
        parents = tuple(
            Parent(digest("parent"), rng.choice([STRANGER, OWNERS[0]]), BasisPoints(rng.choice([0, 1, 333])))
            for _ in range(rng.choice([0, 0, 2, 4]))
        )
        terms = replace(
            TERMS,
            requester=rng.choice(REQUESTERS),
            lanes=lanes,
            priceCap=Wei(cap),
            floor=Ppm(floor),
            target=Ppm(target),
            floorPay=Ppm(rng.choice([0, 500_000, 1_000_000])),
            committee=committee,
            fee=Wei(fee),
            bond=Wei((lanes * cap + 4) // 5 + rng.choice([0, 1, ONE_TOKEN])),
            collateral=Wei(max(committee * fee, (cap + 4) // 5)),
            releaseWindow=rng.choice([20, 60]),
            salt=digest(f"salt {self.opened}"),
            parents=parents,
        )
        faults: dict[str, Any] = {
            "fee": 0,
            "committee": 4,
            "lanes": 0,
            "floor": target,
            "bond": 0,
            "collateral": 1,
            "heldOut": 3,
        }
        faults |= {"commitWindow": 1, "requester": STRANGER, "operationCap": 0, "priceCap": 400 * ONE_TOKEN}
        name = rng.choice(sorted(faults))
        return replace(terms, **{name: faults[name]}) if rng.random() < 0.12 else terms

    def bids(self, rng: Random, terms: JobTerms) -> tuple[list[Bid], list[bytes]]:
        job = bytes.fromhex(job_id(terms, CHAIN_ID, self.rules.address)[2:])
        signers = rng.sample(PROVIDERS, rng.choice([max(terms.lanes, 1), 1]))
        bids = [
            Bid(job, s.address, Wei(terms.priceCap - rng.choice([0, terms.priceCap // 3])), WORD, 2**40, self.opened)
            for s in signers
        ]
        if rng.random() < 0.1:
            faults: dict[str, Any] = {"job": WORD, "validUntil": 5, "price": terms.priceCap + 1, "provider": STRANGER}
            name = rng.choice(sorted(faults))
            bids[-1] = replace(bids[-1], **{name: faults[name]})
        if len(bids) > 1 and rng.random() < 0.03:
            bids[-1], signers[-1] = bids[0], signers[0]
        return bids, [s.sign(bid, self.rules.address) for s, bid in zip(signers, bids, strict=True)]

    def begin(self, rng: Random) -> None:
        """A new job, bound or not, unless three are under way."""
        if len(self.live()) == 3:
            return
        terms = self.terms(rng)
        bids, signatures = self.bids(rng, terms)
        if rng.random() < 0.1:
            self.duel(bids[0].provider, "cancelBid", bids[0].nonce)
        sender = terms.requester if rng.random() < 0.95 else STRANGER
        if rng.random() < 0.6:
            refused = self.duel(sender, "open", terms, bids, signatures)
        else:
            refused = self.duel(sender, "post", terms)
            if not refused and rng.random() < 0.1:
                self.duel(sender, "post", terms)
        if not refused:
            self.ids.append(job_id(terms, CHAIN_ID, self.rules.address))

    # ----------------------------------------------------------------------------------------- what is next

    def advance(self, rng: Random) -> None:
        """What the parties of a job would do next; mostly all of them."""
        jobs = self.live()
        if not jobs:
            return self.begin(rng)
        job = rng.choice(jobs)
        silence = rng.random() if job.pending else 1.0
        if silence < 0.35:  # who is silent stays silent
            self.duel.pass_time(max(job.deadline - self.rules.now, 0), 1)
        elif silence < 0.7:
            return self._answer(rng, job)
        if self.rules.now >= job.deadline:
            return self.move_on(rng, job)
        acts = {
            State.OPEN: self._bind,
            State.RUNNING: self._submit,
            State.COMMITTING: self._commit,
            State.REVEALING: self._reveal,
            State.SCORED: self._challenge,
        }
        acts[job.state](rng, job)
        return None

    def move_on(self, rng: Random, job: JobState) -> None:
        sender = rng.choice([STRANGER, job.terms.requester])
        if job.state is State.OPEN:
            self.duel(sender, "expire", job.id)
        elif job.state is State.SCORED and not job.pending:
            self.duel(sender, "settle", job.terms)
        elif job.state is State.COMMITTING and job.rounds[-1].commits and rng.random() < 0.4:
            self._reveal(rng, job)  # moves the job on as it does so
        else:
            self.duel(sender, "close", job.id)

    def _bind(self, rng: Random, job: JobState) -> None:
        if rng.random() < 0.1:
            self.duel(rng.choice([job.terms.requester, STRANGER]), "cancel", job.id)
            return
        bids, signatures = self.bids(rng, job.terms)
        self.duel(job.terms.requester, "accept", job.terms, bids, signatures)

    def _submit(self, rng: Random, job: JobState) -> None:
        some = rng.random() < 0.25
        for lane in sorted(job.all_lanes - job.submitted):
            if some and rng.random() < 0.5:
                continue
            answered = REQUESTER in job.demanded - job.pending
            lost = rng.random() < (0.5 if answered else 0.1)
            word = NO_KEYS if lost else rng.choice([WORD, WORD, WORD, bytes(32)])
            self.duel(job.lanes[lane].provider, "submit", job.id, lane, word)

    def _commit(self, rng: Random, job: JobState) -> None:
        """A committee that mostly agrees; at times some stay away."""
        self._await_seed(job)
        if rng.random() < 0.15:
            return commit_together(self, rng, job)
        if rng.random() < 0.2:
            self.duel(STRANGER, "pin", job.id)
            self._await_seed(self.rules.jobs[job.id])
            if rng.random() < 0.4:
                return  # others may demand before the first commit
        seats = self.seats_of(job)
        common, absent = self.vote(rng, job), rng.choice([0, 0, 0, 0.3, 0.7])
        for place, seat in enumerate(seats):
            if seat == VACANT or place in self.rules.jobs[job.id].rounds[-1].commits or rng.random() < absent:
                continue
            vote = common if rng.random() < 0.85 else self.vote(rng, job)
            self._commit_one(job, place, seat, vote)

    def _commit_one(self, job: JobState, place: int, seat: int, vote: bytes) -> None:
        stored = self.rules.seats.get(seat)
        hash_ = commit_hash(
            CHAIN_ID, self.rules.address, bytes.fromhex(job.id[2:]), job.round, seat, vote, EVIDENCE, SALT
        )
        if not self.duel(stored.hot if stored else STRANGER, "commit", job.id, place, hash_):
            self.ballots[job.id, job.round, place] = vote

    def _reveal(self, rng: Random, job: JobState) -> None:
        if rng.random() < 0.15:
            return open_together(self, rng, job)
        hidden = [place for place in job.rounds[-1].commits if place not in job.rounds[-1].votes]
        silent = rng.choice([0, 0, 0, 0.3, 0.8])
        rng.shuffle(hidden)
        for place in hidden:
            if rng.random() < silent:
                continue
            known = self.ballots.get((job.id, job.round, place), WORD)  # `meddle` commits to what nobody can open
            vote = known if rng.random() < 0.97 else bytes(32)
            others = beside(job.rounds[-1].commits.items(), place)
            self.duel(STRANGER, "reveal", job.id, place, vote, EVIDENCE, SALT, *others)

    def _challenge(self, rng: Random, job: JobState) -> None:
        if rng.random() < 0.15:
            conclude(self, rng, job)
        elif rng.random() < 0.45:
            self._appeal(rng, job)
        else:
            self.wait(rng)

    def _await_seed(self, job: JobState) -> None:
        missing = job.rounds[-1].seed_block + 1 - self.rules.block
        if missing > 0:
            self.duel.pass_time(1, missing)

    def seats_of(self, job: JobState) -> tuple[int, ...]:
        round_ = self.rules.jobs[job.id].rounds[-1]
        if round_.seats:
            return round_.seats
        gone = self.rules.block - round_.seed_block > REMEMBERED_BLOCKS
        return (0,) * job.size_of(job.round) if gone else self.rules.committee(job.id)

    def vote(self, rng: Random, job: JobState) -> bytes:
        demanded = self.rules.jobs[job.id].demanded
        codes = [BAD, *([NO_DATA] * 2 if REQUESTER in demanded else []), *([MISSING] * 2 if demanded else [])]
        odd = rng.random() < 0.3
        values = [rng.choice([*SCORES, MISSING, NO_DATA, *codes] if odd else SCORES[:2]) for _ in job.lanes]
        if rng.random() < 0.01:
            values[0] = 0xFFFFFFF0
        return pack_vote([*values, 7] if len(values) < 8 and rng.random() < 0.1 else values)

    # --------------------------------------------------------------------------- demands, appeals, and time

    def someone(self, rng: Random, job: JobState | None) -> tuple[Address, int]:
        """Anybody, a party or a seat of the job's committee, and its place."""
        place = rng.choice([0, 0, 1, 2, 5])
        choices = [STRANGER, rng.choice(REQUESTERS), rng.choice(PROVIDERS).address]
        if job and job.lanes:
            choices += [job.terms.requester, rng.choice(job.lanes).provider, rng.choice(job.lanes).provider]
        if job and job.rounds and place < len(job.rounds[-1].seats):
            seat = self.rules.seats.get(job.rounds[-1].seats[place])
            choices += [seat.hot] * 4 if seat else []
        return rng.choice(choices), place

    def demand(self, rng: Random) -> None:
        """Mostly by somebody entitled to it (P4.5), while it may be asked."""
        asked = [job for job in self.live() if job.lanes and job.state is not State.REVEALING] or self.live()
        if not asked:
            return
        job = rng.choice(asked)
        if job.state is State.COMMITTING and not job.rounds[-1].seats:
            self._await_seed(job)
            self.duel(STRANGER, "pin", job.id)
            job = self.rules.jobs[job.id]
        party = rng.choice([REQUESTER, REQUESTER, *range(len(job.lanes) + 1)])
        sender, place = self.someone(rng, job)
        if rng.random() < 0.85:
            sender = self._entitled(rng, job, party, place) or sender
        self.duel(sender, "demand", job.id, party, place)

    def _entitled(self, rng: Random, job: JobState, party: int, place: int) -> Address | None:
        if job.state is State.COMMITTING:
            seats = job.rounds[-1].seats
            seat = self.rules.seats.get(seats[place]) if place < len(seats) else None
            return seat.hot if seat else None
        if party != REQUESTER:
            return job.terms.requester
        return rng.choice(job.lanes).provider if job.lanes else None

    def answer(self, rng: Random) -> None:
        asked = [job for job in self.live() if job.pending]
        if asked:
            self._answer(rng, rng.choice(asked))

    def _answer(self, rng: Random, job: JobState) -> None:
        party = rng.choice(sorted(job.pending)) if rng.random() < 0.9 else rng.randrange(10)
        is_lane = party < len(job.lanes)
        sender = job.lanes[party].provider if is_lane else job.terms.requester
        self.duel(sender if rng.random() < 0.9 else STRANGER, "answer", job.id, party, b"[]")

    def appeal(self, rng: Random) -> None:
        if self.live():
            self._appeal(rng, rng.choice(self.live()))

    def _appeal(self, rng: Random, job: JobState) -> None:
        sender, place = self.someone(rng, job)
        self.duel(sender, "appeal", job.id, place)

    def agree(self, rng: Random) -> None:
        """On the end of a job in any state, of one that was never posted, or on what cannot be (P6.1)."""
        job = rng.choice(self.live()) if self.live() and rng.random() < 0.8 else None
        terms = job.terms if job else self.terms(rng)
        signers = rng.sample(PROVIDERS, max(terms.lanes, 1))
        if job and job.lanes:
            signers = [s for lane in job.lanes for s in PROVIDERS if s.address == lane.provider]
            if len(signers) < len(job.lanes):
                return  # a requester that bid for its own job has no key here
        payouts = [Wei(rng.choice([terms.priceCap // 2, terms.priceCap // 3, 0])) for _ in signers]
        lanes = tuple(
            AgreedLane(s.address, WORD, rng.choice(SCORES), payout) for s, payout in zip(signers, payouts, strict=True)
        )
        if rng.random() < 0.2:
            faults: dict[str, Any] = {"word": digest("other"), "score": 0xFFFFFFFF, "payout": Wei(10**40)}
            faults |= {"provider": STRANGER}
            name = rng.choice(sorted(faults))
            lanes = (replace(lanes[0], **{name: faults[name]}), *lanes[1:])
        self._agree(rng, terms, lanes, signers)

    def _agree(self, rng: Random, terms: JobTerms, lanes: tuple[AgreedLane, ...], signers: list[Signer]) -> None:
        """Sent by the requester, who signs by that; at times by a stranger, late, or with too few signatures."""
        id_ = job_id(terms, CHAIN_ID, self.rules.address)
        until = self.rules.now + rng.choice([-1, *[60] * 9])
        outcome = AgreedOutcome(bytes.fromhex(id_[2:]), until, lanes)
        signatures = [b"", *(signer.sign(outcome, self.rules.address) for signer in signers)]
        sender = terms.requester if rng.random() < 0.95 else STRANGER
        count = len(signatures) - (rng.random() < 0.05)
        refused = self.duel(sender, "agree", terms, lanes, until, signatures[:count])
        if refused:
            return
        self._compare_lanes(id_)
        if id_ not in self.ids:
            self.ids.append(id_)

    def _compare_lanes(self, id_: JobId) -> None:
        """What the events told of a paid lane is what a registry reads (P7.2)."""
        for number, lane in enumerate(self.rules.jobs[id_].lanes):
            _, outcome, provider, word, score, paid = self.duel.bytecode.words("settledLane", id_, number)
            assert (outcome, score, bool(paid)) == (Outcome.AGREED, lane.score, lane.payout > 0)
            assert provider == int(lane.provider, 16)
            assert not paid or word == int.from_bytes(lane.word or b"", "big")

    def wait(self, rng: Random) -> None:
        """A moment, half a window, to the second before a deadline, to it, or until block hashes are gone."""
        job = rng.choice(self.live()) if self.live() else None
        left = max(job.deadline - self.rules.now, 0) if job else 0
        half = max(stage_start(job) + window(job.terms, job.state) // 2 - self.rules.now, 0) if job else 0
        seconds = rng.choice([1, 1, half, half + 1, max(left - 1, 0), left, left, left])
        self.duel.pass_time(seconds, 300 if rng.random() < 0.05 else rng.choice([1, 3]))

    # --------------------------------------------------------------------------------- seats, and nonsense

    def tend_seats(self, rng: Random) -> None:
        owner, seat = rng.choice(OWNERS), rng.randrange(self.rules.totals["seat_count"] + 1)
        stored = self.rules.seats.get(seat)
        cold = stored.cold if stored and rng.random() < 0.9 else owner
        act = rng.choice(["stake", "exit", "rotate", "unstake", "leave", "withdraw"])
        if act == "stake":
            self.duel(owner, "stake", rng.choice([0, 1, 2]), rng.choice([hot_of(owner), hot_of(owner), NOBODY]), WORD)
        elif act == "exit":
            self.duel(cold, "exit", seat)
        elif act == "rotate":
            self.duel(cold, "rotate", seat, rng.choice([hot_of(owner), hot_of(owner), NOBODY]), WORD)
        elif act == "withdraw":
            amount = rng.choice([0, 1, self.rules.free.get(owner, 0), 10**30])
            self.duel(owner, "withdraw", rng.choice([owner, STRANGER, NOBODY]), amount)
            self.duel(owner, "deposit", 20_000 * ONE_TOKEN)
        elif act == "unstake":
            self.duel(STRANGER, "unstake", seat)
        else:
            self._leave(rng)

    def _leave(self, rng: Random) -> None:
        """Weeks later: jobs were forgotten, and seats that wanted to leave do, before their last jobs are settled."""
        leaving = [index for index, seat in self.rules.seats.items() if seat.exiting_at]
        for index in leaving[: rng.choice([1, 3])]:
            if rng.random() < 0.8:
                self.duel.pass_time(max(self.rules.seats[index].withdrawable_at - self.rules.now, 0))
            self.duel(STRANGER, "unstake", index)
        if leaving and rng.random() < 0.5:
            owner = rng.choice(OWNERS)
            self.duel(owner, "stake", 2, hot_of(owner), WORD)

    def meddle(self, rng: Random) -> None:
        """Any call by anybody about any job, or about one that does not exist."""
        id_ = rng.choice([*self.ids, JobId("0x" + WORD.hex())])
        job = self.rules.jobs.get(id_)
        sender, place = self.someone(rng, job)
        calls: list[tuple[str, tuple[object, ...]]] = [
            ("submit", (id_, rng.randrange(4), rng.choice([WORD, NO_KEYS]))),
            ("close", (id_,)),
            ("pin", (id_,)),
            ("commit", (id_, place, WORD)),
            ("reveal", (id_, place, bytes(32), EVIDENCE, SALT, bytes(32), [WORD])),
            ("announce", (b"hello",)),
        ]
        if job is not None:
            party = rng.choice([0, 1, REQUESTER, 9])
            calls += [("settle", (job.terms,)), ("cancel", (id_,)), ("expire", (id_,)), ("appeal", (id_, place))]
            calls += [("demand", (id_, party, place)), ("answer", (id_, party, b""))]
        if job is not None and job.round and not job.final:
            self._await_seed(job)
        function, args = rng.choice(calls)
        self.duel(sender, function, *args)

    def finish(self) -> None:
        """From every state, deadline moves by a stranger reach a final one (P1.1); then all is compared."""
        for id_ in self.ids:
            for _ in range(30):
                job = self.rules.jobs[id_]
                if job.final:
                    break
                self.duel.pass_time(max(job.deadline - self.rules.now, 0), 300)
                function = {State.OPEN: "expire", State.SCORED: "close" if job.pending else "settle"}
                name = function.get(job.state, "close")
                assert self.duel(STRANGER, name, job.terms if name == "settle" else id_) is None
            assert self.rules.jobs[id_].final, id_
        self.duel.compare_all()
