"""What layers know and what tuning changes: layer states, and similarity of models."""
