"""`heldout key create`, `backup`, `restore`: one ring holds the account, wrapping key, vote secret and shard keys."""

import argparse
from pathlib import Path

from heldout.market.console import emit, home_path, password_path


def create_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--import-key", metavar="FILE", type=Path, help="file with an account's 32-byte key in hex")


def create(args: argparse.Namespace) -> int:
    """Make a key ring in the home directory. An existing key is never overwritten."""
    from heldout.market.keys import KeyRing, new_password

    password = new_password(password_file=password_path(args), password_fd=args.password_fd)
    account_key = _read_key(args.import_key) if args.import_key else None
    ring = KeyRing.create(home_path(args), password, account_key=account_key)
    hint = f"back it up: heldout key backup FILE --home {home_path(args)}"
    emit(args, {"address": ring.address, "home": str(home_path(args))}, f"address {ring.address}", hint)
    return 0


def backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="backup file to write; it must not exist")


def backup(args: argparse.Namespace) -> int:
    """Write everything a ring derives its keys from into one file, still under the ring's password: account, wrapping
    key, vote secret, shard keys. With it and the chain a lost disk loses nothing."""
    from heldout.market import keys

    keys.backup(home_path(args), args.file)
    emit(args, {"file": str(args.file)}, f"backed up to {args.file}; keep it apart from this machine")
    return 0


def restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="backup file")


def restore(args: argparse.Namespace) -> int:
    """Make a ring in the home directory from a backup. An existing key is never overwritten."""
    from heldout.market import keys
    from heldout.market.console import ask_password

    password = ask_password(args, f"Password of {args.file}: ")
    ring = keys.restore(args.file, home_path(args), password)
    emit(args, {"address": ring.address, "home": str(home_path(args))}, f"restored {ring.address}")
    return 0


def _read_key(path: Path) -> bytes:
    from heldout.market.errors import KeyProblem

    if path.stat().st_mode & 0o077:
        raise KeyProblem(f"{path} may be read by others", hint=f"chmod 600 {path}", code="key_mode")
    try:
        key = bytes.fromhex(path.read_text().strip().removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise KeyProblem(f"{path} does not hold 32 bytes in hex", code="bad_key")
    return key
