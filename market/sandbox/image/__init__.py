"""The job image: what a task's command finds installed. `python -m heldout.market.sandbox.image.build` makes it."""
