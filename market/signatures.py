"""Signed text (EIP-191) and who signed it: for upload permits and sign-in. Pure; contract wallets need the chain."""

from typing import Any, Final, Protocol

from coincurve import PublicKey

from heldout.market.errors import BadMessage
from heldout.market.terms import Address, capitals, keccak256

SIGNATURE_BYTES: Final = 65
_HALF_ORDER: Final = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0
"""Half the order of secp256k1: a signature above it is the malleable twin of one below (EIP-2)."""


class SignedHash(Protocol):
    @property
    def signature(self) -> bytes: ...


class Signer(Protocol):
    """What this module needs of an eth_account LocalAccount."""

    @property
    def address(self) -> str: ...
    def unsafe_sign_hash(self, message_hash: Any) -> SignedHash: ...


def personal_digest(text: str) -> bytes:
    """The 32 bytes a wallet signs for `personal_sign` (EIP-191, version 0x45)."""
    data = text.encode()
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(data)).encode() + data)


def sign_text(signer: Signer, text: str) -> str:
    """The signer's 65-byte signature as 0x-hex."""
    return "0x" + bytes(signer.unsafe_sign_hash(personal_digest(text)).signature).hex()


def recover(digest: bytes, signature: bytes) -> Address:
    """The address whose key signed `digest`: r ‖ s ‖ v with v 27 or 28 and s in the lower half. Raises BadMessage."""
    try:
        v = signature[64] - 27
        if len(signature) != SIGNATURE_BYTES or v not in (0, 1):
            raise ValueError("not 65 bytes with v 27 or 28")
        if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
            raise ValueError("s is in the upper half")
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([v]), digest, hasher=None)
    except Exception as problem:  # coincurve raises bare Exception for a point that is not on the curve
        raise BadMessage(f"not a signature: {problem}", code="bad_signature") from None
    return checksummed(keccak256(key.format(compressed=False)[1:])[-20:])


def checksummed(address: bytes | str) -> Address:
    """An address with the capitals of EIP-55. Raises BadMessage unless it is 20 bytes."""
    try:
        digits = address.hex() if isinstance(address, bytes) else bytes.fromhex(address.removeprefix("0x")).hex()
    except ValueError:
        digits = ""
    if len(digits) != 40:
        raise BadMessage(f"{address!r} is not an address", code="bad_address")
    return Address("0x" + capitals(digits))
