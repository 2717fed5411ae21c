"""Packed inference with MLX, on Apple's GPUs or (slowly) on any CPU that MLX has wheels for."""
