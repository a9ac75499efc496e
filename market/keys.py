"""A party's secrets: one Ethereum key and one 32-byte root, in two V3 keystores that one password opens.

    account.json   signs transactions, bids and votes
    secret.json    the root of everything else: wrapping key, vote salts, shard keys, envelope seeds

Both files are enough to go on after a lost disk, so a backup is the two of them. Files are 0600 and a looser mode is
refused; passwords come from a terminal, a file or a descriptor, never from the command line.
"""

import getpass
import json
import os
import secrets
import stat
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from heldout.market.durable import sync_folder
from heldout.market.errors import BadMessage, Declined, KeyProblem
from heldout.market.sealing import derive, order_key, shard_key, wrap_public_key
from heldout.market.signatures import checksummed
from heldout.market.terms import Address

ACCOUNT = "account.json"
SECRET = "secret.json"
BACKUP_FORMAT = "heldout-keys-v1"
TRIES = 3
LEAST_PASSWORD = 8
_LIGHT_SCRYPT = 2**12
"""Cost for play money and tests; the standard cost is 2^18 (256 MiB, about a second)."""


class KeyRing:
    """An open key ring. `open` and `create` raise KeyProblem."""

    def __init__(self, account: LocalAccount, root: bytes) -> None:
        self.account = account
        self._root = root

    def __repr__(self) -> str:
        return f"KeyRing({self.address})"

    @property
    def address(self) -> Address:
        return Address(self.account.address)

    @cached_property
    def wrap_private(self) -> bytes:
        """X25519: envelopes to this party open with it."""
        return derive(self._root, "heldout/wrap-key/v1")

    @cached_property
    def wrap_public(self) -> bytes:
        return wrap_public_key(self.wrap_private)

    @cached_property
    def vote_secret(self) -> bytes:
        """Salts of commits are derived from it, so that a lost disk can still reveal."""
        return derive(self._root, "heldout/vote/v1")

    @cached_property
    def data_secret(self) -> bytes:
        """Shard keys are derived from it."""
        return derive(self._root, "heldout/data/v1")

    def order_key(self, salt: bytes) -> bytes:
        """Of the data sealed under `salt`."""
        return order_key(self.data_secret, salt)

    def shard_key(self, salt: bytes, index: int) -> bytes:
        """The key of one shard of the data sealed under `salt`."""
        return shard_key(self.data_secret, salt, index)

    @cached_property
    def pseudonym_secret(self) -> bytes:
        """Pseudonyms of persons in data are derived from it; whoever has it can find them out."""
        return derive(self._root, "heldout/pseudonyms/v1")

    def seed(self, *parts: bytes) -> bytes:
        """The 32-byte seed of one envelope, named by what it is for: the same parts give the same seed (P4.2)."""
        return derive(self._root, "heldout/envelope-seed/v1", *parts)

    @staticmethod
    def create(directory: Path, password: str, *, account_key: bytes | None = None, light: bool = False) -> "KeyRing":
        """A new key ring in an empty place. `light` lowers the scrypt cost, for the devnet. Never overwrites a key."""
        if len(password) < LEAST_PASSWORD:
            raise KeyProblem(f"a password needs at least {LEAST_PASSWORD} characters")
        ring = KeyRing(Account.from_key(account_key or secrets.token_bytes(32)), secrets.token_bytes(32))
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = {ACCOUNT: bytes(ring.account.key), SECRET: ring._root}
        _refuse_existing(directory)
        _write_both(directory, {name: _locked(key, password, light) for name, key in keys.items()})
        return ring

    @staticmethod
    def open(directory: Path, password: str) -> "KeyRing":
        """Raises KeyProblem (`wrong_password`, `no_keys`, `key_mode`, `key_damaged`)."""
        account, root = (_unlocked(_read(directory / name), password) for name in (ACCOUNT, SECRET))
        ring = KeyRing(Account.from_key(account), root)
        if KeyRing.address_of(directory) != ring.address:
            hint = "restore your backup, and send nothing to the address that the file names"
            raise KeyProblem(f"{directory / ACCOUNT} names another address", hint=hint, code="key_damaged")
        return ring

    @staticmethod
    def address_of(directory: Path) -> Address:
        """Whose ring this is, without the password."""
        return address_in(directory / ACCOUNT)


def address_in(keystore: Path) -> Address:
    """Whose V3 keystore this is, without the password. Raises KeyProblem."""
    try:
        return checksummed(str(_read(keystore).get("address")))
    except BadMessage:
        hint = "name a V3 keystore, such as account.json of a key ring"
        raise KeyProblem(f"{keystore} names no address", hint=hint, code="key_damaged") from None


def open_account(keystore: Path, password: str) -> LocalAccount:
    """The account of one V3 keystore, whoever wrote it. Raises KeyProblem."""
    account: LocalAccount = Account.from_key(_unlocked(_read(keystore), password))
    return account


def backup(directory: Path, file: Path) -> None:
    """Both keystores in one file, still under their password. Never overwrites."""
    stores = {name: _read(directory / name) for name in (ACCOUNT, SECRET)}
    _write(file, {"format": BACKUP_FORMAT, **stores})


def restore(file: Path, directory: Path, password: str) -> KeyRing:
    """A key ring from a backup, opened once to be sure. Never overwrites a key."""
    if not file.exists():
        raise KeyProblem(f"there is no {file}", hint="name a file made with `heldout key backup`", code="no_keys")
    stores = _read(file)
    if stores.get("format") != BACKUP_FORMAT:
        raise KeyProblem(f"{file} is not a backup of a key ring", hint="make one with `heldout key backup`")
    for name in (ACCOUNT, SECRET):
        _unlocked(stores.get(name, {}), password)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _refuse_existing(directory)
    _write_both(directory, {name: stores[name] for name in (ACCOUNT, SECRET)})
    return KeyRing.open(directory, password)


# ------------------------------------------------------------------------------------------------ passwords


def open_ring(directory: Path, *, password_file: Path | None = None, password_fd: int | None = None) -> KeyRing:
    """Open with a password from a file, a descriptor, or the terminal (three tries). Raises KeyProblem, Declined."""
    if password_file is not None or password_fd is not None:
        return KeyRing.open(directory, given_password(password_file, password_fd))
    _read(directory / ACCOUNT)
    for left in reversed(range(TRIES)):
        try:
            return KeyRing.open(directory, _ask(f"Password of {directory}: "))
        except KeyProblem as problem:
            if problem.code != "wrong_password" or not left:
                raise
            print(f"{problem.message}; {left} more", file=sys.stderr)
    raise AssertionError("unreachable")


def new_password(*, password_file: Path | None = None, password_fd: int | None = None) -> str:
    """The password of a key ring to be made: as `open_ring` finds it, but a terminal is asked twice."""
    if password_file is not None or password_fd is not None:
        return given_password(password_file, password_fd)
    first = _ask("New password: ")
    if first != _ask("Again: "):
        raise KeyProblem("the two passwords differ", hint="try again")
    return first


def given_password(file: Path | None, fd: int | None) -> str:
    """The first line of a file that only its owner may read, or of an open descriptor. Raises KeyProblem."""
    if file is not None and file.exists():
        _refuse_loose(file)
    source = file if fd is None else fd
    assert source is not None
    try:
        with open(source, closefd=fd is None) as stream:
            password = stream.readline().rstrip("\r\n")
    except (OSError, ValueError, TypeError) as problem:  # TypeError: more than any descriptor
        raise KeyProblem(f"no password in {source}: {problem}", code="no_password") from None
    if not password:
        raise KeyProblem(f"no password in {source}: it is empty", code="no_password")
    return password


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise Declined("a password is needed and there is no terminal", hint="use --password-file or --password-fd")
    return getpass.getpass(prompt)


# ---------------------------------------------------------------------------------------------------- files


def _locked(key: bytes, password: str, light: bool) -> dict[str, Any]:
    cost = _LIGHT_SCRYPT if light else None
    return dict(create_keyfile_json(key, password.encode(), kdf="scrypt", iterations=cost))


def _unlocked(store: dict[str, Any], password: str) -> bytes:
    try:
        return bytes(decode_keyfile_json(store, password.encode()))
    except ValueError:
        hint = "the password of `heldout key` is asked for, not the wallet's"
        raise KeyProblem("wrong password", hint=hint, code="wrong_password") from None
    except (KeyError, TypeError, AttributeError, NotImplementedError) as problem:
        raise KeyProblem(f"a key file is damaged: {problem}", hint="restore your backup", code="key_damaged") from None


def _read(path: Path) -> dict[str, Any]:
    _refuse_loose(path)
    try:
        store = json.loads(path.read_text())
    except ValueError:
        store = None
    if not isinstance(store, dict):
        raise KeyProblem(f"{path} is damaged", hint="restore your backup", code="key_damaged")
    return store


def _refuse_loose(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        raise KeyProblem(f"there is no {path}", hint="make one with `heldout key create`", code="no_keys") from None
    if mode & 0o077:
        hint = f"chmod 600 {path}; if others could read it, make a new one"
        raise KeyProblem(f"{path} may be read by others (mode {mode:04o})", hint=hint, code="key_mode")


def _refuse_existing(directory: Path) -> None:
    existing = [name for name in (ACCOUNT, SECRET) if (directory / name).exists()]
    if existing:
        hint = "name an empty directory; a key is never overwritten"
        raise KeyProblem(f"{directory} has {existing[0]} already", hint=hint, code="keys_exist")


def _write_both(directory: Path, stores: dict[str, dict[str, Any]]) -> None:
    """Both or, on a full disk, none: half a ring opens nothing, and would be in the way of a whole one."""
    written: list[Path] = []
    try:
        for name, store in stores.items():
            _write(directory / name, store)
            written.append(directory / name)
    except BaseException:
        for path in written:
            path.unlink()
        raise


def _write(path: Path, store: dict[str, Any]) -> None:
    """On disk under its name, whole or not at all. Raises KeyProblem if the name is taken."""
    scratch = path.parent / f".{path.name}.{os.getpid()}"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(store, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)
    except FileExistsError:
        raise KeyProblem(f"{path} exists", hint="a key is never overwritten", code="keys_exist") from None
    finally:
        scratch.unlink()
    sync_folder(path.parent)
