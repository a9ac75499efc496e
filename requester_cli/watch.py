"""`heldout job watch` and `heldout requester run`: following jobs, and doing what is due for them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from heldout.market.console import emit, say
from heldout.requester_cli.session import chosen_job, job_argument, reading, signing

if TYPE_CHECKING:
    from collections.abc import Callable

    from heldout.market.lifecycle import JobState
    from heldout.requester_cli.client import Client
    from heldout.requester_cli.duties import Policy

_JOURNAL = "keeper"
"""One process does the duties of all of a requester's jobs. Whoever comes second looks on until the first ends."""

STAYS = "run"
"""Held by `requester run` alone: who holds it does not leave when one job has ended."""


def watch_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    _policy_arguments(parser)
    parser.add_argument("--look-only", action="store_true", help="release no keys and send nothing; needs no password")


def watch(args: argparse.Namespace) -> int:
    """Follow a job to its end, a line for each event, and do your part of it: accept the cheapest bids, release keys
    when they are due and only then, answer demands, demand what is not delivered, fetch what you paid for, settle.
    Your other jobs are looked after meanwhile. Exit code 0 if a lane was paid, 5 if none was, 6 if the job expired.
    Stop and start it as you like, or leave `heldout requester run` working instead."""
    with reading(args) as client:
        job = chosen_job(args, client)
        teller = _Teller(args, job)
        if not args.look_only:
            return _on_duty(args, client, job, teller)
        teller.until_final(client)
        return _end(args, client, job)


def _on_duty(args: argparse.Namespace, onlooker: "Client", job: "JobState", teller: "_Teller") -> int:
    """Does the duties, as soon as no other process does."""
    from heldout.market.console import home_path, load_network, open_keys
    from heldout.market.errors import AlreadyRunning
    from heldout.requester_cli.client import Client

    network, keys, home = load_network(args), open_keys(args), home_path(args)
    while True:
        with Client(network, keys, home=home, journal=_JOURNAL) as client:
            try:
                client.keep(job.id, policy=_policy(args), on_cycle=lambda _: teller.tell(client), alone=False)
                return _end(args, client, job)
            except AlreadyRunning as other:
                if chosen := _chosen_policy(args):
                    hint = "stop that process first, or start it with the same options"
                    raise AlreadyRunning(
                        f"another process does your duties, and not with {chosen}", hint=hint
                    ) from other
        say("another `job watch` or `requester run` does your duties: looking on, and on duty when it ends")
        if teller.until_final(onlooker, or_=lambda: _is_free(home)):
            return _end(args, onlooker, job)


def _is_free(home: Path) -> bool:
    """Whether nobody does the duties of the key ring in `home`."""
    from heldout.market.errors import AlreadyRunning
    from heldout.market.journal import Journal

    try:
        Journal(home / "journals" / _JOURNAL).close()
    except AlreadyRunning:
        return False
    return True


class _Teller:
    """Says what happened to a job since it was asked last."""

    def __init__(self, args: argparse.Namespace, job: "JobState") -> None:
        self._args, self._job = args, job
        self._told: set[str] = set()
        self._heard: dict[int, dict[str, float]] = {}

    def until_final(self, client: "Client", or_: "Callable[[], bool]" = lambda: False) -> bool:
        """Tell until the job is final, or something else is the case. Whether it is final."""
        import time

        while not (final := self.tell(client)) and not or_():
            time.sleep(1)
        return final

    def tell(self, client: "Client") -> bool:
        """Whether the job is final."""
        from heldout.market.narration import clock, narrate

        final = client.is_past(self._job)
        for event in client.events(self._job):
            final = final or event.name == "Settled"
            if event.id in self._told:
                continue
            self._told.add(event.id)
            told = {"event": event.name, "id": event.id, "tx": event.tx, "text": narrate(event)}
            emit(self._args, told, f"{clock(event.timestamp)[11:19]}  {narrate(event)}")
        if not final:
            self._tell_readings(client)
        return final

    def _tell_readings(self, client: "Client") -> None:
        """The latest of what trainings print, by their providers' word."""
        for lane, lines in client.readings(self._job).items():
            if lines and lines[-1] != self._heard.get(lane):
                self._heard[lane] = lines[-1]
                said = "  ".join(f"{name} {value:g}" for name, value in lines[-1].items())
                heard = {"event": "reading", "lane": lane, "reading": lines[-1]}
                emit(self._args, heard, f"          lane {lane} says  {said}")


def _end(args: argparse.Namespace, client: "Client", watched: "JobState") -> int:
    from heldout.market.errors import OutcomeNegative, TimedOut
    from heldout.market.lifecycle import Outcome
    from heldout.market.roads import roads_of
    from heldout.requester_cli.report import as_json, lines

    if client.is_past(watched):
        raise TimedOut("the call is over and nobody was accepted; nothing was locked", code="expired")
    job = client.job(watched.id)
    roads = roads_of(client.events(job))
    emit(args, {"event": "end", "job": as_json(job)}, "", *lines(job, job.deadline, roads))
    if job.outcome is Outcome.EXPIRED:
        raise TimedOut("no bid was accepted in time; everything was refunded", code="expired")
    if not any(lane.payout for lane in job.lanes):
        raise OutcomeNegative(f"the job ended ({job.outcome.name.lower()}) and no lane was paid", code="nothing_bought")
    return 0


def run_arguments(parser: argparse.ArgumentParser) -> None:
    _policy_arguments(parser)
    parser.add_argument("--metrics", metavar="HOST:PORT", help="serve /metrics, /healthz and /readyz here")
    parser.add_argument(
        "--alarm-command", metavar="PROGRAM", help="run with a JSON object on stdin when a duty is at risk"
    )
    parser.add_argument("--alarm-webhook", metavar="URL", help="POST the same object there")


def run(args: argparse.Namespace) -> int:
    """Do what is due for all your jobs until stopped: accept, release, answer, demand, settle, fetch. Safe to kill and
    to start again at any time; a lost disk loses nothing if the key ring is backed up."""
    import threading
    from contextlib import ExitStack

    from prometheus_client import CollectorRegistry

    from heldout.market.alarm import Alarm, command_channel, webhook_channel
    from heldout.market.console import home_path, start_logging
    from heldout.market.daemon import Loop, metrics_server, stopping_on_signals
    from heldout.market.journal import Journal

    start_logging(args)
    registry, stop = CollectorRegistry(), threading.Event()
    channels = [command_channel([str(Path(args.alarm_command))])] if args.alarm_command else []
    channels += [webhook_channel(args.alarm_webhook)] if args.alarm_webhook else []
    alarm = Alarm(channels, registry=registry)
    with signing(args, journal=_JOURNAL) as client, ExitStack() as stack:
        stack.enter_context(Journal(home_path(args) / "journals" / STAYS))
        keeper = client.keeper(alarm, policy=_policy(args))
        loop = Loop(keeper, client.chain.head, alarm, registry=registry, stop=stop)
        stack.enter_context(stopping_on_signals(stop))
        if args.metrics:
            host, port = stack.enter_context(metrics_server(args.metrics, registry, lambda: loop.ready))
            say(f"metrics on http://{host}:{port}/metrics")
        say(f"working for {client.address}; ^C stops it")
        loop.run()
    return 0


def _policy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-after", metavar="SPAN", help="take bids this long after post (default: half the window)"
    )
    parser.add_argument("--accept-by-hand", action="store_true", help="leave bids to `heldout job accept`")
    parser.add_argument(
        "--waive",
        choices=("verified", "trusted", "never"),
        default="verified",
        help="end the challenge early, with the providers: once paid weights are here and measured again, or just here",
    )


def _chosen_policy(args: argparse.Namespace) -> str:
    """The options of `_policy_arguments` that were given, as a person writes them."""
    given = {"--accept-after": args.accept_after, "--accept-by-hand": args.accept_by_hand}
    waive = {"--waive": args.waive != "verified"}
    return ", ".join(option for option, value in (given | waive).items() if value)


def _policy(args: argparse.Namespace) -> "Policy":
    from heldout.market.spans import parse_span
    from heldout.requester_cli.duties import Policy, Waiving

    after = None if args.accept_after is None else parse_span(args.accept_after)
    return Policy(accept_after=after, accept=not args.accept_by_hand, waiving=Waiving(args.waive))
