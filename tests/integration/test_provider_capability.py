"""A provider signs what its machine did; a stranger with nothing but the file checks it, and finds every change."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from provider_process import heldout, set_up

from heldout.devnet.devnet import Devnet
from heldout.market.capability import Capability

pytestmark = pytest.mark.integration


def checked(net: Devnet, *words: str) -> tuple[int, dict[str, Any]]:
    command = net.command("provider", "check-capability", *words, "--json", home="requester")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout)


def test_a_signed_timing_is_checked_by_a_stranger(tmp_path: Path) -> None:
    """Issue: anyone re-checks the hash on a CPU, by Freivalds' method where the product is at hand."""
    with Devnet.up(tmp_path / "devnet", service=False) as net:
        set_up(net, runner="process")
        file, products = tmp_path / "capability.json", tmp_path / "products"
        told = heldout(net, "provider", "doctor", "--prove", str(file), "--products", str(products))
        proof = Capability.read(file.read_bytes())
        finding = next(each for each in told["findings"] if each["check"] == "proof")
        assert proof.devices[0].device == "numpy" and proof.devices[0].best("multiply") > 0

        code, fast = checked(net, str(file), "--products", str(products))
        assert (code, fast["ok"]) == (0, True) and fast["results"] == [True] * len(fast["results"])
        assert fast["block"] == f"block {proof.block} is of the chain"
        artifact = finding["detail"].rpartition(" ")[2]
        assert checked(net, artifact) == (0, fast)

        for product in products.iterdir():
            product.write_bytes(bytes(product.stat().st_size))
        code, wrong = checked(net, str(file), "--products", str(products))
        assert (code, wrong["ok"]) == (1, False) and wrong["results"].count(False) == len(list(products.iterdir()))
