"""The one tree of errors. Every error has a stable `code`, a `hint` that says what to do, and says if a retry can help.

HeldoutError                       exit 1   something failed
├── BadInput                       exit 2   the caller's words, files or flags
│   ├── BadJobFile                          job.toml, with the line
│   ├── BadManifest                         a task manifest that is not canonical
│   ├── BadWeights                          a weights file that fails P9.1
│   ├── BadEnvelope                         an envelope or sealed blob that does not open
│   └── BadMessage                          a letter, bid or signature that cannot be read or is forged
├── Declined                       exit 3   a person said no, or nobody was there to be asked
├── KeyProblem                     exit 4   keystore, password, file mode
├── Refused                        exit 4   the service or the chain says this address may not
├── OutcomeNegative                exit 5   the job ended, but not with what was wanted
├── TimedOut                       exit 6   a deadline passed
├── ChainProblem                   exit 7   RPC down, slow, of another chain, or lying       (retryable)
│   ├── WrongNetwork                        chain id, genesis or code hash differ            (final)
│   └── Reverted               exit 5   the contract said no, with its own error's name      (final)
├── InsufficientFunds              exit 8   tokens, gas or allowance
├── StoreProblem                   exit 9   artifact missing, too large, store down          (retryable)
│   └── HashMismatch                        bytes that are not what their id says            (final)
├── AlreadyRunning                 exit 10  another process holds this directory
└── SandboxProblem                 exit 11  no container engine, or it misbehaves
"""

from collections.abc import Sequence


class HeldoutError(Exception):
    """Base of all errors raised on purpose. `code` is the same word in CLI, API, pages and docs."""

    code = "failed"
    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code:
            self.code = code

    def as_dict(self) -> dict[str, str | bool]:
        """The flat object printed on stderr by `--json` and carried by problem+json."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "retryable": self.retryable}


class BadInput(HeldoutError):
    code = "bad_input"
    exit_code = 2


class BadJobFile(BadInput):
    code = "bad_job_file"


class BadManifest(BadInput):
    code = "bad_manifest"


class BadWeights(BadInput):
    code = "bad_weights"


class BadEnvelope(BadInput):
    code = "bad_envelope"


class BadMessage(BadInput):
    code = "bad_message"


class Declined(HeldoutError):
    code = "declined"
    exit_code = 3


class KeyProblem(HeldoutError):
    code = "key_problem"
    exit_code = 4


class Refused(HeldoutError):
    code = "refused"
    exit_code = 4


class OutcomeNegative(HeldoutError):
    code = "outcome_negative"
    exit_code = 5


class TimedOut(HeldoutError):
    code = "timed_out"
    exit_code = 6


class ChainProblem(HeldoutError):
    code = "chain_unavailable"
    exit_code = 7
    retryable = True


class BlockMissing(ChainProblem):
    """The RPC does not have a block that it was asked for: it lags, or the block left the chain."""

    code = "block_missing"


class RpcsDisagree(HeldoutError):
    """Two RPCs tell different things of a job."""  # no ChainProblem: other jobs go on

    code = "rpcs_disagree"
    retryable = True


class WrongNetwork(ChainProblem):
    code = "wrong_network"
    retryable = False


class Reverted(ChainProblem):
    """The contract refused a call. `name` and `values` are those of its custom error; `shown` are they for people."""

    code = "reverted"
    exit_code = 5
    retryable = False

    def __init__(
        self, name: str, values: tuple[object, ...] = (), *, hint: str = "", shown: Sequence[str] | None = None
    ) -> None:
        super().__init__(f"{name}({', '.join(map(str, values) if shown is None else shown)})", hint=hint)
        self.name = name
        self.values = values


class InsufficientFunds(HeldoutError):
    code = "insufficient_funds"
    exit_code = 8


class StoreProblem(HeldoutError):
    code = "store_unavailable"
    exit_code = 9
    retryable = True


class HashMismatch(StoreProblem):
    code = "hash_mismatch"
    retryable = False


class AlreadyRunning(HeldoutError):
    code = "already_running"
    exit_code = 10


class SandboxProblem(HeldoutError):
    code = "sandbox_unavailable"
    exit_code = 11
