"""A local chain: anvil, found and started, and the few methods only a test chain has."""

import os
import random
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from heldout.devnet.accounts import COUNT, MNEMONIC
from heldout.devnet.processes import Processes
from heldout.market.chain.rpc import Rpc
from heldout.market.errors import ChainProblem, HeldoutError
from heldout.market.settings import DEVNET_CHAIN_ID

NAME = "anvil"
START_S = 30.0
DUMP_EVERY_S = 10
_PORTS = range(20_000, 32_768)


def find_anvil() -> str:
    """$ANVIL, this checkout's node_modules, or PATH. Raises HeldoutError `no_anvil`."""
    named = os.environ.get("ANVIL")
    checkout = Path(__file__).resolve().parent.parent / "node_modules/.bin/anvil"
    for candidate in (named, str(checkout), NAME):
        found = shutil.which(candidate) if candidate else None
        if found:
            return found
        if candidate == named and named:
            raise HeldoutError(
                f"$ANVIL is {named}, which cannot be run", hint="unset it, or correct it", code="no_anvil"
            )
    hint = "run `npm ci` in the checkout, install Foundry, or set $ANVIL"
    raise HeldoutError("anvil was not found", hint=hint, code="no_anvil")


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody listens there, else any free port of the loopback.

    Below those that the kernel lends to outgoing connections (Linux: 32768 and up): a server that stops for
    a while finds its port free again.
    """
    for port in filter(None, (preferred, *random.sample(_PORTS, 100))):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise HeldoutError("no port is free on 127.0.0.1")


class Anvil:
    """One running anvil, its chain kept in `state/chain.json` over restarts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.rpc = Rpc([url], timeout_s=10, check=lambda _: None)

    @staticmethod
    def start(state: Path, processes: Processes, *, port: int = 0) -> "Anvil":
        """A new chain, or the one in `state` gone on with. It mines only once it is told when (`mine_…`).

        anvil makes a genesis at every start, also when it loads a chain: only with the same timestamp is it the same
        block, and the network file's pin holds.
        """
        port = free_port(port)
        born = state / "genesis-time"
        if not born.exists():
            born.write_text(str(int(time.time())))
        argv = [find_anvil(), "--silent", "--no-mining", "--host", "127.0.0.1", "--port", str(port)]
        argv += ["--chain-id", str(DEVNET_CHAIN_ID), "--mnemonic", MNEMONIC, "--accounts", str(COUNT)]
        argv += ["--timestamp", born.read_text(), "--state", str(state / "chain.json")]
        argv += ["--state-interval", str(DUMP_EVERY_S)]
        processes.start(NAME, argv)
        anvil = Anvil(f"http://127.0.0.1:{port}")
        anvil._await(processes)
        anvil._set_time()
        return anvil

    def _await(self, processes: Processes) -> None:
        give_up = time.monotonic() + START_S
        while True:
            try:
                self.rpc.call("eth_chainId")
                return
            except ChainProblem:
                if NAME not in processes.running() or time.monotonic() > give_up:
                    log = processes.log_tail(NAME)
                    raise HeldoutError(
                        f"anvil did not start: {log}", hint="see logs/anvil.log", code="no_anvil"
                    ) from None
                time.sleep(0.02)

    def call(self, method: str, *params: Any) -> Any:
        return self.rpc.call(method, *params)

    def mine_on_demand(self) -> None:
        """A block for every transaction."""
        self.call("evm_setAutomine", True)

    def mine_every(self, seconds: float) -> None:
        self.call("evm_setAutomine", False)
        self.call("evm_setIntervalMining", max(1, round(seconds)))

    def warp(self, seconds: int) -> None:
        """Move block time on, and mine a block there."""
        self.call("evm_increaseTime", hex(seconds))
        self.call("evm_mine")

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def set_eth(self, who: str, wei: int) -> None:
        """Gas money out of nothing."""
        self.call("anvil_setBalance", who, hex(wei))

    def reorg(self, depth: int) -> None:
        """Replace the newest `depth` blocks by empty ones; their transactions are gone, mempool included."""
        self.call("anvil_reorg", depth, [])

    def take_back(self, block: int) -> None:
        """A reorg of this block and of all that came after it."""
        self.reorg(int(self.call("eth_blockNumber"), 16) - block + 1)

    def _set_time(self) -> None:
        """Block time is this machine's, and never falls behind what it was, warps included."""
        latest = self.call("eth_getBlockByNumber", "latest", False)
        self.call("evm_setTime", max(int(time.time()), int(latest["timestamp"], 16) + 1))
