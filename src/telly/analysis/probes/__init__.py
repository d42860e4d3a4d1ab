"""Probes: what the frozen layers of a model know of code, told by how well a linear map reads it from them."""
