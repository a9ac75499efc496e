"""The whole market in Python: the contract's chapters, in its order, deciding over the fold of its own events.

    call ──▶ rules decide: events, or Reverted ──▶ market.lifecycle folds the events ──▶ what the next call decides on

`Market(...)` takes the contract's functions by their names, and refuses with the names of its errors. Time and blocks
pass only when told to. tests/stateful/test_bytecode.py drives it beside the deployed bytecode.
"""

from heldout.simulation.rules.market import Market

__all__ = ["Market"]
