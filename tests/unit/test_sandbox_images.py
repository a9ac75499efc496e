"""What the shipped images ask pip for."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from heldout.market.sandbox.image import build
from heldout.market.sandbox.image.build import FLAVOURS


@pytest.mark.parametrize(
    ("flavour", "machine", "takes", "refuses"),
    [
        ("torch-cpu", "x86_64", "2.13.0+cpu", ["2.13.0", "2.13.0+cu130"]),
        ("torch-cpu", "aarch64", "2.10.0", ["2.13.0", "2.13.0+cu130"]),
        ("torch-cuda", "x86_64", "2.13.0", ["2.13.0+cpu"]),
        ("torch-cuda", "aarch64", "2.13.0+cu130", ["2.13.0+cpu"]),
    ],
)
def test_a_flavour_takes_no_wheel_of_the_other(flavour: str, machine: str, takes: str, refuses: list[str]) -> None:
    """They have one name: asked for alike, the image of one was found for the other."""
    asked = map(Requirement, FLAVOURS[flavour])
    (wanted,) = (each for each in asked if not each.marker or each.marker.evaluate({"platform_machine": machine}))
    assert takes in wanted.specifier and not any(version in wanted.specifier for version in refuses)


def make_wheel(folder: Path, name: str, *conditions: str) -> None:
    needs = "".join(f"Requires-Dist: {condition}\n" for condition in conditions)
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{needs}")
        wheel.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.dist-info/RECORD", "")


@pytest.mark.parametrize(("architecture", "other"), [("amd64", "aarch64"), ("arm64", "x86_64")])
def test_what_a_wheel_needs_is_asked_of_the_machine_it_is_for(
    architecture: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch for ARM was refused on x64, for there it asks for CUDA, whose wheels for ARM are not to be had."""
    (index := tmp_path / "index").mkdir()
    make_wheel(index, "whole", f'missing; platform_machine == "{other}"', f'part; platform_machine != "{other}"')
    make_wheel(index, "part")
    (tmp_path / "requirements.txt").write_text("whole\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    build._fetch(tmp_path, "3.11", architecture, "")
    assert {wheel.name.partition("-")[0] for wheel in (tmp_path / "wheels").iterdir()} == {"whole", "part"}
