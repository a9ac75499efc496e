"""What every command line of Heldout has in common: output, errors, questions, the network file and the keys.

Data goes to stdout, words for people go to stderr; with `--json` stdout carries JSON only, one object a line, and an
error is one flat object on stderr. Nothing is ever asked without a terminal. Exit codes are those of the error tree
(heldout.market.errors), 130 for ^C. This module is imported by every `--help`, so it imports nothing heavy.
"""

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from heldout.market.errors import BadInput, Declined, HeldoutError
from heldout.market.money import format_tokens

if TYPE_CHECKING:
    from heldout.market.keys import KeyRing
    from heldout.market.settings import Network

INTERRUPTED = 130
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}

# ------------------------------------------------------------------------------------------ commands and errors


class Parser(argparse.ArgumentParser):
    """Raises BadInput where argparse would print and leave, so that `--json` covers a wrong flag too."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        raise BadInput(message, hint=f"see `{self.prog} --help`", code="usage")


class Command(NamedTuple):
    """One line of a command table: what it does, and the function that does it, named so that it is imported on use."""

    summary: str
    target: "str | Mapping[str, Command]"
    """`package.module:function`, or a table of further commands. A function called `main` gets the rest of the line, a
    list of words; any other gets parsed arguments, its own being those that `function_arguments(parser)` of the same
    module adds to the common ones."""
    extra: str = ""
    """The optional part of the distribution that it needs."""


def run_table(prog: str, about: str, commands: Mapping[str, Command], argv: Sequence[str]) -> int:
    """Run the command that `argv` begins with, importing only its module. Raises BadInput if there is none."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_table_help(prog, about, commands))
        return 0 if argv else BadInput.exit_code
    name, rest = argv[0], list(argv[1:])
    if name not in commands:
        close = get_close_matches(name, commands, 1)
        hint = f"did you mean `{prog} {close[0]}`?" if close else f"see `{prog} --help`"
        if name.startswith("-"):
            hint = f"flags stand behind the command: `{prog} COMMAND {clean(name)}`"
        raise BadInput(f"there is no command {prog} {clean(name)}", hint=hint, code="usage")
    command, prog = commands[name], f"{prog} {name}"
    if not isinstance(command.target, str):
        return run_table(prog, command.summary, command.target, rest)
    return _run_function(prog, command.target, command.extra, rest)


def _run_function(prog: str, target: str, extra: str, words: list[str]) -> int:
    """Raises HeldoutError `missing_extra` if the command, or what it imports on use, is not installed."""
    module_name, _, function_name = target.partition(":")
    try:
        module = import_module(module_name)
        function: Callable[[Any], int] = getattr(module, function_name)
        if function_name == "main":
            return function(words)
        parser = Parser(prog=prog, description=function.__doc__)
        getattr(module, f"{function_name}_arguments", lambda _: None)(parser)
        add_common(parser)
        return function(parser.parse_args(words))
    except ModuleNotFoundError as absent:
        if not extra or (absent.name or "").startswith("heldout"):
            raise
        hint = f"pip install 'heldout[{extra}]'"
        raise HeldoutError(f"{prog} needs {absent.name}", hint=hint, code="missing_extra") from None


def _table_help(prog: str, about: str, commands: Mapping[str, Command]) -> str:
    width = max(map(len, commands))
    rows = [f"  {name.ljust(width)}  {command.summary}" for name, command in commands.items()]
    more = f"Each command explains itself: {prog} COMMAND --help"
    return "\n".join([f"usage: {prog} COMMAND …", "", about, "", "commands:", *rows, "", more])


def run_command(main: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """The exit code of `main(argv)`, with every deliberate error told on stderr as words or, with `--json`, as JSON."""
    try:
        code = main(argv)
        sys.stdout.flush()
        return code
    except HeldoutError as problem:
        return _tell(problem, "--json" in argv)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # keeps the interpreter's last flush quiet
        return 1
    except OSError as problem:
        return _tell(_of_system(problem), "--json" in argv)


def _tell(problem: HeldoutError, as_json: bool) -> int:
    if as_json:
        print(json.dumps(problem.as_dict()), file=sys.stderr)
    else:
        say(f"error [{problem.code}]: {problem.message}", style="red")
        if problem.hint:
            say(f"hint: {problem.hint}")
    return problem.exit_code


def _of_system(problem: OSError) -> HeldoutError:
    """A file system's complaint as one of ours; anything about the network has been translated where it arose."""
    what = f"{problem.filename or 'the system'}: {problem.strerror or problem}"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return HeldoutError(what, hint="free some space and run it again: what was begun resumes", code="disk_full")
    return HeldoutError(what, hint="check that the path exists and is yours", code="file_problem")


# ------------------------------------------------------------------------------------------------------- output


def clean(text: object) -> str:
    """One line without control characters, so that a stranger's text can neither steer a terminal nor forge a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def say(*lines: object, style: str = "") -> None:
    """Tell a person, on stderr, one line for each argument. `style`: bold, dim, red, green or yellow."""
    for line in lines:
        print(_painted(clean(line), style), file=sys.stderr, flush=True)


def emit(args: argparse.Namespace, value: Any, *lines: object) -> None:
    """A result on stdout: `value` as one line of JSON if `--json` was given, else the lines, made for people."""
    if args.json:
        print(json.dumps(value), flush=True)
    else:
        for line in lines:
            print(clean(line), flush=True)


def amount(wei: int) -> dict[str, str]:
    """Money in JSON: exact in both units, as strings, since a JSON number may be read as a double."""
    return {"tokens": format_tokens(wei).replace(",", ""), "wei": str(wei)}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Aligned lines. Nothing is ever cut off, so that an id can be copied out of a pipe."""
    cells = [list(header), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def start_logging(args: argparse.Namespace) -> None:
    """A daemon's log on stderr: a line for each record, or with `--json` an object for each line."""
    import logging

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            text = record.getMessage() + (f": {record.exc_info[1]!r}" if record.exc_info else "")
            at = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
            if args.json:
                fields = {"at": at, "level": record.levelname.lower(), "from": record.name, "message": text}
                return json.dumps(fields)
            return clean(f"{at} {record.levelname.lower():7} {text}")

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx2", "httpcore2", "urllib3", "web3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _painted(text: str, style: str) -> str:
    forced = bool(os.environ.get("FORCE_COLOR"))
    plain = bool(os.environ.get("NO_COLOR")) or not (forced or sys.stderr.isatty())
    return text if plain or not style else f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


# ------------------------------------------------------------------------------------- questions, network, keys


def add_common(parser: argparse.ArgumentParser) -> None:
    """The flags that every command takes."""
    group = parser.add_argument_group("common to all commands")
    group.add_argument("--json", action="store_true", help="data as JSON on stdout, errors as JSON on stderr")
    group.add_argument("--network", metavar="FILE", help="network file (default: $HELDOUT_NETWORK, else the devnet's)")
    group.add_argument("--home", metavar="DIR", help="key ring and journal (default: $HELDOUT_HOME, else the devnet's)")
    group.add_argument("--password-file", metavar="FILE", help="file whose first line is the key ring's password")
    group.add_argument("--password-fd", metavar="FD", type=int, help="open descriptor to read the password from")


def confirm(question: str, *, yes: bool, flag: str = "-y") -> None:
    """Ask before money moves. Raises Declined if a person says no, or if nobody is there and `flag` was not given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Declined("nobody is here to confirm this", hint=f"add {flag} to confirm without a question")
    say(question, style="bold")
    if input("[y/N] ").strip().lower() not in ("y", "yes"):
        raise Declined("nothing was sent")


def state_dir() -> Path:
    """Where the devnet of this user lives: $HELDOUT_STATE, else the platform's place for it."""
    if chosen := os.environ.get("HELDOUT_STATE"):
        return Path(chosen)
    from platformdirs import user_state_path

    return user_state_path("heldout") / "devnet"


def network_path(args: argparse.Namespace) -> Path:
    """The network file to read: flag, then environment, then the devnet's."""
    named = args.network or os.environ.get("HELDOUT_NETWORK")
    return Path(named) if named else state_dir() / "network.json"


def load_network(args: argparse.Namespace) -> "Network":
    """Raises BadInput if the file is missing or malformed."""
    from heldout.market.settings import Network

    path = network_path(args)
    try:
        return Network.from_json(path.read_bytes())
    except FileNotFoundError:
        hint = "start one with `heldout devnet up`, or name a network file with --network"
        raise BadInput(f"there is no network file at {path}", hint=hint, code="no_network") from None


def home_path(args: argparse.Namespace) -> Path:
    """This party's directory: flag, then environment, then the funded requester of the devnet whose file is used."""
    named = args.home or os.environ.get("HELDOUT_HOME")
    return Path(named) if named else network_path(args).parent / "keys" / "requester"


def open_keys(args: argparse.Namespace) -> "KeyRing":
    """The key ring in the home directory, opened by descriptor, file or terminal. Raises KeyProblem, Declined."""
    from heldout.market.keys import open_ring

    return open_ring(home_path(args), password_file=password_path(args), password_fd=args.password_fd)


def password_path(args: argparse.Namespace) -> Path | None:
    """The password's file: flag, then environment, then that of the devnet's play-money keys if one of them is used."""
    if named := args.password_file or os.environ.get("HELDOUT_PASSWORD_FILE"):
        return Path(named)
    path = network_path(args).parent / "password"
    is_devnet_key = path.is_file() and home_path(args).resolve().is_relative_to(path.parent.resolve())
    return path if is_devnet_key and args.password_fd is None else None


def ask_password(args: argparse.Namespace, question: str) -> str:
    """A password that is needed once: by descriptor, file or terminal. Raises KeyProblem, Declined."""
    from heldout.market.keys import given_password

    path = password_path(args)
    if path is not None or args.password_fd is not None:
        return given_password(path, args.password_fd)
    if not sys.stdin.isatty():
        raise Declined("a password is needed and there is no terminal", hint="use --password-file or --password-fd")
    from getpass import getpass

    return getpass(question)
