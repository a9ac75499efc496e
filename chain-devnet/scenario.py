"""`./run demo`: one job from post to payout, told as it happens, by the very commands a user types.

A requester's escrow becomes a model that was trained in a sandbox without network and scored by three drawn seats on
shards that nobody could choose. Ends with a line a script can read, and with status 0 only if all of it is true:

    demo: job <id> settled, score <ppm>, paid <amount>, sum ok
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from heldout.devnet.devnet import Devnet
from heldout.market.console import table
from heldout.market.messages import describe_score
from heldout.market.money import format_tokens

PROVIDERS, VALIDATORS = 2, 8
BLOCK_TIME_S = 1

_ABOUT = """\
Heldout demo: you pay for a model only if it works on data nobody could have trained on.

One market on this machine: a chain, an artifact store, the market service, {providers} providers at different
prices, and {validators} validators with {seats} seats of stake. The job: learn handwritten digits from scikit-learn's
1,797 real images.
Digits are public, so this demo shows the mechanism, not secrecy: what is sealed here, anybody could look up.
"""


def main() -> int:
    """Run the whole story in a folder of its own. The exit status is the truth of the last line."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="heldout-demo-") as scratch:
        state = Path(scratch) / "devnet"
        print(_ABOUT.format(providers=PROVIDERS, validators=VALIDATORS, seats=3 * VALIDATORS), flush=True)
        step("starting the market")
        with Devnet.up(state, block_time=BLOCK_TIME_S, providers=PROVIDERS, validators=VALIDATORS) as devnet:
            for name in devnet.processes.running():
                print(f"  {name}", flush=True)
            user = User(devnet, Path(scratch) / "digits")
            try:
                job = tell(user)
            except subprocess.CalledProcessError as failed:
                return user.give_up(f"`heldout {' '.join(failed.cmd[3:5])}` exited {failed.returncode}")
            score, paid, sums = verdict(job, who_is_who(devnet))
        seconds = time.monotonic() - began
        print(f"\nthe whole story took {seconds:.0f} s, the market's start included")
        if not sums:
            print("demo: FAILED, see above", flush=True)
            return 1
        print(f"demo: job {job['id']} settled, score {score}, paid {format_tokens(paid)}, sum ok", flush=True)
        return 0


def tell(user: "User") -> dict[str, Any]:
    """Every step of the main job. Returns the settled job as `job show --json` prints it."""
    step("a job folder, with real data")
    user.run("init", "digits", str(user.folder))
    user.python("make_data.py")
    user.python("make_graph.py")
    step("seal the data: 20 shards, each under its own key, before anybody knows which will be held out")
    user.run("data", "seal")
    step("check the job before money moves: baseline and scorer twice, in the sandbox, and whether the training starts")
    user.run("job", "check")
    step("what it will cost, and the most it can cost")
    user.run("job", "post", "--dry-run")
    step("post it: the escrow is locked on chain")
    job = user.data("job", "post", "-y")["job"]
    step("follow it: bids, split, training, seal, draw, commits, reveals, payout. Keys are released when they are due")
    user.run("job", "watch", job)
    step("fetch the weights that were paid for, and measure them again on this machine")
    user.run("job", "fetch", job)
    user.run("verify", job)
    shown: dict[str, Any] = user.data("job", "show", job)
    return shown


def verdict(job: dict[str, Any], names: dict[str, str]) -> tuple[int, int, bool]:
    """(score in ppm, paid to the provider in wei, whether everything claimed is true), with the money table."""
    step("the money, to the last unit")
    rows = [
        (row["direction"], row["purpose"], names.get(row["account"], row["account"]), _tokens(row["amount"]))
        for row in job["money"]
    ]
    print("\n".join(table(("", "for", "who", "HELD"), rows)))
    came, went = (
        sum(int(row["amount"]["wei"]) for row in job["money"] if row["direction"] == side) for side in ("in", "out")
    )
    print(f"in {format_tokens(came)}, out {format_tokens(went)}: {'equal' if came == went else 'NOT EQUAL'}")
    lane = job["lanes"][0]
    score, paid = int(lane["score_ppm"] or 0), int(lane["payout"]["wei"])
    votes = [votes[0] for round_ in job["rounds"] for votes in round_["votes"].values()]
    print(f"votes    {'  '.join(votes)}   ({len(votes)} drawn seats, one number)")
    roads = job["roads"]["rounds"]
    print(f"road     commits {roads[0]['commits']}, reveals {roads[0]['reveals']}, end {job['roads']['end']}")
    settled = job["state"] == "settled" and job["outcome"] == "measured"
    agreed = len(votes) >= 3 and set(votes) == {describe_score(score)}
    return score, paid, settled and agreed and paid > 0 and came == went and bool(job["sums"])


def who_is_who(devnet: Devnet) -> dict[str, str]:
    """Names of the devnet's parties, by address."""
    parties = ["requester", *(f"provider-{n}" for n in range(PROVIDERS))]
    owners = {devnet.keys(f"validator-{n}-cold").address: f"validator-{n}" for n in range(VALIDATORS)}
    return {str(devnet.keys(name).address): name for name in parties} | {str(a): n for a, n in owners.items()}


def _tokens(amount: dict[str, str]) -> str:
    return format_tokens(int(amount["wei"]))


class User:
    """The requester at a terminal: runs `heldout` commands in the job folder and shows them."""

    def __init__(self, devnet: Devnet, folder: Path) -> None:
        self.devnet = devnet
        self.folder = folder

    def _argv(self, words: tuple[str, ...]) -> list[str]:
        return self.devnet.command(*words, home="requester")

    def _folder(self) -> Path:
        return self.folder if self.folder.exists() else self.folder.parent

    def run(self, *words: str) -> None:
        """Raises CalledProcessError if the command fails."""
        print(f"$ heldout {' '.join(words)}", flush=True)
        argv = [sys.executable, "-m", "heldout", *words] if words[0] == "init" else self._argv(words)
        subprocess.run(argv, cwd=self._folder(), check=True)

    def data(self, *words: str) -> dict[str, Any]:
        """As `run` with --json: what the command says to programs; what it says to people is shown."""
        print(f"$ heldout {' '.join(words)} --json", flush=True)
        done = subprocess.run(
            [*self._argv(words), "--json"], cwd=self._folder(), check=True, stdout=subprocess.PIPE, text=True
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def python(self, script: str) -> None:
        print(f"$ python {script}", flush=True)
        subprocess.run([sys.executable, script], cwd=self.folder, check=True)

    def give_up(self, why: str) -> int:
        """Show what the nodes said last."""
        for name in self.devnet.processes.running():
            print(f"\n-- {name}\n{self.devnet.processes.log_tail(name)}", file=sys.stderr)
        print(f"demo: FAILED, {why}", flush=True)
        return 1


def step(what: str) -> None:
    print(f"\n== {what}", flush=True)


def _exit() -> NoReturn:
    os.environ.setdefault("NO_COLOR", "1")
    sys.exit(main())


if __name__ == "__main__":
    _exit()
