"""Studies: grids over models, tasks, variants and seeds that share caches and can be resumed."""
