"""Machines that multiply: `interface` says what a device must provide, `numpy` is the reference."""

NAMES = ("numpy", "torch", "cuda", "vulkan")
"""As settings and requests name them; `choice` opens them."""
