"""What an idle validator does without: its memory is its owner's (architecture: heavy imports have one home)."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "torch", "onnx", "web3", "fastapi", "sqlalchemy", "docker")


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_daemon_imports_nothing_heavy() -> None:
    """Issue 2, item 9: scoring runs in a process of its own."""
    assert not modules_after("import heldout.validator.run") & set(HEAVY)


@pytest.mark.parametrize("command", ["init", "stake", "unstake", "doctor", "run", "duties", "status", "replay"])
def test_every_command_explains_itself_and_imports_nothing_for_it(command: str) -> None:
    """Issue 2, item 7: `--help` within the time of a bare interpreter, nearly."""
    code = f"""
from heldout.validator.cli import main
try:
    main(["{command}", "--help"])
except SystemExit:
    pass
"""
    loaded = modules_after(code)
    assert not loaded & {*HEAVY, "eth_account", "eth_abi", "cryptography", "httpx2", "prometheus_client"}
