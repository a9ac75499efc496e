"""Scores that come out the same, to the last bit, on every machine (P9).

`score-v1` runs an ONNX graph with submitted weights in arithmetic whose every sum is an exact integer; its definition
is docs/score-v1.md. Scoring happens in a process of its own (`python -m heldout.kernels`, started by
`heldout.kernels.child`), so neither NumPy nor onnx is imported until a module that needs them is.
"""

SCORER = "score-v1"
