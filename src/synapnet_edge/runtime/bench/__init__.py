"""Speed of a packed file by every backend, beside its float original and beside llama.cpp, in one run."""
