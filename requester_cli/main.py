"""The table of all commands: modules are named as strings and imported on use, so `--help` costs next to nothing."""

import sys
from collections.abc import Sequence
from typing import Final

from heldout import __doc__ as ABOUT
from heldout import __version__
from heldout.market.console import Command, run_command, run_table

_HERE: Final = "heldout.requester_cli"

DATA: Final = {
    "pseudonymise": Command(
        "replace names, numbers and addresses in a table by keyed hashes, before sealing",
        f"{_HERE}.pseudonymising:pseudonymise",
    ),
    "seal": Command("shuffle the rows into shards, seal each under its own key, upload them", f"{_HERE}.data:seal"),
}
JOB: Final = {
    "check": Command("run baseline and scorer twice, before money moves", f"{_HERE}.check:check", "validator"),
    "post": Command(
        "escrow the price and offer the job; --dry-run shows the whole plan", f"{_HERE}.post:post", "validator"
    ),
    "list": Command("jobs on this market", f"{_HERE}.jobs:list_jobs"),
    "show": Command("one job: stage, deadline, bids, scores, and the money table", f"{_HERE}.jobs:show"),
    "watch": Command("follow one of your jobs to its end, releasing keys when they are due", f"{_HERE}.watch:watch"),
    "accept": Command("accept bids now instead of waiting", f"{_HERE}.jobs:accept"),
    "agree": Command("end a job by consent: you and its providers sign what each is paid", f"{_HERE}.agreeing:agree"),
    "appeal": Command("call a bigger committee on a scored job", f"{_HERE}.jobs:appeal"),
    "cancel": Command("take an open job back, whole", f"{_HERE}.jobs:cancel"),
    "fetch": Command("download and open the weights you paid for", f"{_HERE}.fetch:fetch"),
}
REQUESTER: Final = {
    "run": Command("do what is due for all your jobs until stopped", f"{_HERE}.watch:run"),
    "keep": Command(
        "keep other people's shard keys, and release them when they are due", f"{_HERE}.keeping:keep", "market"
    ),
    "lend": Command("lend a page of the market the keys to seal one data set with", f"{_HERE}.lending:lend"),
}
CHAIN: Final = {
    "list": Command("artifacts of this market", f"{_HERE}.lineage:list_artifacts"),
    "show": Command("what an artifact was made of, by whom, and what it cost", f"{_HERE}.lineage:show"),
    "claim": Command("enter what a paid lane of your job made", f"{_HERE}.lineage:claim"),
    "offer": Command("offer an artifact of yours to another owner", f"{_HERE}.lineage:offer"),
    "take": Command("take an artifact that was offered to you", f"{_HERE}.lineage:take"),
    "suggest": Command("suggest a royalty to those who build on an artifact of yours", f"{_HERE}.lineage:suggest"),
}
ACCOUNT: Final = {
    "show": Command("how much service and stores hold about you that is not on chain", f"{_HERE}.account:show"),
    "export": Command("write all of it to a file", f"{_HERE}.account:export"),
    "erase": Command("have all of it erased", f"{_HERE}.account:erase"),
}
KEY: Final = {
    "create": Command("make a key ring", f"{_HERE}.keyrings:create"),
    "backup": Command("write all keys of a ring into one encrypted file", f"{_HERE}.keyrings:backup"),
    "restore": Command("make a ring from a backup", f"{_HERE}.keyrings:restore"),
}
COMMANDS: Final = {
    "init": Command("make a job folder from a template", f"{_HERE}.scaffold:init"),
    "data": Command("prepare data for a job", DATA),
    "job": Command("check, post and follow jobs", JOB),
    "requester": Command("the requester as a daemon", REQUESTER),
    "verify": Command(
        "score a settled job again, here, and compare with the chain", f"{_HERE}.verify:verify", "validator"
    ),
    "chain": Command("the value chain: who made what, of what, and who owns it", CHAIN),
    "wallet": Command("your address and balances", f"{_HERE}.wallet:wallet"),
    "deposit": Command("move tokens into your free balance on the market", f"{_HERE}.wallet:deposit"),
    "withdraw": Command("move free balance back to your address, or to another", f"{_HERE}.wallet:withdraw"),
    "account": Command("what is held about you, and having it erased", ACCOUNT),
    "key": Command("key rings", KEY),
    "chat": Command("ask about a job, an error or Heldout; or describe a job and get a job.toml", f"{_HERE}.chat:chat"),
    "image": Command("images that jobs run in", "heldout.market.sandbox.image.cli:main", "provider"),
    "provider": Command("train for others", "heldout.provider.cli:main", "provider"),
    "validator": Command("score for others", "heldout.validator.cli:main", "validator"),
    "market": Command(
        "the market service: index, bid board, mailboxes, pages", "heldout.market.service.cli:main", "market"
    ),
    "store": Command("an artifact store", "heldout.market.artifacts.cli:main", "market"),
    "network": Command(
        "deploy a market of your own, or check one before you trust it", "heldout.market.deployment.cli:main"
    ),
    "ops": Command("units, containers, alert rules and a dashboard for operators", "heldout.ops.cli:main"),
    "devnet": Command("a whole market on this machine", "heldout.devnet.cli:main"),
}


def dispatch(argv: Sequence[str]) -> int:
    """Run one command line. Raises HeldoutError."""
    if list(argv) == ["--version"]:
        print(f"heldout {__version__}")
        return 0
    return run_table("heldout", ABOUT or "", COMMANDS, argv)


def main() -> int:
    """The `heldout` command."""
    return run_command(dispatch, sys.argv[1:])
