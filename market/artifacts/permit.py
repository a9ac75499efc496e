"""The right to put bytes on somebody's disk: a text that the uploader signs, carried in one header.

    Heldout-Upload: 0xADDRESS EXPIRES 0xSIGNATURE [SHA256:BYTES,SHA256:BYTES,…]

The signature (EIP-191) is over store, artifact, size and expiry, so a permit is worth nothing for other bytes, in
another store, or later. It says who fills the disk; it gives no rights over the artifact, which belongs to nobody.
A wallet that asks a person each time signs once for a list, which then comes along with every one of its uploads.
"""

from collections.abc import Callable, Sequence
from functools import partial
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
MOST_LISTED: Final = 150
"""Blobs that one signature may name: a header has to hold them."""


def permit_text(store: str, artifact: ArtifactId, size: int, expires: int) -> str:
    """What is signed. `store` is the store's public address, without a slash at its end."""
    return f"Heldout upload\nstore: {store}\nsha256: {artifact}\nbytes: {size}\nexpires: {expires}"


def list_text(store: str, blobs: Sequence[tuple[str, int]], expires: int) -> str:
    """What is signed for several blobs at once: `(SHA-256, bytes)` of each."""
    lines = "".join(f"\n{artifact} {size}" for artifact, size in blobs)
    return f"Heldout uploads\nstore: {store}\nexpires: {expires}{lines}"


def write_permit(signer: Signer, store: str, artifact: ArtifactId, size: int, expires: int) -> str:
    """The header's value."""
    return f"{signer.address} {expires} {sign_text(signer, permit_text(store, artifact, size, expires))}"


def check_permit(header: str, store: str, artifact: ArtifactId, size: int, now: float) -> Address:
    """The address that signed for these bytes. Raises Refused."""
    what = f"{store}, these bytes and this size"
    one = partial(permit_text, store, artifact, size)
    return _signer_of(header, one, what, now, lambda listed, expires: _listed(store, listed, artifact, size, expires))


def account_text(store: str, action: str, expires: int) -> str:
    """What is signed to ask about one's own account: `list`, `drop SHA256` or `drop all`."""
    return f"Heldout account\nstore: {store}\naction: {action}\nexpires: {expires}"


def write_account_permit(signer: Signer, store: str, action: str, expires: int) -> str:
    """The value of ACCOUNT_HEADER."""
    return f"{signer.address} {expires} {sign_text(signer, account_text(store, action, expires))}"


def check_account_permit(header: str, store: str, action: str, now: float) -> Address:
    """The address whose account it is. Raises Refused."""
    return _signer_of(header, lambda expires: account_text(store, action, expires), f"{store} and {action!r}", now)


def _signer_of(
    header: str, text: Callable[[int], str], what: str, now: float, several: Callable[[str, int], str] | None = None
) -> Address:
    """Who signed `text(expires)`, or `several(list, expires)`, if the header claims just that and it is good now."""
    try:
        claimed, expires, signature, *rest = header.split(" ")
        if len(rest) > (several is not None):
            raise ValueError("more than a permit has")
        said = several(rest[0], int(expires)) if rest and several else text(int(expires))
        signer = recover(personal_digest(said), bytes.fromhex(signature.removeprefix("0x")))
    except (ValueError, BadInput):
        raise _refused("the permit cannot be read") from None
    if signer.lower() != claimed.lower():
        raise _refused(f"the permit is not for {what}, or not by {claimed}")
    if not now < int(expires) <= now + LIFETIME:
        raise _refused("the permit has expired, or is good for too long")
    return signer


def _listed(store: str, listed: str, artifact: ArtifactId, size: int, expires: int) -> str:
    """The text of a permit for several blobs. Raises ValueError unless these bytes are among them."""
    blobs = [(name, int(count)) for name, count in (entry.split(":") for entry in listed.split(","))]
    if (artifact, size) not in blobs or len(blobs) > MOST_LISTED:
        raise ValueError("not in the list")
    return list_text(store, blobs, expires)


def _refused(message: str) -> HeldoutError:
    hint = f"sign the {HEADER} or {ACCOUNT_HEADER} header for this store's public address; check this machine's clock"
    return Refused(message, hint=hint, code="upload_refused")
