"""The base image is made from this machine's own suite and mirror: both formats of apt's list are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from heldout.market.sandbox.image.apt import AptSource, own_source

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://old.test/ubuntu noble main
deb-src http://mirror.test/ubuntu noble main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/ubuntu/ noble main universe  # as installed
deb http://mirror.test/ubuntu noble-security main
"""


def machine(folder: Path, codename: str, name: str, text: str) -> tuple[Path, Path]:
    apt = folder / "apt"
    (apt / name).parent.mkdir(parents=True)
    (apt / name).write_text(text)
    release = folder / "os-release"
    release.write_text(f'NAME="x"\nVERSION_CODENAME={codename}\n')
    return apt, release


@pytest.mark.parametrize(
    ("codename", "name", "text", "expected"),
    [
        (
            "bookworm",
            "sources.list.d/debian.sources",
            DEB822,
            AptSource("http://mirror.test/debian", "bookworm", ("main", "contrib"), "/usr/share/keyrings/archive.gpg"),
        ),
        (
            "noble",
            "sources.list",
            ONE_LINE,
            AptSource("http://mirror.test/ubuntu/", "noble", ("main", "universe"), "/k.gpg"),
        ),
        ("noble", "sources.list.d/extra.list", "deb http://other.test/x stable main\n", None),
        ("noble", "sources.list.d/extra.list.save", ONE_LINE, None),
    ],
    ids=["deb822", "one line", "another suite", "not a list"],
)
def test_the_source_of_the_release_is_found(
    tmp_path: Path, codename: str, name: str, text: str, expected: AptSource | None
) -> None:
    assert own_source(*machine(tmp_path, codename, name, text)) == expected


def test_a_key_written_into_the_stanza_leaves_the_keyring_open(tmp_path: Path) -> None:
    text = DEB822.replace("/usr/share/keyrings/archive.gpg", "\n -----BEGIN-----\n .\n Suites: evil\n -----END-----")
    found = own_source(*machine(tmp_path, "bookworm", "sources.list.d/debian.sources", text))
    assert found == AptSource("http://mirror.test/debian", "bookworm", ("main", "contrib"), "")


def test_a_list_of_mirrors_is_followed(tmp_path: Path) -> None:
    (tmp_path / "mirrors").write_text("http://first.test/debian\nhttp://second.test/debian\n")
    line = f"deb mirror+file:{tmp_path}/mirrors bookworm main\n"
    found = own_source(*machine(tmp_path, "bookworm", "sources.list", line))
    assert found is not None and found.uri == "http://first.test/debian"


def test_a_machine_without_apt_has_no_source(tmp_path: Path) -> None:
    assert own_source(tmp_path / "apt", tmp_path / "os-release") is None
