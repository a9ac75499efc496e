"""`provider.toml`: what this machine asks, what it offers, and whom it calls. Parsing only; no disk, no environment."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from heldout.market.errors import BadInput
from heldout.market.money import Wei, format_tokens, parse_tokens
from heldout.provider.bidding import Offer
from heldout.provider.duties import NEVER_WAIVE
from heldout.provider.owner import When, parse_hours

FILE_NAME = "provider.toml"
WAIVE_AT = 100
"""By default only a lane that is paid in full has nothing to appeal."""
RUNNERS = ("docker", "podman", "process")
_KEYS = {
    "pay": {"price", "minimum", "strict", "waive_at", "agree_at"},
    "offer": {"cpus", "memory", "disk", "gpus", "jobs", "failing", "accelerator"},
    "run": {"runner", "metrics", "gas_reserve", "checkpoint_s"},
    "alarm": {"command", "webhook"},
    "when": {"hours", "idle_minutes", "on_battery", "hottest", "freeze", "at_risk"},
}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|TiB)")
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

_TEMPLATE = """\
# What this machine asks and what it offers. Check it with `heldout provider doctor`.
[pay]
{price}
minimum = "{minimum}"   # tokens: never bid less for a whole job
# strict = "…"          # as price, for jobs that want a kernel of their own (gVisor); left out: not offered
waive_at = {waive_at}          # percent of the bid: what is paid this much is settled at once, unappealed; 101: never
agree_at = {agree_at}          # percent of the bid: sign what the requester proposes from this on; 101: never

[offer]
cpus = {cpus}
memory = "{memory}"
disk = "{disk}"
gpus = {gpus}
jobs = 1                # at the same time
failing = 2             # jobs of one requester whose program failed here, from which on it gets no bid; 0: no limit
accelerator = ""        # what the gpus are: "cuda", "vulkan", or a plug-in's name

[run]
runner = "{runner}"     # "process" isolates nothing and runs on a devnet only
metrics = "127.0.0.1:0" # /metrics, /healthz, /readyz; port 0 lets the system choose
gas_reserve = "0.01"    # of the chain's own coin: below it no new work is taken
checkpoint_s = 300      # seconds, at least, between sealed checkpoints of a job in the stores; 0: none leaves here

[alarm]
command = []            # words; gets one JSON object on stdin
webhook = ""            # URL; gets the same object by POST

[when]                  # to take new work; see also `heldout provider pause`
hours = ""              # such as "22:00-07:00, 12:00-13:00"; empty means always
idle_minutes = 0        # since somebody last used a terminal or the desktop
on_battery = false
hottest = 0             # degrees Celsius of the hottest sensor; 0 means no limit
freeze = false          # true: the above also freezes a running job, until it holds again
at_risk = "thaw"        # a frozen job that may miss its deadline: "thaw" it, or let it "wait" and risk the collateral
"""


@dataclass(frozen=True)
class Config:
    """A parsed provider.toml."""

    offer: Offer
    gas_reserve: Wei
    """Of the chain's own coin."""
    waive_at: int = WAIVE_AT
    """Percent of the bid from which a lane's challenge is signed away (P6.1); NEVER_WAIVE for never."""
    agree_at: int = NEVER_WAIVE
    """Percent of the bid from which an outcome that the requester proposes is signed unmeasured; off by default."""
    runner: str = "docker"
    accelerator: str = ""
    """A plug-in of the group `heldout.accelerators`; empty: none."""
    metrics: str = "127.0.0.1:0"
    checkpoint_s: int = 300
    """Least seconds between two sealed checkpoints; 0: none leaves this machine."""
    alarm_command: tuple[str, ...] = ()
    alarm_webhook: str = ""
    when: When = field(default_factory=When)


def parse(text: str) -> Config:
    """Raises BadInput with code `price_unset` if no price is given, `bad_config` for everything else."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise _bad(f"{FILE_NAME}: {problem}") from None
    _refuse_unknown(raw, _KEYS, "")
    for section, keys in _KEYS.items():
        if not isinstance(raw.setdefault(section, {}), dict):
            raise _bad(f"{FILE_NAME}: {section} must be a section, [{section}]")
        _refuse_unknown(raw[section], dict.fromkeys(keys), f"[{section}] ")
    pay, offer, run, alarm, when = (raw[section] for section in _KEYS)
    if not pay.get("price"):
        hint = 'write price = "1.40" (tokens per job-hour) under [pay], or use `heldout provider init --price 1.40`'
        raise BadInput("no price is set: a node that works for nothing is a mistake", hint=hint, code="price_unset")
    runner = _text(run, "runner", "docker")
    if runner not in RUNNERS:
        raise _bad(f'[run] runner = "{runner}": use "docker" or "podman", or "process" on a devnet')
    command = alarm.get("command", [])
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise _bad('[alarm] command must be a list of words, such as ["notify-send", "heldout"]')
    return Config(
        offer=Offer(
            price=_positive(pay, "price"),
            minimum=parse_tokens(_text(pay, "minimum", "0")),
            strict=_positive(pay, "strict") if "strict" in pay else None,
            cpus=_count(offer, "cpus", 1, least=1),
            memory_bytes=_size(offer, "memory", "1 GiB"),
            disk_bytes=_size(offer, "disk", "1 GiB"),
            gpus=_count(offer, "gpus", 0, least=0),
            jobs=_count(offer, "jobs", 1, least=1),
            failing=_count(offer, "failing", 2, least=0),
        ),
        runner=runner,
        accelerator=_text(offer, "accelerator", ""),
        metrics=_text(run, "metrics", "127.0.0.1:0"),
        gas_reserve=parse_tokens(_text(run, "gas_reserve", "0.01")),
        checkpoint_s=_count(run, "checkpoint_s", 300, least=0),
        waive_at=_percent(pay, "waive_at", WAIVE_AT),
        agree_at=_percent(pay, "agree_at", NEVER_WAIVE),
        alarm_command=tuple(command),
        alarm_webhook=_text(alarm, "webhook", ""),
        when=When(
            hours=parse_hours(_text(when, "hours", "")),
            idle_minutes=_count(when, "idle_minutes", 0, least=0),
            on_battery=_flag(when, "on_battery"),
            hottest=_count(when, "hottest", 0, least=0),
            freeze=_flag(when, "freeze"),
            thaw_at_risk=_at_risk(_text(when, "at_risk", "thaw")),
        ),
    )


def render(
    offer: Offer | None,
    *,
    cpus: int,
    memory_bytes: int,
    disk_bytes: int,
    gpus: int,
    runner: str,
    waive_at: int = WAIVE_AT,
    agree_at: int = NEVER_WAIVE,
) -> str:
    """A provider.toml for a machine. Without an offer the price is left out, and the file refuses to be used."""
    price = f'price = "{_plain(offer.price)}"' if offer else '# price = "…"          # not set'
    return _TEMPLATE.format(
        price=f"{price.ljust(23)} # tokens per job-hour; there is no default",
        minimum=_plain(offer.minimum) if offer else "0.0",
        cpus=cpus,
        memory=f"{max(1, memory_bytes >> 20)} MiB",
        disk=f"{max(1, disk_bytes >> 20)} MiB",
        gpus=gpus,
        runner=runner,
        waive_at=waive_at,
        agree_at=agree_at,
    )


def _plain(wei: Wei) -> str:
    return format_tokens(wei, places=1).replace(",", "")


def _bad(message: str) -> BadInput:
    return BadInput(message, hint="`heldout provider init` writes a sound file", code="bad_config")


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, 1)
            raise _bad(f"{where}{name} is not known" + (f": did you mean {close[0]}?" if close else ""))


def _text(section: Mapping[str, Any], key: str, default: str) -> str:
    value = section.get(key, default)
    if not isinstance(value, str):
        raise _bad(f'{key} must be text in quotes: write {key} = "{value}"')
    return value


def _positive(section: Mapping[str, Any], key: str) -> Wei:
    value = parse_tokens(_text(section, key, "0"))
    if value == 0:
        raise BadInput(f"{key} is zero: a node that works for nothing is a mistake", code="price_unset")
    return value


def _flag(section: Mapping[str, Any], key: str) -> bool:
    value = section.get(key, False)
    if not isinstance(value, bool):
        raise _bad(f"{key} must be true or false")
    return value


def _count(section: Mapping[str, Any], key: str, default: int, *, least: int) -> int:
    value = section.get(key, default)
    if type(value) is not int or value < least:
        raise _bad(f"{key} must be a whole number of at least {least}")
    return value


def _at_risk(text: str) -> bool:
    if text not in ("thaw", "wait"):
        raise _bad(f'[when] at_risk = "{text}": use "thaw" or "wait"')
    return text == "thaw"


def _percent(section: Mapping[str, Any], key: str, default: int) -> int:
    value = _count(section, key, default, least=0)
    if value > NEVER_WAIVE:
        raise _bad(f"{key} is a share of the bid in percent, at most {NEVER_WAIVE} for never")
    return value


def _size(section: Mapping[str, Any], key: str, default: str) -> int:
    text = _text(section, key, default)
    match = _SIZE.fullmatch(text.strip())
    if not match or int(match[1]) == 0:
        raise _bad(f'{key} = "{text}" is not a size: write for example "4 GiB" or "512 MiB"')
    return int(match[1]) * _UNITS[match[2]]
