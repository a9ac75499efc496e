"""What a sentence about a job says: budget, committee, metric, scores, time, machine. Pure."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from heldout.market.money import Wei, parse_tokens
from heldout.market.terms import METRICS

COMMITTEES: Final = (3, 5, 7)
LOWER_IS_BETTER: Final = frozenset({"rmse", "mae", "log_loss", "perplexity"})
USUAL_PRICE: Final = parse_tokens("100")
USUAL_SECONDS: Final = 600

_FEE_RATE: Final = 75, 10_000
"""Of price × lanes, to each seat: 0.75 % (P5.6)."""
_FLOORS: Final = {"log_loss": ("0.5", "0.2"), "perplexity": ("40", "20"), "rmse": ("1.0", "0.5"), "mae": ("1.0", "0.5")}
_NAMES: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_N: Final = rf"(\d+(?:\.\d+)?|{'|'.join(_NAMES)})"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_WISH = _pattern(r"\b(train|draft|post|make|write|create|want|need|fit|learn)\b")
_THING = _pattern(r"\b(job|model|classifier|regression|network|digits|job\.toml)\b")
_QUESTION = _pattern(r"\s*(what|why|how|who|when|where|is|are|does|do|can|may|which)\b")
_BUDGET = _pattern(
    rf"(?:under|below|up to|at most|no more than|max|for|within|budget(?: of)?)\s+{_N}\s*(?:tokens?|held)\b"
)
_VALIDATORS = _pattern(rf"{_N}\s+(?:validator|seat)s?")
_COMMITTEE = _pattern(rf"(?:committee|validators|seats)\s+(?:of|=|:)\s*{_N}")
_AGREEING = _pattern(r"worth|agree|majority|certain")
_SCORE = _pattern(rf"(?:at least|above|over|reach(?:es|ing)?|floor(?: of)?|[<>]=?|below|under|at most)\s*{_N}\s*(%)?")
_NOT_A_SCORE = _pattern(r"\s*(tokens?|held|s\b|sec|min|h\b|hour)")
_TIME = _pattern(rf"(?:in|within|for|takes?|under)\s+{_N}\s*(s|sec|seconds?|min|minutes?|m|h|hours?)\b")
_LANES = _pattern(rf"{_N}\s+(?:lanes?|providers?|models)\b")
_CPUS = _pattern(rf"{_N}\s+(?:cpus?|cores?)\b")
_MEMORY = _pattern(rf"{_N}\s*(?:GiB|GB|gigs?)\b")


@dataclass(frozen=True)
class Wish:
    """A job as it was asked for. None: it was not said."""

    digits: bool
    metric: str
    floor: Decimal
    target: Decimal
    floor_said: bool
    budget: Decimal | None
    price: Wei
    """A lane."""
    lanes: int
    asked: Decimal | None
    """Validators, in the words of the sentence."""
    validators: int
    cpus: int
    gpus: int
    memory_gib: int
    seconds: int | None


def wants_draft(question: str) -> bool:
    """Whether a sentence asks for a job rather than about one."""
    return bool(_WISH.search(question) and _THING.search(question) and not _QUESTION.match(question))


def read_wish(sentence: str, minimum_fee: Wei) -> Wish | None:
    """None if the budget that is named does not even pay the seats. `minimum_fee` is the market's, per seat."""
    digits = _pattern(r"\bdigits?\b").search(sentence) is not None
    metric, lanes = metric_of(sentence), max(1, min(8, _count(_LANES, sentence)))
    (asked, validators), budget = committee_of(sentence), budget_of(sentence)
    price = _price(budget, lanes, validators, minimum_fee)
    if price is None:
        return None
    floor, target, floor_said = _scores(sentence, metric, digits)
    return Wish(
        digits=digits,
        metric=metric,
        floor=floor,
        target=target,
        floor_said=floor_said,
        budget=budget,
        price=price,
        lanes=lanes,
        asked=asked,
        validators=validators,
        cpus=_count(_CPUS, sentence),
        gpus=int(_pattern(r"\b(gpu|cuda)s?\b").search(sentence) is not None),
        memory_gib=_count(_MEMORY, sentence),
        seconds=_seconds(sentence),
    )


def budget_of(sentence: str) -> Decimal | None:
    """Tokens that may be spent."""
    return _first(_BUDGET, sentence)


def metric_of(sentence: str) -> str:
    """The metric that is named, the longest name first; rmse for a regression, else accuracy."""
    plain = re.sub(r"[ -]", "_", sentence.lower())
    named = [name for name in METRICS if re.search(rf"(?<![a-z]){name}(?![a-z])", plain)]
    return max(named, key=len, default="rmse" if "regress" in plain else "accuracy")


def committee_of(sentence: str) -> tuple[Decimal | None, int]:
    """What was asked for, and the committee: k validators that agree are a majority of 2k - 1."""
    asked = _first(_COMMITTEE, sentence) or _first(_VALIDATORS, sentence)
    if asked is None:
        return None, COMMITTEES[0]
    wanted = 2 * asked - 1 if _AGREEING.search(sentence) and asked not in COMMITTEES[1:] else asked
    return asked, next((size for size in COMMITTEES if size >= wanted), COMMITTEES[-1])


def fee_up(value: int, minimum_fee: Wei) -> Wei:
    """A seat's fee for a job whose lanes may cost `value`, rounded up."""
    share, whole = _FEE_RATE
    return Wei(max(minimum_fee, -(-value * share // whole)))


def _price(budget: Decimal | None, lanes: int, validators: int, minimum_fee: Wei) -> Wei | None:
    """A lane's, in hundredths of a token, so that all lanes and all fees together stay within the budget."""
    if budget is None:
        return USUAL_PRICE
    tokens, hundredth, (share, whole) = parse_tokens(str(budget)), 10**16, _FEE_RATE
    value = min(tokens * whole // (whole + validators * share) - validators, tokens - validators * minimum_fee)
    price = value // lanes // hundredth * hundredth
    return Wei(price) if price > 0 else None


def _scores(sentence: str, metric: str, digits: bool) -> tuple[Decimal, Decimal, bool]:
    """Floor, target, and whether the floor was said."""
    said = [match for match in _SCORE.finditer(sentence) if not _NOT_A_SCORE.match(sentence, match.end())]
    if metric in LOWER_IS_BETTER:
        floor, target = map(Decimal, _FLOORS[metric])
        return (_number(said[0][1]), _number(said[0][1]) / 2, True) if said else (floor, target, False)
    shares = [_number(match[1]) / (100 if match[2] or _number(match[1]) > 1 else 1) for match in said]
    if shares and Decimal("0.01") <= shares[0] < 1:
        return shares[0], _halfway_to_one(shares[0]), True
    return (Decimal("0.93"), Decimal("0.98"), False) if digits else (Decimal("0.80"), Decimal("0.90"), False)


def _halfway_to_one(score: Decimal) -> Decimal:
    return (score + (1 - score) / 2).quantize(Decimal("0.000001")).normalize()


def _seconds(sentence: str) -> int | None:
    match = _TIME.search(sentence)
    return None if match is None else max(1, int(_number(match[1]) * _UNITS[match[2][0].lower()]))


def _first(pattern: re.Pattern[str], sentence: str) -> Decimal | None:
    match = pattern.search(sentence)
    return None if match is None else _number(match[1])


def _count(pattern: re.Pattern[str], sentence: str) -> int:
    return max(1, int(_first(pattern, sentence) or 1))


def _number(word: str) -> Decimal:
    return Decimal(_NAMES.index(word.lower()) if word.lower() in _NAMES else word)
