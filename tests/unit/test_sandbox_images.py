"""What the shipped images ask pip for."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from heldout.market.sandbox.image.build import FLAVOURS


@pytest.mark.parametrize(
    ("flavour", "takes", "refuses"),
    [
        ("torch-cpu", "2.13.0+cpu", ["2.13.0", "2.13.0+cu130"]),
        ("torch-cuda", "2.13.0", ["2.13.0+cpu"]),
        ("torch-cuda", "2.13.0+cu130", ["2.13.0+cpu"]),
    ],
)
def test_a_flavour_takes_no_wheel_of_the_other(flavour: str, takes: str, refuses: list[str]) -> None:
    """They have one name: asked for alike, the image of one was found for the other."""
    (wanted,) = map(Requirement, FLAVOURS[flavour])
    assert takes in wanted.specifier and not any(version in wanted.specifier for version in refuses)
