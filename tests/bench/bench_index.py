"""How fast an index catches up with 100,000 events on an anvil, ours beside ponder's, in turn.

Both are started as their users start them, on nothing, and timed until they say that they stand at the chain's head:
processes, imports and databases included. Ponder stores every event as one row; ours stores it, checks for reorgs, and
folds jobs, lanes, rounds, votes, money, seats and artifacts from it. Ponder is fetched once, at an exact version, into
.cache/ponder.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from heldout.devnet.anvil import free_port
from heldout.devnet.devnet import Devnet
from heldout.market.chain.contracts import interface
from heldout.market.lifecycle import ChainEvent
from tests.bench.figure import report
from tests.bench.told_chain import tell
from tests.scenery import Scenery

EVENTS = 100_000
TURNS = 2
PATIENCE_S = 600.0
ROOT = Path(__file__).parents[2]
PONDER = ROOT / ".cache" / "ponder"
SOURCES = Path(__file__).parent / "ponder"


def main() -> None:
    fetch_ponder()
    with tempfile.TemporaryDirectory() as folder, Devnet.up(Path(folder) / "devnet", service=False) as net:
        tell(net.anvil, net.network.market, many_events())
        net.mine(net.network.confirmations + 1)
        ours, theirs = [], []
        for turn in range(TURNS):
            ours.append(our_turn(net, Path(folder) / f"ours-{turn}"))
            theirs.append(ponder_turn(net, Path(folder) / f"ponder-{turn}"))
    report_turns(ours, theirs)


def report_turns(ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]) -> None:
    method = f"{EVENTS} events on one anvil, from the start of each process to the head; best of {TURNS} in turn"
    seconds, ponder = min(ours), min(theirs)
    report("index.events_ratio_ponder", ponder[0] / seconds[0], "ratio", f"events a second over ponder's: {method}")
    report("index.catch_up_s", seconds[0], "s", method)
    report("index.catch_up_cpu_s", seconds[1], "s", "processor time of that")
    report("index.ponder_s", ponder[0], "s", method)
    report("index.ponder_cpu_s", ponder[1], "s", "processor time of that, of ponder and its children")


def many_events() -> list[ChainEvent]:
    """Two thirds of jobs that were paid, one third of open ones, by events."""
    scene = Scenery()
    scene.stake(8)
    number = 0
    while len(scene.events) < EVENTS:
        play = scene.job(f"past {number}").accept((f"provider {number % 1000}", 50 + number % 40)).submit()
        score = 950_000 + number % 30_000
        play.commit(4, 9, 17).reveal(*[[score]] * 3).settle(score)
        for open_ in range(3):
            scene.job(f"open {number} {open_}")
        number += 1
    return scene.events[:EVENTS]


def our_turn(net: Devnet, folder: Path) -> tuple[float, float]:
    """Wall and processor seconds."""
    folder.mkdir()
    head = net.chain().head().number
    url = f"http://127.0.0.1:{free_port()}"
    files = ["--network", str(net.network_file), "--db", str(folder / "db")]
    words = [sys.executable, "-m", "heldout", "market", "serve", *files, "--listen", url.partition("://")[2]]
    return timed(words, folder, dict(os.environ), lambda: (ask(f"{url}/v1/network").json()["block"] or 0) >= head)


def ponder_turn(net: Devnet, folder: Path) -> tuple[float, float]:
    """Wall and processor seconds."""
    folder.mkdir()
    told = interface("Market")
    known = {
        "rpc": net.anvil.url,
        "chainId": net.network.chain_id,
        "address": net.network.market,
        "startBlock": net.network.deploy_block,
        "abi": list(told.events.values()),
        "names": sorted(item["name"] for item in told.events.values()),
    }
    (folder / "bench.json").write_text(json.dumps(known))
    shutil.rmtree(PONDER / ".ponder", ignore_errors=True)
    port = free_port()
    quiet = {"PONDER_TELEMETRY_DISABLED": "true", "HELDOUT_BENCH": str(folder / "bench.json")}
    words = [str(PONDER / "node_modules" / ".bin" / "ponder"), "start", "--schema", "bench", "--port", str(port)]
    words += ["--root", str(PONDER), "--hostname", "127.0.0.1"]
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        return ask(f"{url}/ready").status_code == 200 and ask(f"{url}/count").json()[0]["events"] >= EVENTS

    return timed(words, folder, os.environ | quiet, ready)


def timed(
    words: Sequence[str], folder: Path, environment: dict[str, str], ready: Callable[[], bool]
) -> tuple[float, float]:
    began = time.monotonic()
    with running(words, folder / "log", environment) as child:
        while not is_so(ready):
            if child.poll() is not None or time.monotonic() - began > PATIENCE_S:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            time.sleep(0.05)
        return time.monotonic() - began, processor_seconds(child.pid)


def processor_seconds(pid: int) -> float:
    parent = psutil.Process(pid)
    times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def is_so(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (httpx2.HTTPError, ValueError, KeyError):
        return False


def ask(url: str) -> httpx2.Response:
    return httpx2.get(url, trust_env=False, timeout=2)


@contextmanager
def running(words: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        child = subprocess.Popen(words, stdout=file, stderr=file, env=environment, start_new_session=True)
    try:
        yield child
    finally:
        for process in psutil.Process(child.pid).children(recursive=True):
            process.terminate()
        child.terminate()
        child.wait(20)


def fetch_ponder() -> None:
    """Once for each version."""
    PONDER.mkdir(parents=True, exist_ok=True)
    wanted = (SOURCES / "package.json").read_text()
    installed = PONDER / "installed.json"
    shutil.copytree(SOURCES, PONDER, dirs_exist_ok=True)
    if not installed.exists() or installed.read_text() != wanted:
        quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(["npm", "install", *quiet], cwd=PONDER, check=True, stdout=sys.stderr)
        installed.write_text(wanted)


if __name__ == "__main__":
    main()
