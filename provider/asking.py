"""`heldout provider price`: what to ask, from what others were paid and what power costs."""

import argparse

from heldout.market.chain import connect
from heldout.market.console import amount, emit, home_path, load_network
from heldout.market.manifest import Manifest
from heldout.market.money import Wei, format_tokens, parse_tokens
from heldout.market.terms import BlockNumber, JobTerms
from heldout.provider.book import Book
from heldout.provider.materials import Materials
from heldout.provider.pricing import LONG_S, Suggestion, power_up, sales, suggest

BLOCKS = 200_000
"""About a month of 12-second blocks."""


def price_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--blocks", type=int, default=BLOCKS, metavar="N", help="how far back to look")
    parser.add_argument("--watts", type=float, default=0.0, metavar="W", help="what this machine draws in training")
    parser.add_argument("--kwh", default="0", metavar="TOKENS", help="what a kilowatt-hour costs, in tokens")


def price(args: argparse.Namespace) -> int:
    """Suggest a price per job-hour and a minimum per job, from what lanes went for lately and what power costs."""
    from heldout.market.artifacts import Stores

    network = load_network(args)
    chain = connect(network)
    book = Book.from_block(chain, BlockNumber(max(0, chain.head().number - args.blocks)))
    book.advance()
    materials = Materials(Stores.of(network.stores), home_path(args))

    def manifest_of(terms: JobTerms) -> Manifest | None:
        found = materials.manifest(terms)
        return found if isinstance(found, Manifest) else None

    said = suggest(sales(book.jobs.values(), manifest_of), power_up(args.watts, parse_tokens(args.kwh)))
    emit(args, _as_json(said), *_words(said))
    return 0


def _as_json(said: Suggestion) -> dict[str, object]:
    lanes = {"low": said.low, "middle": said.middle, "high": said.high, "hourly": said.hourly, "power": said.floor}
    prices = {**lanes, "price": said.price, "minimum": said.minimum}
    shown = {name: None if value is None else amount(value) for name, value in prices.items()}
    return {"sales": said.sales, "paid": said.paid, **shown}


def _words(said: Suggestion) -> list[str]:
    def plain(value: Wei | None) -> str:
        return "unknown" if value is None else format_tokens(value)

    sold = [
        f"accepted lately  {said.sales} lanes, {said.paid} of them paid by their score so far",
        f"a lane went for  {plain(said.low)} to {plain(said.high)}, in the middle {plain(said.middle)}",
        f"a job-hour       {plain(said.hourly)}" + ("" if said.hourly else f" (no lane of {LONG_S // 60} min or more)"),
    ]
    return [
        *(sold if said.sales else ["accepted lately  nothing that this network's stores can still describe"]),
        f"power costs      {plain(said.floor)}" + ("" if said.floor else " (name --watts and --kwh)"),
        f"suggested        price {plain(said.price)} a job-hour and minimum {plain(said.minimum)} a job",
        "write both under [pay] in provider.toml",
    ]
