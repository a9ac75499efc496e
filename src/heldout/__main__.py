"""`python -m heldout`, for where the `heldout` command is not on the path."""

from heldout.requester_cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
