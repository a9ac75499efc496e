"""provider.toml: an explicit price or none of it, and errors that name the key (issue 2 item 5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heldout.market.errors import BadInput
from heldout.market.money import ONE_TOKEN, Wei
from heldout.provider import config
from heldout.provider.bidding import Offer


def test_what_init_writes_is_what_run_reads() -> None:
    offer = Offer(Wei(14 * ONE_TOKEN // 10), Wei(ONE_TOKEN // 2))
    text = config.render(offer, cpus=4, memory_bytes=8 << 30, disk_bytes=100 << 30, gpus=1, runner="docker")
    read = config.parse(text)
    assert read.offer == replace(offer, cpus=4, memory_bytes=8 << 30, disk_bytes=100 << 30, gpus=1)
    assert read.runner == "docker"
    assert read.metrics == "127.0.0.1:0"
    assert read.alarm_command == () and read.alarm_webhook == ""


@pytest.mark.parametrize(
    "text", ["", "[pay]\n", '[pay]\nprice = ""\n', '[pay]\nprice = "0"\n', '[pay]\nprice = "0.0"\n']
)
def test_an_unset_price_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        config.parse(text)
    assert refused.value.code == "price_unset"


def test_a_file_rendered_without_an_offer_refuses_to_be_used() -> None:
    text = config.render(None, cpus=1, memory_bytes=1 << 30, disk_bytes=1 << 30, gpus=0, runner="docker")
    with pytest.raises(BadInput) as refused:
        config.parse(text)
    assert refused.value.code == "price_unset"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[pay]\nprise = '1'", "did you mean price"),
        ("[offers]\ncpus = 1", "did you mean offer"),
        ("pay = 3", r"\[pay\]"),
        ("[pay]\nprice = 1.4", "in quotes"),
        ("[pay]\nprice = '1.4'\n[offer]\ncpus = 0", "cpus must be a whole number"),
        ("[pay]\nprice = '1.4'\n[offer]\nmemory = '4 gigs'", "memory"),
        ("[pay]\nprice = '1.4'\n[run]\nrunner = 'chroot'", "runner"),
        ("[pay]\nprice = '1.4'\n[alarm]\ncommand = 'sh -c boo'", "list of words"),
        ("[pay", "provider.toml"),
    ],
)
def test_every_mistake_is_named(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        config.parse(text)


def test_sizes_are_binary() -> None:
    read = config.parse("[pay]\nprice = '1'\n[offer]\nmemory = '512 MiB'\ndisk = '2GiB'")
    assert (read.offer.memory_bytes, read.offer.disk_bytes) == (512 << 20, 2 << 30)
