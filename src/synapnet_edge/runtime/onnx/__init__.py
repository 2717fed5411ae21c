"""Packed inference with onnxruntime's own kernels: graphs (`graph`), a session, and files for export."""
