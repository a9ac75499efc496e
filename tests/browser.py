"""Debian's Chromium, headless, and a wallet in it that signs for real: the dApp is tested, not somebody's wallet.

The wallet announces itself as EIP-6963 says. What a page asks of it comes to `TestWallet` in this process, which holds
keys, signs, and hands everything else to the chain, as a wallet with a node does.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_account.signers.local import LocalAccount
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from heldout.market.chain.rpc import Rpc
from heldout.market.errors import ChainProblem
from heldout.market.messages import hexed
from heldout.market.signatures import checksummed

FORWARDING = (
    "0x5f3560e01c631626ba7e14603157601436038060145f375f5f825f5f5f3560601c5af13d5f5f3e602d573d5ffd5b3d5ff3"
    "5b631626ba7e60e01b5f5260205ff3"
)
"""A contract wallet in 62 bytes. Calls whom the first 20 bytes name, with the rest; says yes to ERC-1271."""
CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / ".cache" / "screenshots"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PATIENCE_MS = 15_000
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
_ANNOUNCE = """
{
  const listeners = {};
  const provider = {
    on(event, listener) { (listeners[event] ??= []).push(listener); },
    async request({ method, params }) {
      const answer = JSON.parse(await window.__wallet(method, JSON.stringify(params ?? [])));
      if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
      return answer.result;
    },
  };
  window.__emit = (event, value) => (listeners[event] ?? []).forEach((listener) => listener(value));
  const info = { uuid: ID, name: NAME, icon: "data:image/svg+xml,<svg/>", rdns: ID };
  const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider",
    { detail: Object.freeze({ info, provider }) }));
  addEventListener("eip6963:requestProvider", announce);
  announce();
}
"""


class Denied(Exception):
    """What a wallet answers: `code` is of EIP-1193."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message, "data": data}


@dataclass
class TestWallet:
    """`refuses`: methods to which the person in front of it says no. `asked` is every request, in order."""

    __test__ = False
    account: LocalAccount
    rpc: Rpc
    chain_id: int
    batches: bool = False
    refuses: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Messages that were signed as text."""
    batch: list[str] = field(default_factory=list)
    identity: str = "test.wallet"
    contract: str = ""
    """Where its code is, for a wallet that is a contract (`put_contract`); `account` is its owner then."""

    @property
    def address(self) -> str:
        return self.contract or self.account.address

    def put_contract(self, address: str) -> None:
        """Its owner's transactions name whom it calls, with what; it signs nothing."""
        self.contract = checksummed(address)
        self._node("anvil_setCode", address, FORWARDING)

    def answer(self, method: str, params: str) -> str:
        """One request of a page, as JSON."""
        self.asked.append(method)
        try:
            if method in self.refuses:
                raise Denied(4001, "User rejected the request.")
            return json.dumps({"result": self._do(method, json.loads(params))})
        except Denied as denied:
            return json.dumps({"error": denied.body})

    def _do(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_requestAccounts" | "eth_accounts":
                return [self.address]
            case "eth_chainId":
                return hex(self.chain_id)
            case "wallet_switchEthereumChain":
                self.chain_id = int(params[0]["chainId"], 16)
                return None
            case "personal_sign":
                text = bytes.fromhex(params[0][2:])
                self.texts.append(text.decode())
                return "0x" + self.account.sign_message(encode_defunct(text)).signature.hex()
            case "eth_signTypedData_v4":
                signable = encode_typed_data(full_message=json.loads(params[1]))
                return "0x" + self.account.sign_message(signable).signature.hex()
            case "eth_sendTransaction":
                return self._send(params[0])
            case "wallet_getCapabilities" if self.batches:
                return {hex(self.chain_id): {"atomic": {"status": "supported"}}}
            case "wallet_sendCalls" if self.batches:
                self.batch = [self._send(call) for call in params[0]["calls"]]
                return {"id": "0x01"}
            case "wallet_getCallsStatus" if self.batches:
                receipts = [self.rpc.call("eth_getTransactionReceipt", hash_) for hash_ in self.batch]
                return {"status": 200 if all(r and int(r["status"], 16) for r in receipts) else 100}
            case _ if method.startswith("wallet_"):
                raise Denied(-32601, f"no method {method}")
        return self._node(method, *params)

    def _node(self, method: str, *params: Any) -> Any:
        try:
            return self.rpc.call(method, *params)
        except ChainProblem as problem:
            data = getattr(problem, "data", None)
            raise Denied(-32603, problem.message, hexed(data) if isinstance(data, bytes) else data) from None

    def _send(self, call: dict[str, Any]) -> str:
        sender = self.account.address
        count = int(self._node("eth_getTransactionCount", sender, "pending"), 16)
        fee = 2 * int(self._node("eth_gasPrice"), 16)
        if self.contract:
            call = {"to": self.contract, "data": f"0x{call['to'][2:]}{call['data'][2:]}"}
        about = {"to": call["to"], "data": call["data"], "nonce": count, "chainId": self.chain_id, "gas": 1_500_000}
        signed = self.account.sign_transaction({**about, "maxFeePerGas": fee, "maxPriorityFeePerGas": 1, "value": 0})
        return str(self._node("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex()))

    def enter(self, context: BrowserContext, name: str = "Test wallet") -> None:
        """Every page of the context finds the wallet."""
        context.expose_function("__wallet", self.answer)
        self.announce(context, name)

    def announce(self, context: BrowserContext, name: str) -> None:
        """Only the name and the picture: one of several wallets in a browser."""
        script = _ANNOUNCE.replace("NAME", json.dumps(name)).replace("ID", json.dumps(self.identity))
        context.add_init_script(script)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a fresh profile, ended with the block. `./run test` installs it."""
    if not CHROMIUM.exists():
        pytest.fail("no /usr/bin/chromium: ./run installs it")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=str(CHROMIUM), args=_FLAGS)
        try:
            yield browser
        finally:
            with suppress(Exception):
                browser.close()


def visit(context: BrowserContext, url: str) -> Page:
    """A page of a context, opened."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    return page


def axe(page: Page) -> list[str]:
    """What axe-core finds wrong: rule and element."""
    page.evaluate((ROOT / "node_modules/axe-core/axe.min.js").read_text())
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [f"{v['id']}: {node['html'][:160]}" for v in found["violations"] for node in v["nodes"]]


def account_of(key: bytes) -> LocalAccount:
    account: LocalAccount = Account.from_key(key)
    return account
