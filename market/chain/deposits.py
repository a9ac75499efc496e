"""Moving tokens into the market's ledger: one transaction with a permit, two with a token that knows none (P1.3)."""

from eth_account.signers.local import LocalAccount

from heldout.market.chain.reader import Chain
from heldout.market.chain.sender import Outbox
from heldout.market.chain.sending import Receipt
from heldout.market.chain.signatures import sign_permit
from heldout.market.errors import BadInput, InsufficientFunds, Reverted
from heldout.market.money import Wei, format_tokens

NO_DEADLINE = 2**256 - 1
"""A permit for the market alone, spent by its nonce: only its signer's own deposits can use it."""


def deposit(chain: Chain, outbox: Outbox, account: LocalAccount, amount: Wei) -> Receipt:
    """Credit `amount` of the account's tokens to its free balance, and wait until it is mined.

    The intent is named by the token's permit nonce, or by how many deposits came before: after a crash the one that is
    under way is found again, not made twice, and the next of the same amount is another. Raises InsufficientFunds, or
    BadInput for less than nothing, before anything is signed.
    """
    if amount < 0:
        raise BadInput(f"{amount} wei cannot be deposited", hint="withdraw moves money back", code="bad_amount")
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
    deposits = chain.events(chain.network.deploy_block, chain.head().number, names=["Deposited"])
    made = sum(event.args["account"].lower() == account.address.lower() for event in deposits)
    name = f"{amount}:{made}"
    outbox.send(f"approve:{name}", "approve", chain.market.address, amount, on=chain.token, wait=True)
    return outbox.send(f"deposit:{name}", "deposit", amount, wait=True)
