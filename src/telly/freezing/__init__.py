"""Which layers are frozen, the split below and above, the store of activations, and what it costs."""
