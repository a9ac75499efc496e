"""From a sentence to a job.toml: "train digits under 5 tokens, two validators' worth of certainty". Pure.

What is said is taken, what is not said is assumed, and each assumption is told. A draft is for a person to read:
nothing here, or after it, sends anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from heldout.market.assistant.wishes import USUAL_SECONDS, Wish, budget_of, committee_of, fee_up, read_wish
from heldout.market.money import Wei, format_tokens
from heldout.market.spans import format_span
from heldout.market.texts import text

_TOML = """\
[job]
name = "{name}"

[task]
dir = "task"
command = ["python", "/in/task/train.py"]
graph = "graph.onnx"

[data]
path = "data"
shards = 20
held_out = 6

[score]
metric = "{metric}"
floor = {floor}
target = {target}

[pay]
price = {price}
lanes = {lanes}
validators = {validators}

[resources]
cpus = {cpus}
memory = "{memory} GiB"
disk = "256 MiB"
gpus = {gpus}
seconds = {seconds}

[deadlines]
bids = "10 min"
work = "{work}"
release = "5 min"
commit = "15 min"
reveal = "10 min"
challenge = "30 min"
"""


@dataclass(frozen=True)
class Draft:
    """A job.toml, what it would cost at most, and what was assumed."""

    wish: Wish
    fee: Wei
    """Of one seat."""

    @property
    def fees(self) -> Wei:
        return Wei(self.fee * self.wish.validators)

    @property
    def spent(self) -> Wei:
        """The most that does not come back."""
        return Wei(self.wish.price * self.wish.lanes + self.fees)

    @property
    def bond(self) -> Wei:
        """Comes back unless keys are withheld: 20 %, rounded up (P2.2)."""
        return Wei(-(-self.wish.price * self.wish.lanes // 5))

    def fields(self) -> dict[str, str]:
        """Every value that depends on the wish, as text: the wizard opens with these filled in."""
        wish, seconds = self.wish, self.wish.seconds or USUAL_SECONDS
        return {
            "name": "digits" if wish.digits else "my-model",
            "metric": wish.metric,
            "floor": f"{wish.floor:f}",
            "target": f"{wish.target:f}",
            "price": format_tokens(wish.price, 2).replace(",", ""),
            "lanes": str(wish.lanes),
            "validators": str(wish.validators),
            "cpus": str(wish.cpus),
            "memory": str(wish.memory_gib),
            "gpus": str(wish.gpus),
            "seconds": str(seconds),
            "work": format_span(max(300, 2 * seconds)),
        }

    @property
    def toml(self) -> str:
        return _TOML.format(**self.fields())

    @property
    def price_line(self) -> str:
        return text(
            "draft.price",
            total=format_tokens(self.spent, 2),
            price=format_tokens(self.wish.price, 2),
            lanes=self.wish.lanes,
            fees=format_tokens(self.fees, 2),
            validators=self.wish.validators,
            bond=format_tokens(self.bond, 2),
        )

    def assumed(self) -> Iterator[str]:
        """In sentences."""
        wish = self.wish
        yield text("draft.digits") if wish.digits else text("draft.data")
        if wish.budget is None:
            yield text("draft.no_budget", price=format_tokens(wish.price, 2))
        else:
            yield text("draft.budget", budget=wish.budget)
        if wish.asked is not None and wish.asked != wish.validators:
            agreeing = wish.asked == (wish.validators + 1) // 2
            key = "draft.certainty" if agreeing else "draft.committee"
            yield text(key, asked=wish.asked, validators=wish.validators)
        if not wish.floor_said:
            yield text("draft.no_floor", metric=wish.metric, floor=wish.floor)
        for words in wish.unread:
            yield text("draft.unread", words=words)
        if wish.seconds is None:
            yield text("draft.minutes", seconds=USUAL_SECONDS)


def draft(sentence: str, minimum_fee: Wei) -> Draft | None:
    """None if the budget that is named does not even pay the seats."""
    wish = read_wish(sentence, minimum_fee)
    return Draft(wish, fee_up(wish.price * wish.lanes, minimum_fee)) if wish else None


def too_little(sentence: str) -> str:
    """Why there is no draft."""
    return text("draft.too_little", budget=budget_of(sentence), validators=committee_of(sentence)[1])
