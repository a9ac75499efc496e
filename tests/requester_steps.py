"""Parties of tests about the requester's duties: a provider whose every step the test takes, and cycles of a keeper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heldout.devnet import Devnet
from heldout.market.chain.sender import Outbox
from heldout.market.chain.signatures import sign_digest
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import JobState, State
from heldout.market.messages import Bid, Kind, Letter, bid_letter
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.sealing import envelope_context, open_envelope, shard_key
from heldout.market.split import draw_split
from heldout.market.terms import JobId
from heldout.requester_cli.client import Client
from heldout.requester_cli.duties import Policy
from heldout.requester_cli.keeper import Keeper

NOW = Policy(accept_after=0)


@dataclass
class Provider:
    """Bids and opens what it is sent, by hand."""

    devnet: Devnet
    keys: KeyRing
    outbox: Outbox

    def bid(self, client: Client, job: JobId, price: int = 50) -> None:
        head = client.chain.head()
        bid = Bid(
            bytes.fromhex(job[2:]),
            self.keys.address,
            Wei(price * ONE_TOKEN),
            self.keys.wrap_public,
            head.timestamp + 3600,
            head.number,
        )
        network = client.network
        signature = sign_digest(self.keys.account, bid.digest(network.chain_id, network.market))
        letter = bid_letter(bid, signature)
        self.outbox.send(f"announce:{job}:{price}", "announce", letter.encode(), wait=True)

    def opened(self, letter: Letter) -> bytes:
        context = envelope_context(bytes.fromhex(letter.job[2:]), letter.kind, letter.sender, letter.receiver)
        return open_envelope(self.keys.wrap_private, letter.bytes_of("envelope"), context)


def post(client: Client, folder: Path) -> JobId:
    client.seal(folder, again=True)
    return client.post(client.draft(folder))


def step(client: Client, keeper: Keeper) -> None:
    """One cycle, and what it sent is mined."""
    keeper.step(client.chain.head())
    for pending in client.outbox.pending:
        client.outbox.wait(pending.intent)


def accepted(town: Devnet, client: Client, keeper: Keeper, provider: Provider, job: JobId) -> JobState:
    """Running, with the split's block deep enough for keys to leave."""
    provider.bid(client, job)
    step(client, keeper)
    assert client.job(job).state is State.RUNNING
    step(client, keeper)
    assert announced(client, job, Kind.TRAINING_KEYS) == [], "no key leaves before the split's block is deep"
    town.mine(5)
    return client.job(job)


def announced(client: Client, job: JobId, kind: Kind) -> list[Letter]:
    events = client.chain.events(client.network.deploy_block, client.chain.head().number, names=["Announced"])
    letters = [Letter.decode(event.args["message"]) for event in events]
    return [letter for letter in letters if letter.job == job and letter.kind is kind]


def training_keys(client: Client, job: JobState) -> bytes:
    assert job.accept_block is not None
    seed = bytes.fromhex(client.chain.block(job.accept_block + 2).hash[2:])
    split = draw_split(seed, bytes.fromhex(job.id[2:]), job.terms.shards, job.terms.heldOut)
    return b"".join(shard_key(client.keys.data_secret, job.terms.salt, shard) for shard in split.training)
