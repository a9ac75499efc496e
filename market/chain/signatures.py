"""Signatures over 32-byte digests: made by an account, checked by key, by ERC-1271, or by a token's EIP-2612 permit."""

from typing import NamedTuple

from heldout.market.chain.codec import Bytes, FixedBytes, Parts
from heldout.market.errors import BadMessage
from heldout.market.signatures import Signer, recover
from heldout.market.terms import keccak256, words

MAGIC = bytes.fromhex("1626ba7e")
"""ERC-1271: selector of `isValidSignature(bytes32,bytes)`, and its answer if the signature is good."""
_PERMIT_TYPE = keccak256(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")


class Permit(NamedTuple):
    """The last arguments of `depositWithPermit`."""

    deadline: int
    v: int
    r: bytes
    s: bytes


def sign_digest(account: Signer, digest: bytes) -> bytes:
    """r ‖ s ‖ v, 65 bytes, as OpenZeppelin's ECDSA reads it."""
    return bytes(account.unsafe_sign_hash(digest).signature)


def recovers(address: str, digest: bytes, signature: bytes) -> bool:
    """Whether a key's signature is by `address`."""
    try:
        return recover(digest, signature).lower() == address.lower()
    except BadMessage:
        return False


def wallet_question(digest: bytes, signature: bytes) -> bytes:
    """The calldata that asks a contract wallet (ERC-1271)."""
    return MAGIC + Parts([FixedBytes(32), Bytes(text=False)]).encode([digest, signature])


def sign_permit(account: Signer, domain: bytes, spender: str, amount: int, nonce: int, deadline: int) -> Permit:
    """EIP-2612: `spender` may take `amount` of the account's tokens until `deadline` (unix seconds)."""
    struct = keccak256(words((_PERMIT_TYPE, account.address, spender, amount, nonce, deadline)))
    signature = sign_digest(account, keccak256(b"\x19\x01" + domain + struct))
    return Permit(deadline, signature[64], signature[:32], signature[32:64])
