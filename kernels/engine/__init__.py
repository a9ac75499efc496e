"""What each operator does, to the bit (docs/score-v1.md). A step maps tensors [n, *shape] to one tensor.

The first axis counts rows of the batch and is no part of ONNX's shape, in which the batch is 1: rows stand side by side
and never meet. What does not depend on a row has n = 1.
"""
