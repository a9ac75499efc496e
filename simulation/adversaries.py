"""Who plays against the rules.

To add one: subclass `Adversary`, say which roles it takes, override what it does otherwise, and put it into `ALL`; then
`./run sim --write` gives it a row in docs/mechanism.md and checks its profit against the bytecode.

Whoever is not the adversary is honest: it delivers, measures, commits and reveals in time, and appeals if a wrong
result costs it anything and `Numbers.vigilant` says that somebody looks.
"""

from dataclasses import dataclass, replace

from heldout.market.votes import majority_of
from heldout.simulation.scene import FLOOR, GOOD, POOR, TARGET, Numbers, Role

WRONG = 950_000
"""A score above the floor that nobody measured."""


@dataclass(frozen=True)
class Bench:
    """A drawn committee, as the adversary sees it: it knows which seats are its own before it commits."""

    round: int
    size: int
    mine: int

    @property
    def is_mine(self) -> bool:
        return self.mine >= majority_of(self.size)


class Adversary:
    """Honest in everything: the measure of the others."""

    name = "honest"
    tries = "nothing"
    roles: frozenset[Role] = frozenset({Role.SEATS})
    model = int(GOOD)
    """What the submission scores on the held-out rows."""
    trains = True
    """Whether the provider, adversary or not, pays for training."""
    scores = True
    """Whether the adversary's seats do the work of scoring."""
    is_needless = False
    """Whether nobody wants the job: it is compared with no job at all, and its model is worth nothing."""
    steals = False
    """Whether a requester keeps the model that its own seat opened, paid or not (P10)."""

    def __eq__(self, other: object) -> bool:
        """It has no state: one is like the other, and what was computed for one holds for the other."""
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def numbers(self, numbers: Numbers) -> Numbers:
        """The terms it insists on."""
        return numbers

    def withholds(self) -> str:
        """What it never delivers: "", "work", "training keys", "held-out keys", "weights" or "half key"."""
        return ""

    def vote(self, truth: int, bench: Bench, which: int) -> int | None:
        """Of the seat with this index among its own on the bench; None stays away."""
        return truth

    def reveals(self, bench: Bench) -> bool:
        return True

    def appeals(self, standing: int, truth: int, bench: Bench) -> bool:
        """After every round that has a result, unless somebody else has appealed already."""
        return False


# --------------------------------------------------------------------------------------------------- seats


class Absent(Adversary):
    name = "abstainers"
    tries = "seats that never vote"
    scores = False

    def vote(self, truth: int, bench: Bench, which: int) -> int | None:
        return None


class Silent(Adversary):
    name = "last revealers"
    tries = "seats that commit, look at the others, and never reveal"

    def reveals(self, bench: Bench) -> bool:
        return False


class Lazy(Adversary):
    name = "lazy validators"
    tries = "seats that vote the target without scoring, and hope"
    scores = False

    def vote(self, truth: int, bench: Bench, which: int) -> int | None:
        return int(TARGET)


class UnwatchedLazy(Lazy):
    name = "lazy validators, nobody looks"
    tries = "the same, and the requester does not appeal"

    def numbers(self, numbers: Numbers) -> Numbers:
        return replace(numbers, vigilant=False)


class Copying(Adversary):
    name = "copying validators"
    tries = "seats that vote what an honest seat tells them, and score only if there is none"
    scores = False


class Noisy(Adversary):
    name = "noise"
    tries = "seats whose machine is wrong, each in its own way"

    def vote(self, truth: int, bench: Bench, which: int) -> int | None:
        return truth - 1 - which


# ------------------------------------------------------------------------------------ providers, requesters


class NoShow(Adversary):
    name = "griefing winner: no work"
    tries = "a provider that wins and never submits"
    roles = frozenset({Role.PROVIDER})
    trains = False

    def withholds(self) -> str:
        return "work"


class Garbage(Adversary):
    name = "griefing winner: garbage"
    tries = "a provider that wins and submits what fails the floor"
    roles = frozenset({Role.PROVIDER})
    model = POOR
    trains = False


class Undelivered(Adversary):
    name = "griefing winner: sealed for ever"
    tries = "a provider that submits and never shows the weights"
    roles = frozenset({Role.PROVIDER})
    trains = False

    def withholds(self) -> str:
        return "weights"


class HalfKeyWithheld(Adversary):
    name = "half key withheld"
    tries = "a provider that keeps its model though it is to be paid"
    roles = frozenset({Role.PROVIDER})

    def withholds(self) -> str:
        return "half key"


class NearZeroPayer(Adversary):
    name = "near-zero payer"
    tries = "a requester whose floor is all it needs and pays nothing"
    roles = frozenset({Role.REQUESTER})
    model = FLOOR + 1

    def numbers(self, numbers: Numbers) -> Numbers:
        return replace(numbers, floor_pay=0.0)


class TrainingKeysWithheld(Adversary):
    name = "training keys withheld"
    tries = "a requester that binds providers and never lets them begin"
    roles = frozenset({Role.REQUESTER})
    trains = False

    def withholds(self) -> str:
        return "training keys"


class HeldOutKeysWithheld(Adversary):
    name = "held-out keys withheld"
    tries = "a requester that lets nobody measure"
    roles = frozenset({Role.REQUESTER})

    def withholds(self) -> str:
        return "held-out keys"


class FailingProgram(Adversary):
    """Nobody can train with it, whoever wins."""

    name = "failing program"
    tries = "a requester whose program fails on purpose; the provider submits untrained weights"
    roles = frozenset({Role.REQUESTER})
    model = POOR
    trains = False
    is_needless = True


class UnansweredFailingProgram(FailingProgram):
    name = "failing program, unanswered"
    tries = "the same, and the provider submits nothing"

    def withholds(self) -> str:
        return "work"


class Quarrelsome(Adversary):
    name = "quarrelsome requester"
    tries = "appeals every result, to be a nuisance"
    roles = frozenset({Role.REQUESTER})

    def appeals(self, standing: int, truth: int, bench: Bench) -> bool:
        return True


class Wash(Adversary):
    name = "sham job"
    tries = "requester and provider are one, to have a model called good by strangers"
    roles = frozenset({Role.REQUESTER, Role.PROVIDER, Role.SEATS})
    trains = False
    is_needless = True


# ---------------------------------------------------------------------------------------- majority of seats


class BuyerOfScores(Adversary):
    name = "majority buyer, provider"
    tries = "garbage, and seats that call it good whenever they are the majority"
    roles = frozenset({Role.PROVIDER, Role.SEATS})
    model = POOR
    trains = False

    def vote(self, truth: int, bench: Bench, which: int) -> int | None:
        return int(TARGET) if bench.is_mine else truth


class UnwatchedBuyer(BuyerOfScores):
    name = "majority buyer, nobody looks"
    tries = "the same, and the requester does not appeal"

    def numbers(self, numbers: Numbers) -> Numbers:
        return replace(numbers, vigilant=False)


class Voider(BuyerOfScores):
    name = "bribed silence"
    tries = "garbage, and seats that keep their votes wherever that leaves no majority, until no round decides"

    def vote(self, truth: int, bench: Bench, which: int) -> int | None:
        return truth

    def reveals(self, bench: Bench) -> bool:
        return bench.size - bench.mine >= majority_of(bench.size)


class BuyerOfFailure(Adversary):
    name = "majority buyer, requester"
    tries = "seats that call a good model bad, and take it home"
    roles = frozenset({Role.REQUESTER, Role.SEATS})
    steals = True

    def vote(self, truth: int, bench: Bench, which: int) -> int | None:
        return POOR if bench.is_mine else truth


class SlashHunter(Adversary):
    """It appeals only where round 1 holds no seat of its own, which would be wrong as well."""

    name = "slash hunter"
    tries = "a sham job, appealed in the hope for a majority that calls the seats of round 1 wrong"
    roles = frozenset({Role.REQUESTER, Role.PROVIDER, Role.SEATS})
    trains = False
    is_needless = True

    def vote(self, truth: int, bench: Bench, which: int) -> int | None:
        return WRONG if bench.round > 1 and bench.is_mine else truth

    def appeals(self, standing: int, truth: int, bench: Bench) -> bool:
        return bench.round == 1 and bench.mine == 0


ALL: tuple[Adversary, ...] = (
    Absent(),
    Silent(),
    Lazy(),
    UnwatchedLazy(),
    Copying(),
    Noisy(),
    NoShow(),
    Garbage(),
    Undelivered(),
    HalfKeyWithheld(),
    NearZeroPayer(),
    TrainingKeysWithheld(),
    HeldOutKeysWithheld(),
    FailingProgram(),
    UnansweredFailingProgram(),
    Quarrelsome(),
    Wash(),
    BuyerOfScores(),
    UnwatchedBuyer(),
    Voider(),
    BuyerOfFailure(),
    SlashHunter(),
)
