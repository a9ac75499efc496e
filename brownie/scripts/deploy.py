"""`brownie run deploy main ACCOUNT [TOKEN] --network NETWORK`: a market, its registry, and build/network.json."""

import json
import os
from pathlib import Path

from brownie.network.account import Account

from brownie import HeldToken, Market, Resolution, ValueChain, accounts, chain, network, web3

HOUR = 3600
SEAT_STAKE = 1_000 * 10**18
MINIMUM_FEE = 10**18
BEACON = "0x" + "00" * 20  # seeds are block hashes
LIMITS = (
    (60, 168 * HOUR),  # bid: seconds, least and greatest, as all windows
    (600, 720 * HOUR),  # work
    (300, HOUR),  # release
    (600, 2 * HOUR),  # commit
    (300, 2 * HOUR),  # reveal
    (600, 12 * HOUR),  # challenge
    64 * 2**20,  # bytes of a shard
    256 * 2**20,  # bytes of weights
    10**9,  # scorer operations per second of commit window
)
SUPPLY = 100_000_000 * 10**18
NETWORK_FILE = Path("build/network.json")


def main(account: str, token: str = "") -> None:
    """Deploy from one of Brownie's keystores. Nobody can change the parameters afterwards."""
    deployer = accounts.load(account, os.environ.get("DEPLOYER_PASSWORD"))
    token = token or HeldToken.deploy(SUPPLY, {"from": deployer}).address
    market, registry = deploy(deployer, token)
    NETWORK_FILE.write_text(json.dumps(network_of(market, registry, token), indent=2) + "\n")
    print(f"market {market.address}, value chain {registry.address}: see {NETWORK_FILE}")


def deploy(deployer: Account, token: str) -> tuple[Market, ValueChain]:
    """The second half of the market's code, with all parameters; Market; the registry that reads it."""
    resolution = Resolution.deploy(token, SEAT_STAKE, MINIMUM_FEE, BEACON, LIMITS, {"from": deployer})
    market = Market.deploy(resolution.address, {"from": deployer})
    return market, ValueChain.deploy(market.address, {"from": deployer})


def network_of(market: Market, registry: ValueChain, token: str) -> dict[str, object]:
    """What `heldout network verify` checks, and every command reads."""
    return {
        "name": network.show_active(),
        "chain_id": chain.id,
        "genesis": chain[0].hash.to_0x_hex(),
        "rpc": [web3.provider.endpoint_uri],
        "market": market.address,
        "token": token,
        "deploy_block": Resolution[-1].tx.block_number,  # the first half to be there
        "code_hash": web3.keccak(web3.eth.get_code(market.address)).to_0x_hex(),
        "stores": [],
        "value_chain": registry.address,
    }
