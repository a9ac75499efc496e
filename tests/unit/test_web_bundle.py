"""What the pages load is what its sources say: the committed bundle is built anew and compared byte for byte."""

import re
import subprocess
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "market" / "service"
ESBUILD = SERVICE.parents[1] / "node_modules" / ".bin" / "esbuild"


NAMED_IN_ERRORS = ("https://viem.sh", "https://4byte.sourcify.dev")
"""Written into the texts of a library's errors; the pages' policy would not let anything be loaded from there."""


def test_the_committed_bundle_is_what_its_sources_make(tmp_path: Path) -> None:
    if not ESBUILD.exists():
        pytest.fail("no esbuild: run `npm ci`, as ./run does")
    subprocess.run([SERVICE / "web" / "build.sh", str(tmp_path)], check=True)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in (SERVICE / "static").iterdir()}
    assert built.keys() == committed.keys()
    different = [name for name, data in built.items() if committed[name] != data]
    assert different == [], "run market/service/web/build.sh and commit what it writes"


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in (SERVICE / "static").iterdir():
        text = path.read_text()
        assert "@import" not in text
        assert set(re.findall(r"https?://[\w.-]+", text)) <= {"http://www.w3.org", *NAMED_IN_ERRORS}
