"""`heldout chat`: questions answered out of the documentation and the chain, with sources. It holds no key."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.market.console import emit, load_network, say
from heldout.market.errors import BadInput, HeldoutError

if TYPE_CHECKING:
    from heldout.market.assistant.answering import Answer, Told
    from heldout.market.assistant.ranking import Ranker
    from heldout.market.money import Wei
    from heldout.requester_cli.client import Client

KEY_VARIABLE = "HELDOUT_CHAT_KEY"
"""The endpoint's own key; never one of a key ring's."""
_FULL_ID = 66


def chat_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", metavar="WORDS", nargs="*", help="a question; without one, a conversation")
    parser.add_argument("--endpoint", metavar="URL", help=f"OpenAI-compatible base URL; its key from ${KEY_VARIABLE}")
    parser.add_argument("--model", metavar="NAME", default="", help="the model behind the endpoint")
    parser.add_argument("--save", metavar="FILE", type=Path, help="write a drafted job.toml there (never over a file)")


def chat(args: argparse.Namespace) -> int:
    """Ask about Heldout, a job, a transaction or an error, or describe a job and get a job.toml with its price.
    Offline unless --endpoint is given; nothing is ever signed or sent."""
    from heldout.market.assistant.answering import Assistant
    from heldout.market.assistant.endpoint import Endpoint

    if args.endpoint and not args.model:
        raise BadInput("which model?", hint="name it with --model", code="usage")
    with _Rows(args) as rows:
        assistant = Assistant(_ranker(args), rows)
        answerer: Any = assistant
        if args.endpoint:
            answerer = Endpoint(assistant, args.endpoint, args.model, os.environ.get(KEY_VARIABLE, ""))
        if args.question:
            words = " ".join(args.question).encode(errors="replace").decode()  # a command line may hold any bytes
            _show(args, answerer.answer(words))
            return 0
        if not sys.stdin.isatty():
            raise BadInput("nothing was asked", hint='heldout chat "how do I get my stake back?"', code="usage")
        say("Ask, or describe a job you want trained. An empty line ends.")
        while question := input("> ").strip():
            _show(args, answerer.answer(question))
    return 0


def _show(args: argparse.Namespace, answer: "Answer") -> None:
    draft = answer.draft.toml if answer.draft else None
    sources = [f"  [{source}]" for source in answer.sources]
    value = {"text": answer.text, "sources": answer.sources, "draft": draft, "mode": answer.mode}
    emit(args, value, *answer.text.splitlines(), *sources)
    if not args.json:
        say(f"  ({answer.mode})", style="dim")
    if draft and args.save:
        try:
            with args.save.open("x") as file:
                file.write(draft)
        except FileExistsError:
            raise BadInput(f"{args.save} exists", hint="name another file", code="file_exists") from None
        say(f"written to {args.save}")


def _ranker(args: argparse.Namespace) -> "Ranker":
    """BM25, and sentence embeddings beside it if they are installed."""
    from platformdirs import user_cache_path

    from heldout.market.assistant.embedding import Embeddings
    from heldout.market.assistant.passages import passages
    from heldout.market.assistant.ranking import Bm25, Fused
    from heldout.market.texts import text

    try:
        return Fused(Bm25(passages()), Embeddings(passages(), user_cache_path("heldout"), say))
    except BadInput as absent:
        say(text("answer.no_embeddings", hint=absent.hint), style="dim")
        return Bm25(passages())


class _Rows:
    """Facts by the chain alone; opened when the first of them is asked for. Satisfies assistant.answering.Facts."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._client: Client | None = None

    def __enter__(self) -> "_Rows":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._client is not None:
            self._client.close()

    def look_up(self, identity: str) -> "Told | None":
        from heldout.market.assistant.answering import Told
        from heldout.requester_cli.report import lines

        client = self._open()
        try:
            job = client.job(identity)
        except BadInput:
            return self._transaction(identity)
        now = client.chain.head().timestamp
        return Told(tuple(lines(job, now)), f"job {job.id}, posted in tx {job.posted.tx}")

    def minimum_fee(self) -> "Wei":
        """The market's; what a devnet asks, if no market can be reached: it is a draft."""
        from heldout.market.money import parse_tokens

        try:
            return self._open().chain.parameters().minimum_fee
        except HeldoutError:
            return parse_tokens("0.01")

    def _transaction(self, identity: str) -> "Told | None":
        from heldout.market.assistant.answering import Told
        from heldout.market.narration import narrate

        chain = self._open().chain
        receipt = chain.rpc.call("eth_getTransactionReceipt", identity) if len(identity) == _FULL_ID else None
        if receipt is None:
            return None
        block = int(receipt["blockNumber"], 16)
        events = [event for event in chain.events(block, block) if event.tx == identity.lower()]
        told = tuple(f"job {event.job}: {narrate(event)}" if event.job else narrate(event) for event in events)
        return Told(told, f"tx {identity}, block {events[0].block}") if events else None

    def _open(self) -> "Client":
        from heldout.requester_cli.client import Client

        if self._client is None:
            self._client = Client(load_network(self._args))
        return self._client
