"""What a chain says of a market that somebody deployed: every claim of its network file, checked against this package.

Equal code at an address is not enough: a constructor of another making could have left money or stake in the storage
beneath it. So the transaction that created a contract is looked up, and must be the shipped creation code, followed by
its arguments.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from heldout.market.chain.contracts import Contract, Interface, decode_arguments, interface
from heldout.market.chain.rpc import Rpc
from heldout.market.deployment.creation import create_address
from heldout.market.errors import ChainProblem
from heldout.market.messages import hexed
from heldout.market.money import DECIMALS, format_tokens
from heldout.market.settings import Network
from heldout.market.signatures import checksummed
from heldout.market.terms import keccak256

BLOCKS_SEARCHED = 1_000
"""From the market's block on, for the transaction that created its registry."""
_PAGE = 50


@dataclass(frozen=True)
class Finding:
    """One claim. `ok` is None for what only the reader can judge."""

    what: str
    ok: bool | None
    says: str


def examine(network: Network, rpc: Rpc) -> Iterator[Finding]:
    """All findings, in the order in which a reader would want them. Raises ChainProblem if the RPC fails."""
    yield from _chain(network, rpc)
    code = _code(rpc, network.market)
    yield Finding("code hash", hexed(keccak256(code)) == network.code_hash, hexed(keccak256(code)))
    market = yield from _contract(rpc, "Market", network.market, network.deploy_block)
    half = checksummed(read_immutable(code, interface("Market"), "_RESOLUTION"))
    yield Finding("second half", market is not None and market["resolution"] == half, f"Market runs code at {half}")
    parameters = yield from _contract(rpc, "Resolution", half, network.deploy_block)
    if parameters is not None:
        yield from _parameters(network, parameters)
    yield from examine_token(rpc, network.token)
    if network.value_chain is None:
        yield Finding("value chain", None, "the network file names none")
        return
    registry = yield from _contract(rpc, "ValueChain", network.value_chain, network.deploy_block)
    if registry is not None:
        yield Finding("value chain's market", registry["market_"] == checksummed(network.market), registry["market_"])


def _chain(network: Network, rpc: Rpc) -> Iterator[Finding]:
    chain_id, genesis = rpc.batch([("eth_chainId", []), ("eth_getBlockByNumber", ["0x0", False])])
    yield Finding("chain id", int(chain_id, 16) == network.chain_id, str(int(chain_id, 16)))
    yield Finding("genesis", genesis["hash"] == network.genesis, genesis["hash"])


def _contract(rpc: Rpc, name: str, address: str, first: int) -> Generator[Finding, None, dict[str, Any] | None]:
    """Code and creation of one contract; the constructor's arguments by name, or None if it was created otherwise."""
    shipped = interface(name)
    code = _code(rpc, address)
    what = {"Market": "market", "Resolution": "second half", "ValueChain": "value chain"}[name]
    yield Finding(f"{what}'s code", is_shipped(code, shipped), f"{len(code):,} bytes at {address}")
    creation = find_creation(rpc, address, first)
    if creation is None:
        yield Finding(f"{what}'s creation", False, f"no plain transaction created it in {BLOCKS_SEARCHED} blocks")
        return None
    data = bytes.fromhex(creation["input"][2:])
    genuine = data.startswith(shipped.bytecode)
    yield Finding(f"{what}'s creation", genuine, f"{creation['hash']} from {checksummed(creation['from'])}")
    if not genuine:
        return None
    values = decode_arguments(shipped.constructor, data[len(shipped.bytecode) :])
    return dict(zip([part["name"] for part in shipped.constructor["inputs"]], values, strict=True))


def _parameters(network: Network, args: dict[str, Any]) -> Iterator[Finding]:
    """What was fixed for ever (P1.5), for the reader to judge."""
    yield Finding("token", args["token"] == checksummed(network.token), args["token"])
    beacon = args["beacon"]
    seeds = beacon if int(beacon, 16) else "block hashes: who orders blocks can bias draws (P10)"
    yield Finding("seeds", None, seeds)
    yield Finding("stake of a seat", None, f"{format_tokens(args['seatStake'])} tokens")
    yield Finding("least fee", None, f"{format_tokens(args['minimumFee'])} tokens")
    for name, bound in args["limits"].items():
        shown = f"{bound['least']} to {bound['greatest']} s" if isinstance(bound, dict) else f"at most {bound}"
        yield Finding(f"limit: {name}", None, shown)


def examine_token(rpc: Rpc, address: str) -> Iterator[Finding]:
    """A plain ERC-20 is what the market trusts (P1.2); whether this is one, its own sources say."""
    if not _code(rpc, address):
        yield Finding("token's code", False, "there is none at this address")
        return
    token = Contract("HeldToken", checksummed(address))
    try:
        answer = rpc.call("eth_call", {"to": token.address, "data": hexed(token.encode("decimals", ()))}, "latest")
        decimals = token.decode("decimals", bytes.fromhex(answer[2:]))
    except ChainProblem as problem:
        yield Finding("token's decimals", False, str(problem))
        return
    yield Finding("token's decimals", decimals == DECIMALS, f"{decimals}; these tools count in {DECIMALS}")


# ------------------------------------------------------------------------------------------------ code


def is_shipped(code: bytes, shipped: Interface) -> bool:
    """Whether deployed code is the shipped code, immutables apart; each of those must hold one value in all places."""
    return masked(code, shipped) == shipped.deployed and all(
        len({code[start : start + length] for start, length in places}) == 1 for places in shipped.immutables.values()
    )


def masked(code: bytes, shipped: Interface) -> bytes:
    """Deployed code with its immutables set to zero, as the compiler leaves them."""
    plain = bytearray(code)
    for places in shipped.immutables.values():
        for start, length in places:
            plain[start : start + length] = bytes(length)
    return bytes(plain)


def read_immutable(code: bytes, shipped: Interface, name: str) -> bytes:
    """An address in deployed code; 20 zero bytes if the code is too short to have one there."""
    start, length = shipped.immutables[name][0]
    return code[start : start + length].rjust(32, b"\x00")[-20:]


def find_creation(rpc: Rpc, address: str, first: int) -> dict[str, Any] | None:
    """The transaction, as the RPC gives it, that created a contract in the blocks from `first` on."""
    last = min(first + BLOCKS_SEARCHED, int(rpc.call("eth_blockNumber"), 16))
    for start in range(first, last + 1, _PAGE):
        numbers = range(start, min(start + _PAGE, last + 1))
        for block in rpc.batch([("eth_getBlockByNumber", [hex(number), True]) for number in numbers]):
            for sent in block["transactions"] if block else ():
                if sent.get("to") is None and create_address(sent["from"], int(sent["nonce"], 16)) == address:
                    return dict(sent)
    return None


def _code(rpc: Rpc, address: str) -> bytes:
    return bytes.fromhex(rpc.call("eth_getCode", address, "latest")[2:])
