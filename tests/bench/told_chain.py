"""A scenery's events on a real anvil: the market's code is put aside for one that writes the logs it is told to.

calldata   │ topics: 1 byte │ bytes of data: 2 │ topics, 32 bytes each │ data │ …and so on for every log
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from heldout.devnet.anvil import Anvil
from heldout.market.chain.codec import Abi, Parts, coder_of
from heldout.market.chain.contracts import interface, topic
from heldout.market.lifecycle import ChainEvent

IN_ONE = 200
"""Logs of one transaction, and so of one block."""
_OPCODES = {
    "STOP": 0x00,
    "ADD": 0x01,
    "MUL": 0x02,
    "LT": 0x10,
    "ISZERO": 0x15,
    "EQ": 0x14,
    "AND": 0x16,
    "SHR": 0x1C,
    "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36,
    "CALLDATACOPY": 0x37,
    "POP": 0x50,
    "MLOAD": 0x51,
    "MSTORE": 0x52,
    "JUMP": 0x56,
    "JUMPI": 0x57,
    "JUMPDEST": 0x5B,
    "DUP1": 0x80,
}
AT, COUNT, SIZE = 0x00, 0x20, 0x40
"""Memory: where in the calldata, how many topics, how many bytes of data; the data itself begins at DATA."""
DATA = 0x100


def teller() -> bytes:
    """The code, by hand."""
    words: list[str | int] = ["begin:", AT, "MLOAD", "CALLDATASIZE", "EQ", "@end", "JUMPI"]
    words += [AT, "MLOAD", "CALLDATALOAD", "DUP1", 248, "SHR", COUNT, "MSTORE"]
    words += [232, "SHR", 0xFFFF, "AND", SIZE, "MSTORE"]
    words += [SIZE, "MLOAD", COUNT, "MLOAD", 32, "MUL", 3, "ADD", AT, "MLOAD", "ADD", DATA, "CALLDATACOPY"]
    for count in range(1, 5):
        words += [count, COUNT, "MLOAD", "EQ", f"@log{count}", "JUMPI"]
    words += ["STOP"]
    for count in range(1, 5):
        words += [f"log{count}:"]
        for place in reversed(range(count)):
            words += [3 + 32 * place, AT, "MLOAD", "ADD", "CALLDATALOAD"]
        words += [SIZE, "MLOAD", DATA, f"LOG{count}"]
        words += [SIZE, "MLOAD", COUNT, "MLOAD", 32, "MUL", "ADD", 3, "ADD", AT, "MLOAD", "ADD", AT, "MSTORE"]
        words += ["@begin", "JUMP"]
    return _assembled([*words, "end:", "STOP"])


def _assembled(words: Sequence[str | int]) -> bytes:
    """Numbers and labels are pushed as two bytes."""
    code, labels, holes = b"", {}, []
    for word in words:
        if isinstance(word, int):
            code += b"\x61" + word.to_bytes(2, "big")
        elif word.endswith(":"):
            labels[word[:-1]] = len(code)
            code += bytes([_OPCODES["JUMPDEST"]])
        elif word.startswith("@"):
            holes.append((len(code) + 1, word[1:]))
            code += b"\x61\x00\x00"
        else:
            code += bytes([0xA0 + int(word[3:]) if word.startswith("LOG") else _OPCODES[word]])
    for place, label in holes:
        code = code[:place] + labels[label].to_bytes(2, "big") + code[place + 2 :]
    return code


def tell(anvil: Anvil, market: str, events: Sequence[ChainEvent]) -> None:
    """All of them, in order, as logs of `market`; its own code is there again afterwards."""
    by_name = {item["name"]: item for item in interface("Market").events.values()}
    sender = anvil.call("eth_accounts")[0]
    with _other_code(anvil, market, teller()):
        for first in range(0, len(events), IN_ONE):
            some = events[first : first + IN_ONE]
            data = b"".join(_written(by_name[event.name], event.args) for event in some)
            request = {"from": sender, "to": market, "data": "0x" + data.hex(), "gas": hex(25_000_000)}
            tx = anvil.call("eth_sendTransaction", request)
            while (receipt := anvil.call("eth_getTransactionReceipt", tx)) is None:
                anvil.mine()
            if len(receipt["logs"]) != len(some):
                raise RuntimeError(f"{len(receipt['logs'])} logs of {len(some)}")


@contextmanager
def _other_code(anvil: Anvil, address: str, code: bytes) -> Iterator[None]:
    before = anvil.call("eth_getCode", address, "latest")
    anvil.call("anvil_setCode", address, "0x" + code.hex())
    try:
        yield
    finally:
        anvil.call("anvil_setCode", address, before)


def _written(item: Abi, args: dict[str, Any]) -> bytes:
    indexed = [part for part in item["inputs"] if part["indexed"]]
    others = [part for part in item["inputs"] if not part["indexed"]]
    topics = bytes.fromhex(topic(item)[2:]) + b"".join(_encoded([part], args) for part in indexed)
    data = _encoded(others, args)
    return bytes([1 + len(indexed)]) + len(data).to_bytes(2, "big") + topics + data


def _encoded(parts: Sequence[Abi], args: dict[str, Any]) -> bytes:
    return Parts([coder_of(part) for part in parts]).encode([_in_order(part, args[part["name"]]) for part in parts])


def _in_order(item: Abi, value: Any) -> Any:
    """Structs as sequences, in the order of their fields; a number or hash that the scenery leaves out is zero."""
    if item["type"].endswith("[]"):
        return [_in_order({**item, "type": item["type"][:-2]}, each) for each in value]
    if item["type"] == "tuple":
        return [_in_order(part, value.get(part["name"], _zero(part))) for part in item["components"]]
    return value


def _zero(item: Abi) -> int | bytes:
    return bytes(32) if item["type"] == "bytes32" else 0
