"""`heldout requester lend`: fresh keys for one page, which the ring can derive again, and only while somebody keeps."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from heldout.market import sealing
from heldout.market.errors import BadEnvelope, BadInput, Refused
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.requester_cli.loans import PREFIX, lend_keys, loan_context
from heldout.requester_cli.main import dispatch
from tests.builders import digest
from tests.service_app import NETWORK

KEYS = KeyRing(Account.from_key(digest("account")), digest("root"))
PAGE = digest("page")
CODE = sealing.wrap_public_key(PAGE).hex()


def test_what_is_lent_is_what_the_ring_seals_with() -> None:
    """Nothing has to be handed over later: salt and ring are enough (decision 8)."""
    salt = digest("salt")
    loan = lend_keys(KEYS, bytes.fromhex(CODE), salt, 20)
    lent = sealing.open_envelope(PAGE, loan.envelope, loan_context(KEYS.address, KEYS.wrap_public, salt))
    keys = [lent[at : at + 32] for at in range(0, len(lent), 32)]
    secret = KEYS.data_secret
    assert keys == [sealing.order_key(secret, salt), *(sealing.shard_key(secret, salt, i) for i in range(20))]


def test_another_page_cannot_open_a_loan_and_neither_can_a_changed_salt() -> None:
    """Threat 76."""
    loan = lend_keys(KEYS, bytes.fromhex(CODE), digest("salt"), 16)
    context = loan_context(loan.address, loan.wrap_key, loan.salt)
    with pytest.raises(BadEnvelope):
        sealing.open_envelope(digest("another page"), loan.envelope, context)
    with pytest.raises(BadEnvelope):
        sealing.open_envelope(PAGE, loan.envelope, loan_context(loan.address, loan.wrap_key, digest("other")))


@pytest.fixture
def lend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command, with a ring of its own: what it prints."""
    (tmp_path / "network.json").write_text(NETWORK.to_json())
    (tmp_path / "password").write_text("long enough")
    (tmp_path / "password").chmod(0o600)
    KeyRing.create(tmp_path / "home", "long enough", light=True)
    named = {"network": "network.json", "home": "home", "password-file": "password"}
    given = [word for name, file in named.items() for word in (f"--{name}", str(tmp_path / file))]

    def run(*words: str) -> str:
        assert dispatch(["requester", "lend", *words, *given]) == 0
        return capsys.readouterr().out.strip()

    return run


def told(line: str) -> Any:
    body = line.removeprefix(PREFIX)
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_nothing_is_lent_while_nobody_keeps(lend: Callable[..., str], tmp_path: Path) -> None:
    """A page that posts without a keeper would cost the bond."""
    with pytest.raises(Refused, match="not running") as refused:
        lend(CODE)
    assert refused.value.code == "nobody_keeps"
    with Journal(tmp_path / "home" / "journals" / "keeper"):
        assert lend(CODE).startswith(PREFIX)
    assert lend(CODE, "--elsewhere").startswith(PREFIX)


def test_every_loan_has_a_salt_of_its_own(lend: Callable[..., str]) -> None:
    """One use of a data root: the same keys for two data sets would tell rows of one from the other."""
    first, second = (told(lend(CODE, "--elsewhere", "--shards", "16")) for _ in range(2))
    assert first["salt"] != second["salt"] and first["envelope"] != second["envelope"]
    assert first["shards"] == 16


@pytest.mark.parametrize(
    "words", [("x",), ("0x" + CODE,), (CODE[:-1],), (CODE, "--shards", "8"), (CODE, "--shards", "65")]
)
def test_what_is_no_code_is_refused(lend: Callable[..., str], words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput):
        lend(*words, "--elsewhere")


def test_a_key_of_low_order_is_refused(lend: Callable[..., str]) -> None:
    with pytest.raises(BadEnvelope):
        lend("00" * 32, "--elsewhere")
