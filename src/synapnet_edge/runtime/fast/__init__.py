"""Packed inference with kernels compiled at first use (Numba); see `kernels` and `step`."""
