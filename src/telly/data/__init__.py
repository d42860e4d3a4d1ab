"""Reading, validating, mining and batching data."""
