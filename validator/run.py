"""`heldout validator run`: the parts, put together, and turned over until somebody asks to stop."""

import argparse
import logging
import os
import shlex
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

from heldout.kernels.child import ScoreRequest, ScoreResult
from heldout.kernels.errors import KernelError
from heldout.market.alarm import Alarm, Channel, command_channel, webhook_channel
from heldout.market.artifacts import Stores, artifact_id
from heldout.market.chain import Block, Chain, Outbox, connect
from heldout.market.chain.fees import FeePolicy
from heldout.market.console import home_path, load_network, open_keys, start_logging
from heldout.market.daemon import Loop, Pace, metrics_server, stopping_on_signals
from heldout.market.errors import ChainProblem, HeldoutError
from heldout.market.failpoint import failpoints
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.mail import Mail
from heldout.market.messages import Letter
from heldout.market.settings import Network
from heldout.validator import scoring
from heldout.validator.ballots import Ballots
from heldout.validator.bench import Bench
from heldout.validator.board import Board
from heldout.validator.exchanging import GRACE_S
from heldout.validator.forwarding import handed_on
from heldout.validator.letters import Letters
from heldout.validator.measuring import Tools, measure
from heldout.validator.node import RESERVE_GAS, Parts, ValidatorNode
from heldout.validator.opening import Get, Reader
from heldout.validator.relaying import Relay
from heldout.validator.seats import seats_of
from heldout.validator.watch import Watch

log = logging.getLogger(__name__)

SCORER_MEMORY = 12 << 30
"""Bytes of address space of one scoring process: enough for whatever the bounds of graph, weights and rows let through
(P9.1). The most weights take 6.6 GiB while they are rounded (26 bytes each), held-out rows 2, one row's tensors 1."""


@dataclass(frozen=True)
class Options:
    """What an operator may choose."""

    metrics: str
    period_s: float
    alarm_command: tuple[str, ...] = ()
    alarm_webhook: str = ""
    device: str = scoring.CPU
    grace_s: int = GRACE_S
    """How long a seat leaves its commit and its reveal to whoever posts those of all; 0: not at all (P6.1)."""
    announce: bool = False
    """Without a service, send these letters over the chain."""


def run(args: argparse.Namespace) -> int:
    """Commit, reveal and settle for all seats of this node's hot key, until stopped."""
    start_logging(args)
    network, keys, home = load_network(args), open_keys(args), home_path(args)
    alarm_command = tuple(shlex.split(args.alarm_command))
    road = (args.relay_grace, args.relay_announce)
    options = Options(args.metrics, args.period, alarm_command, args.alarm_webhook, args.device, *road)
    stop = threading.Event()
    with stopping_on_signals(stop), assembled(network, keys, home, options, stop) as (loop, _):
        loop.run()
    log.info("stopped")
    return 0


@contextmanager
def assembled(
    network: Network, keys: KeyRing, home: Path, options: Options, stop: threading.Event
) -> Iterator[tuple[Loop[Block], Alarm]]:
    """A node in `home`, which nobody else may use meanwhile. Raises AlreadyRunning, WrongNetwork, ChainProblem."""
    registry = CollectorRegistry()
    alarm = Alarm(_channels(options), registry=registry)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(home / "journal"))
        scratch = stack.enter_context(emptied(home / "scratch"))
        chain = connect(network)
        stack.callback(chain.close)
        outbox = Outbox(chain, keys.account, journal, policy=FeePolicy(reserve_gas=RESERVE_GAS), alarm=alarm.ring)
        mail = Mail(network, chain, keys.account, outbox)
        stack.callback(mail.close)
        device = proven_device(options.device, alarm)
        ballots = Ballots(journal, keys.vote_secret)
        deliver = partial(mail.send, fallback=options.announce)
        sent = Counter("heldout_validator_sent", "Transactions, by function", ["function"], registry=registry)
        relay = Relay(chain, keys.account, ballots, deliver, options.grace_s)
        parts = Parts(
            chain=chain,
            outbox=outbox,
            watch=Watch(chain, journal, keys.address),
            ballots=ballots,
            bench=Bench(partial(measure, tools=tools(network, keys, scratch, device or scoring.CPU)), alarm),
            letters=Letters(journal, keys.address, lambda: relay.sifted(mail.fetch())),
            relay=relay,
            forward=partial(_hand_on, chain, keys, mail),
            alarm=alarm,
            show=Board(home, bool(device), registry).show,
            sent=lambda function: sent.labels(function).inc(),
            reach=failpoints(network, os.environ),
            capable=bool(device),
        )
        pace = Pace(options.period_s)
        loop = Loop(ValidatorNode(parts, keys.address), chain.head, alarm, registry=registry, pace=pace, stop=stop)
        host, port = stack.enter_context(metrics_server(options.metrics, registry, lambda: loop.ready))
        with suppress(ChainProblem):
            if not seats_of(chain, chain.head(), hot=keys.address):
                log.warning("no seats yet, so nothing to do: `heldout validator stake N --cold DIR`")
        log.info("online as %s, metrics on http://%s:%d/metrics", keys.address, host, port)
        yield loop, alarm


def _hand_on(chain: Chain, keys: KeyRing, mail: Mail, letters: Sequence[Letter], seats: Iterable[int]) -> None:
    """A carrier that is down is passed over: whoever was demanded still has to answer on chain."""
    reader, asked = Reader(keys.address, keys.wrap_private), list(seats)
    try:
        recipients = chain.agreed(lambda each: each.recipients(asked))
        for recipient in dict.fromkeys(recipients.values()):
            for letter in handed_on(letters, reader, keys.seed, recipient):
                mail.send(letter)
    except HeldoutError as problem:
        log.warning("letters could not be handed on: %s", problem.message)


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """A folder for plaintext: empty now, whatever a killed node has left in it, and gone afterwards (P4.7, P11d)."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tools(network: Network, keys: KeyRing, scratch: Path, device: str = scoring.CPU) -> Tools:
    """What measuring needs: this node's wrapping key, the network's stores, and the scoring process."""

    def score(request: ScoreRequest, timeout_s: float) -> ScoreResult:
        return scoring.score(request, timeout_s=timeout_s, memory_bytes=SCORER_MEMORY, device=device)

    return Tools(Reader(keys.address, keys.wrap_private), _getter(Stores.of(network.stores)), score, scratch)


def _getter(stores: Stores) -> Get:
    return lambda digest, limit: stores.get(artifact_id(digest), limit)


def proven_device(wanted: str, alarm: Alarm) -> str:
    """The device that reproduces the known answers; none, and so no vote, if not even the CPU does (P9.4)."""
    try:
        return scoring.proven_device(wanted, lambda told: alarm.ring("device_failed", told))
    except KernelError as problem:
        told = f"this machine does not score as all others do, and will not vote: {problem.message}"
        alarm.ring("self_test_failed", told)
        return ""


def _channels(options: Options) -> list[Channel]:
    channels = [command_channel(options.alarm_command)] if options.alarm_command else []
    return channels + ([webhook_channel(options.alarm_webhook)] if options.alarm_webhook else [])
