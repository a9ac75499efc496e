"""The market service under load, and the store at the speed of the machine.

Load is an open loop: requests are due at fixed moments whatever became of those before, and a latency counts from the
moment that its request was due. Bare FastAPI, the API and the pages take turns of a few seconds, so that whatever else
the machine does meets all three. Transfers are compared with the slowest of what they cannot do without, in turn.
"""

import asyncio
import gzip
import hashlib
import itertools
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import httpx2
from eth_account import Account

from heldout.devnet.anvil import free_port
from heldout.market.artifacts import ArtifactId
from heldout.market.artifacts.http import HttpStore
from tests.bench.figure import report
from tests.servers import served

RATE = 50
TURN_S = 5.0
TURNS = 4
GIB = 1 << 30
PIECE = 1 << 20
TRANSFERS = 2
UPLOADER = Account.from_key("0x" + "42" * 32)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench_load(Path(folder))
        bench_transfer(Path(folder))


# ------------------------------------------------------------------------------------------------------------ load


def bench_load(folder: Path) -> None:
    port, bare_port = free_port(), free_port()
    with program(str(folder), str(port)) as crowded, program("--bare", str(bare_port)) as empty:
        known = json.loads(crowded.stdout.readline())  # type: ignore[union-attr]
        url, bare = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bare_port}"
        await_answer(f"{url}/healthz")
        await_answer(bare)
        groups = {"bare": [bare], "api": api_addresses(url, known), "page": page_addresses(url, known)}
        shuffle = random.Random(6).shuffle
        for addresses in groups.values():
            shuffle(addresses)
        for addresses in groups.values():  # each once: templates are compiled, figures are remembered
            for address in addresses:
                httpx2.get(address, trust_env=False, timeout=60).raise_for_status()
        times: dict[str, list[float]] = {name: [] for name in groups}
        spent = dict.fromkeys(groups, 0.0)
        for _ in range(TURNS):
            for name, addresses in groups.items():
                pid = empty.pid if name == "bare" else crowded.pid
                before = cpu_seconds(pid)
                times[name] += asyncio.run(turn(addresses))
                spent[name] += cpu_seconds(pid) - before
        report_load(times, spent, known)
        report("page.kb", first_page_bytes(url) / 1000, "kB", "front page, its style, script and icon, gzip level 5")


def report_load(times: dict[str, list[float]], spent: dict[str, float], known: dict[str, float]) -> None:
    method = (
        f"open loop, {RATE} requests/s, {TURNS} turns of {TURN_S:.0f} s each, 10,000 open jobs, 1,000 providers, "
        f"{os.cpu_count()} cores shared with the generator"
    )
    for name, unit in (("api", "api"), ("page", "page"), ("bare", "fastapi.bare")):
        ranked = sorted(times[name])
        report(f"{unit}.p99_ms", 1000 * ranked[len(ranked) * 99 // 100], "ms", method)
        report(f"{unit}.p50_ms", 1000 * statistics.median(ranked), "ms", method)
        report(f"{unit}.cpu_ms", 1000 * spent[name] / len(ranked), "ms", "processor time of the server for one request")
    rate = known["events"] / known["seconds"]
    report("index.events_per_s", rate, "1/s", f"{known['events']} events folded into SQLite in one step, no chain")


def api_addresses(url: str, known: dict[str, list[str]]) -> list[str]:
    lists = ["jobs", "jobs?state=open&metric=auc&least=100", "jobs?state=settled", "providers", "validators", "network"]
    jobs = [f"jobs/{job}{part}" for job in (*known["settled"], *known["open"]) for part in ("", "/money", "/events")]
    people = [f"providers/{address}" for address in known["providers"]]
    return [f"{url}/v1/{path}" for path in (*lists * 5, *jobs, *people, "statistics", "artifacts")]


def page_addresses(url: str, known: dict[str, list[str]]) -> list[str]:
    lists = ["", "jobs", "jobs?state=open&metric=auc&least=100", "providers", "validators", "network"]
    jobs = [f"jobs/{job}" for job in (*known["settled"], *known["open"])]
    return [f"{url}/{path}" for path in (*lists * 5, *jobs, *(f"providers/{each}" for each in known["providers"]))]


async def turn(addresses: Sequence[str]) -> list[float]:
    """Latencies in seconds of requests that are due every 1/RATE s. A failed request ends the bench."""
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx2.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
        begin = time.perf_counter() + 0.1

        async def ask(number: int, address: str) -> float:
            due = begin + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            (await client.get(address)).raise_for_status()
            return time.perf_counter() - due

        count = int(TURN_S * RATE)
        mixed = itertools.islice(itertools.cycle(addresses), count)
        return await asyncio.gather(*(ask(number, address) for number, address in enumerate(mixed)))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_page_bytes(url: str) -> int:
    """All that a browser fetches for the front page, compressed."""
    html = httpx2.get(url, trust_env=False).text
    assets = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', html))
    bodies = [html.encode(), *(httpx2.get(url + asset, trust_env=False).content for asset in sorted(assets))]
    return sum(len(gzip.compress(body, 5)) for body in bodies)


@contextmanager
def program(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.bench.crowded_market", *words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(20)


def await_answer(url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            httpx2.get(url, trust_env=False, timeout=2)
            return
        except httpx2.HTTPError:
            time.sleep(0.1)
    raise TimeoutError(url)


# -------------------------------------------------------------------------------------------------------- transfers


def bench_transfer(folder: Path) -> None:
    """1 GiB up and down, in turn with a disk write, a copy over loopback and a SHA-256 of as much."""
    source = folder / "source"
    digest = make_file(source)
    url = f"http://127.0.0.1:{free_port()}"
    limits = ["--max-blob", "2 GiB", "--quota", "16 GiB", "--daily", "1000 GiB"]
    words = ["store", "serve", "--dir", str(folder / "store"), "--listen", url.partition("://")[2], *limits]
    ups, downs = [], []
    for _ in range(TRANSFERS):
        with served(words, url, folder / "store.log") as child, closing(HttpStore(url, UPLOADER)) as store:
            least = max(seconds(lambda: write_disk(folder)), seconds(loopback_copy), seconds(lambda: hash_of(source)))
            ups.append(least / seconds(lambda: store.put(source)))
            downs.append(least / seconds(lambda: store.fetch(digest, folder / "fetched", limit=2 * GIB)))
            memory = peak_mb(child.pid)
        for path in (folder / "store").rglob("*"):
            if path.is_file() and path.stat().st_size == GIB:
                path.unlink()
        (folder / "fetched").unlink()
    method = (
        f"1 GiB against the slowest of disk write with fsync, loopback copy and SHA-256; best of {TRANSFERS} in turn"
    )
    report("transfer.upload_ratio", max(ups), "ratio", method)
    report("transfer.download_ratio", max(downs), "ratio", method)
    report("transfer.store_peak_mb", memory, "MB", "peak resident memory of the store after both")


def make_file(path: Path) -> ArtifactId:
    """1 GiB that is not zeros. Its SHA-256."""
    piece, digest = os.urandom(PIECE), hashlib.sha256()
    with path.open("wb") as file:
        for number in range(GIB // PIECE):
            data = number.to_bytes(8, "big") + piece[8:]
            digest.update(data)
            file.write(data)
    return ArtifactId(digest.hexdigest())


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def write_disk(folder: Path) -> None:
    path, piece = folder / "written", os.urandom(PIECE)
    with path.open("wb") as file:
        for _ in range(GIB // PIECE):
            file.write(piece)
        os.fsync(file.fileno())
    path.unlink()


def loopback_copy() -> None:
    """One thread sends, this one receives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

        def send() -> None:
            piece = bytes(PIECE)
            with socket.create_connection(address) as line:
                for _ in range(GIB // PIECE):
                    line.sendall(piece)

        sender = Thread(target=send)
        sender.start()
        line, _ = server.accept()
        with line:
            while line.recv(PIECE):
                pass
        sender.join()


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def peak_mb(pid: int) -> float:
    """The most that a process ever held, in megabytes of 10^6 bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    main()
