"""The reference device: NumPy, on any CPU."""
