"""The right to put bytes on somebody's disk: a text that the uploader signs, carried in one header.

    Heldout-Upload: 0xADDRESS EXPIRES 0xSIGNATURE

The signature (EIP-191) is over store, artifact, size and expiry, so a permit is worth nothing for other bytes, in
another store, or later. It says who fills the disk; it gives no rights over the artifact, which belongs to nobody.
"""

from typing import Final

from heldout.market.artifacts.blob import ArtifactId
from heldout.market.errors import BadInput, HeldoutError, Refused
from heldout.market.signatures import Signer, personal_digest, recover, sign_text
from heldout.market.terms import Address

HEADER: Final = "Heldout-Upload"
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
    try:
        claimed, expires, signature = header.split(" ")
        digest = personal_digest(permit_text(store, artifact, size, int(expires)))
        signer = recover(digest, bytes.fromhex(signature.removeprefix("0x")))
    except (ValueError, BadInput):
        raise _refused("the upload's permit cannot be read") from None
    if signer.lower() != claimed.lower():
        raise _refused(f"the upload's permit is not for {store}, these bytes and this size, or not by {claimed}")
    if not now < int(expires) <= now + LIFETIME:
        raise _refused("the upload's permit has expired, or is good for too long")
    return signer


def _refused(message: str) -> HeldoutError:
    hint = f"sign the {HEADER} header for this store's public address; check this machine's clock"
    return Refused(message, hint=hint, code="upload_refused")
