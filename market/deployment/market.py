"""A market in its two halves, and the registry of what its jobs make: three transactions of one account."""

from collections.abc import Callable, Sequence
from typing import Any

from heldout.market.chain.rpc import Rpc
from heldout.market.deployment.creation import Plan, plan_creations
from heldout.market.deployment.sending import Signed
from heldout.market.deployment.specification import Specification
from heldout.market.messages import hexed
from heldout.market.settings import Network
from heldout.market.terms import Address, keccak256


def plan_market(rpc: Rpc, deployer: Address, specification: Specification) -> Plan:
    """Resolution, which has all parameters; Market, which takes them from it (decision 20); ValueChain, its registry.

    Raises Reverted if the contract refuses the specification, ChainProblem.
    """

    def wanted(address_of: Callable[[int], Address]) -> Sequence[tuple[str, tuple[Any, ...]]]:
        return [
            ("Resolution", specification.arguments()),
            ("Market", (address_of(0),)),
            ("ValueChain", (address_of(1),)),
        ]

    return plan_creations(rpc, deployer, wanted)


def network_of(
    specification: Specification,
    rpc: Rpc,
    signed: Sequence[Signed],
    receipts: Sequence[dict[str, Any]],
    *,
    service: str | None = None,
) -> Network:
    """The network file of a market that was just created; its code hash is that of the code found there."""
    at = {each.contract: each.address for each in signed}
    chain_id, genesis, code = rpc.batch(
        [
            ("eth_chainId", []),
            ("eth_getBlockByNumber", ["0x0", False]),
            ("eth_getCode", [at["Market"], "latest"]),
        ]
    )
    return Network(
        name=specification.name,
        chain_id=int(chain_id, 16),
        genesis=genesis["hash"],
        rpc=tuple(endpoint.url for endpoint in rpc.endpoints),
        market=at["Market"],
        token=specification.token,
        deploy_block=int(receipts[0]["blockNumber"], 16),
        code_hash=hexed(keccak256(bytes.fromhex(code[2:]))),
        stores=specification.stores,
        service=service,
        value_chain=at["ValueChain"],
        confirmations=specification.confirmations,
    )
