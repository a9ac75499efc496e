"""What can go wrong between "run this job" and "here are its weights".

HeldoutError
  └ SandboxProblem (exit 11)
      ├ SandboxUnavailable    sandbox_unavailable   no engine here, or the engine does not answer
      ├ SandboxUnhealthy      sandbox_unhealthy     a kill did not finish: take no more work
      ├ SandboxRefused        sandbox_refused       this runner must not run this (chain, limits, command)
      ├ ImageRefused          image_refused         image absent, other than named, or with volumes of its own
      ├ OutputRefused         output_refused        no weights, not a plain file, or too big
      └ AttemptLost           attempt_lost          its container is gone: start the next attempt
"""

from __future__ import annotations

from heldout.market.errors import SandboxProblem


class SandboxUnavailable(SandboxProblem):
    """There is no container engine, or it does not answer."""

    code = "sandbox_unavailable"
    retryable = True


class SandboxUnhealthy(SandboxProblem):
    """A stop or kill did not finish in its time. The node must bid for nothing until somebody has looked."""

    code = "sandbox_unhealthy"


class SandboxRefused(SandboxProblem):
    """This runner must not run this job, whatever the job contains."""

    code = "sandbox_refused"


class ImageRefused(SandboxProblem):
    """The image is not here, is not the one the job names, or carries settings that would weaken the profile."""

    code = "image_refused"


class OutputRefused(SandboxProblem):
    """The job left no weights under the agreed name, or something that must not be read."""

    code = "output_refused"


class AttemptLost(SandboxProblem):
    """The attempt's container has been removed by somebody else; its /out may still hold a checkpoint."""

    code = "attempt_lost"
    retryable = True
