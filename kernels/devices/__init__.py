"""Machines that multiply: `interface` says what a device must provide, `numpy` is the reference."""
