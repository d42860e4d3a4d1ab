"""Public functions that combine rooms: one per command that is more than a call of one room."""
