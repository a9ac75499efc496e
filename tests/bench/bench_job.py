"""A whole job on the plain road, on a devnet of real nodes: gas by step, blocks from submit to settled, idle memory.

The second of two jobs is measured, so that most accounts have been used before; deposits are left out, as protocol P6.2
says. Both are called for before they are posted (`--bids-first`, P2.5). Seats are drawn anew each time: what a job
costs to the unit is in `./run bench gas`. Blocks come once a second.
"""

import tempfile
import time
from collections import defaultdict
from pathlib import Path

from heldout.devnet.devnet import Devnet
from heldout.market.lifecycle import ChainEvent, JobState, State
from tests.bench.figure import report
from tests.bench.resident import IDLE_S, report_resident
from tests.e2e.town import GOOD_ENOUGH, VALIDATORS, Kept, Town, eventually

_STEPS = {
    "Posted": "open",
    "Submitted": "submit",
    "Committed": "commit",
    "Revealed": "reveal",
    "Settled": "settle",
}


def report_memory(devnet: Devnet) -> None:
    time.sleep(IDLE_S)
    running = devnet.processes.running()
    for figure, name in [("provider", "provider-0"), ("validator", "validator-0"), ("market", "service")]:
        report_resident(figure, name, running[name])


def run_job(town: Town, name: str) -> tuple[JobState, list[ChainEvent]]:
    client, job = town.call(name, **GOOD_ENOUGH)
    with Kept(town):
        eventually(lambda: town.chain.job(job).state is not State.NONE, "the job on chain")
        ended = town.until(job, "settlement", lambda j: j.final, 300)
    return ended, client.events(ended)


def report_gas(town: Town, events: list[ChainEvent]) -> None:
    gas: defaultdict[str, list[int]] = defaultdict(list)
    step_of: dict[str, str] = {}
    for event in events:
        if event.name in _STEPS:
            step_of[event.tx] = _STEPS[event.name]
    for tx, step in step_of.items():
        gas[step].append(int(town.devnet.anvil.call("eth_getTransactionReceipt", tx)["gasUsed"], 16))
    method = "receipts of one job, 3 seats, 1 lane, each party's own transactions, second job, deposits out"
    for step in _STEPS.values():
        report(f"gas.plain.{step}", sum(gas[step]), "gas", f"{len(gas[step])} transaction(s) of that job")
    report("gas.plain.receipts", sum(map(sum, gas.values())), "gas", method)


def report_latency(ended: JobState, events: list[ChainEvent]) -> None:
    last = {event.name: event for event in events}
    window = ended.terms.challengeWindow
    blocks = last["Settled"].block - last["Submitted"].block
    seconds = last["Settled"].timestamp - last["Submitted"].timestamp
    method = "from the last submit to settle, less the challenge window; blocks of 1 s, 2 confirmations"
    report("latency.submit_to_settled_blocks", blocks - window, "blocks", method)
    report("latency.submit_to_settled_s", seconds - window, "s", method)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="heldout-bench-") as scratch:
        folder = Path(scratch)
        (folder / "town").mkdir()
        with Devnet.up(folder / "devnet", block_time=1, providers=1, validators=VALIDATORS, relayed=False) as devnet:
            report_memory(devnet)
            town = Town(devnet, folder / "town")
            run_job(town, "first")
            ended, events = run_job(town, "second")
            report_gas(town, events)
            report_latency(ended, events)
            town.close()


if __name__ == "__main__":
    main()
