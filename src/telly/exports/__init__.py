"""Tuned models in forms that other tools load: sentence-transformers, ONNX, the hub."""
