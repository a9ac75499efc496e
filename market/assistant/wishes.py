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
_METRIC = "|".join(name.replace("_", "[ _-]") for name in sorted(METRICS, key=len, reverse=True))
_BEFORE_A_SCORE = "at least|above|over|reach(?:es|ing)?|floor|below|under|at most|[<>]=?"
_SCORE = _pattern(rf"(?:{_BEFORE_A_SCORE}|\b(?:{_METRIC})\b)(?:\s+(?:of|is))?\s*[:=]?\s*{_N}\s*(%)?")
_SCORE_FIRST = _pattern(rf"\b{_N}\s*(%)?\s+(?:{_METRIC})\b")
_TARGET = _pattern(rf"\btarget(?:\s+(?:of|is))?\s*[:=]?\s*{_N}\s*(%)?")
_NOT_A_SCORE = _pattern(
    r"\s*(tokens?|held|s\b|sec|min|h\b|hour|validator|seat|lane|provider|model|cpu|core|gpu|gib|gb|gig)"
)
_LIKE_A_SCORE = _pattern(r"(?<![\w.])(?:0?\.\d+|1\.0+|\d+(?:\.\d+)?\s*%)(?!\w)")
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
    unread: tuple[str, ...]
    """Numbers that look like scores and were not understood."""
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
    floor, target, floor_said, unread = _scores(sentence, metric, digits)
    return Wish(
        digits=digits,
        metric=metric,
        floor=floor,
        target=target,
        floor_said=floor_said,
        unread=unread,
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


def _scores(sentence: str, metric: str, digits: bool) -> tuple[Decimal, Decimal, bool, tuple[str, ...]]:
    """Floor, target, whether the floor was said, and what looks like a score and was not understood."""
    lower, used = metric in LOWER_IS_BETTER, []
    usual = _FLOORS.get(metric) or (("0.93", "0.98") if digits else ("0.80", "0.90"))
    floor, target = map(Decimal, usual)
    said = [match for match in _said(sentence) if lower or Decimal("0.01") <= _share(match) < 1]
    if said:
        used.append(said[0].span(1))
        floor = _number(said[0][1]) if lower else _share(said[0])
        target = floor / 2 if lower else _halfway_to_one(floor)
    for match in _TARGET.finditer(sentence):
        named = _number(match[1]) if lower else _share(match)
        if named < floor if lower else floor < named <= 1:
            used.append(match.span(1))
            target = named
    numbers = [match for match in _LIKE_A_SCORE.finditer(sentence) if not _NOT_A_SCORE.match(sentence, match.end())]
    unread = tuple(m[0] for m in numbers if not any(m.start() <= first < m.end() for first, _ in used))
    return floor, target, bool(said), unread


def _said(sentence: str) -> list[re.Match[str]]:
    """Numbers with words beside them that make them floors, in order."""
    found = [*_SCORE.finditer(sentence), *_SCORE_FIRST.finditer(sentence)]
    scores = [match for match in found if not _NOT_A_SCORE.match(sentence, match.end())]
    return sorted(scores, key=lambda match: match.start(1))


def _share(match: re.Match[str]) -> Decimal:
    """Of one; what is above one, or beside a percent sign, was said in percent."""
    number = _number(match[1])
    return number / 100 if match[2] or number > 1 else number


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
