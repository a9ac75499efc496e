"""The right to put bytes on somebody's disk: a text that the uploader signs, carried in one header.

    Heldout-Upload: 0xADDRESS EXPIRES 0xSIGNATURE

The signature (EIP-191) is over store, artifact, size and expiry, so a permit is worth nothing for other bytes, in
another store, or later. It says who fills the disk; it gives no rights over the artifact, which belongs to nobody.
"""

from collections.abc import Callable
from typing import Final

from heldout.market.artifacts.blob import ArtifactId
from heldout.market.errors import BadInput, HeldoutError, Refused
from heldout.market.signatures import Signer, personal_digest, recover, sign_text
from heldout.market.terms import Address

HEADER: Final = "Heldout-Upload"
ACCOUNT_HEADER: Final = "Heldout-Account"
"""The same for what is kept on one's own account: 0xADDRESS EXPIRES 0xSIGNATURE."""
LIFETIME: Final = 3600
"""Most seconds a permit may be good for."""


def permit_text(store: str, artifact: ArtifactId, size: int, expires: int) -> str:
    """What is signed. `store` is the store's public address, without a slash at its end."""
    return f"Heldout upload\nstore: {store}\nsha256: {artifact}\nbytes: {size}\nexpires: {expires}"


def write_permit(signer: Signer, store: str, artifact: ArtifactId, size: int, expires: int) -> str:
    """The header's value."""
    return f"{signer.address} {expires} {sign_text(signer, permit_text(store, artifact, size, expires))}"


def check_permit(header: str, store: str, artifact: ArtifactId, size: int, now: float) -> Address:
    """The address that signed for these bytes. Raises Refused."""
    what = f"{store}, these bytes and this size"
    return _signer_of(header, lambda expires: permit_text(store, artifact, size, expires), what, now)


def account_text(store: str, action: str, expires: int) -> str:
    """What is signed to ask about one's own account: `list`, `drop SHA256` or `drop all`."""
    return f"Heldout account\nstore: {store}\naction: {action}\nexpires: {expires}"


def write_account_permit(signer: Signer, store: str, action: str, expires: int) -> str:
    """The value of ACCOUNT_HEADER."""
    return f"{signer.address} {expires} {sign_text(signer, account_text(store, action, expires))}"


def check_account_permit(header: str, store: str, action: str, now: float) -> Address:
    """The address whose account it is. Raises Refused."""
    return _signer_of(header, lambda expires: account_text(store, action, expires), f"{store} and {action!r}", now)


def _signer_of(header: str, text: Callable[[int], str], what: str, now: float) -> Address:
    """Who signed `text(expires)`, if the header claims just that and it is good now."""
    try:
        claimed, expires, signature = header.split(" ")
        signer = recover(personal_digest(text(int(expires))), bytes.fromhex(signature.removeprefix("0x")))
    except (ValueError, BadInput):
        raise _refused("the permit cannot be read") from None
    if signer.lower() != claimed.lower():
        raise _refused(f"the permit is not for {what}, or not by {claimed}")
    if not now < int(expires) <= now + LIFETIME:
        raise _refused("the permit has expired, or is good for too long")
    return signer


def _refused(message: str) -> HeldoutError:
    hint = f"sign the {HEADER} or {ACCOUNT_HEADER} header for this store's public address; check this machine's clock"
    return Refused(message, hint=hint, code="upload_refused")
