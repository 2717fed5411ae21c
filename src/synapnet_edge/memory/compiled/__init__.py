"""An eviction round on a CPU: compiled kernels (Numba) in place of many small tensor operations."""
