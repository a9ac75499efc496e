"""The value chain as everybody tells it: events to a graph (`fold`), a graph to words, JSON and a drawing. Pure."""

from heldout.market.valuechain.folding import fold
from heldout.market.valuechain.graph import Artifact, Entry, Measurement, Parent, ValueChain, artifact_id

__all__ = ["Artifact", "Entry", "Measurement", "Parent", "ValueChain", "artifact_id", "fold"]
