"""Loading checkpoints, finding their layer stack, capturing and replaying hidden states."""
