"""Moving tokens into the market's ledger: one transaction with a permit, two with a token that knows none (P1.3)."""

from eth_account.signers.local import LocalAccount

from heldout.market.chain.reader import Chain
from heldout.market.chain.sender import Outbox
from heldout.market.chain.sending import Receipt
from heldout.market.chain.signatures import sign_permit
from heldout.market.errors import InsufficientFunds, Reverted
from heldout.market.money import Wei, format_tokens

NO_DEADLINE = 2**256 - 1
"""A permit for the market alone, spent by its nonce: only its signer's own deposits can use it."""


def deposit(chain: Chain, outbox: Outbox, account: LocalAccount, amount: Wei) -> Receipt:
    """Credit `amount` of the account's tokens to its free balance, and wait until it is mined.

    The intent is named by the token's permit nonce: after a crash the same deposit is found again, not made twice.
    Raises InsufficientFunds before anything is signed.
    """
    held = chain.token_balance(account.address)
    if held < amount:
        text = f"{account.address} holds {format_tokens(held)} tokens, {format_tokens(amount)} are needed"
        raise InsufficientFunds(text, hint="send tokens to this address first", code="insufficient_tokens")
    try:
        nonce = int(chain.call("nonces", account.address, on=chain.token))
        domain = chain.call("DOMAIN_SEPARATOR", on=chain.token)
    except Reverted:
        return _approve_and_deposit(chain, outbox, account, amount)
    permit = sign_permit(account, domain, chain.market.address, amount, nonce, NO_DEADLINE)
    return outbox.send(f"deposit:{nonce}:{amount}", "depositWithPermit", amount, *permit, wait=True)


def _approve_and_deposit(chain: Chain, outbox: Outbox, account: LocalAccount, amount: Wei) -> Receipt:
    before = chain.free(account.address)
    name = f"{amount}:{before}"
    outbox.send(f"approve:{name}", "approve", chain.market.address, amount, on=chain.token, wait=True)
    return outbox.send(f"deposit:{name}", "deposit", amount, wait=True)
