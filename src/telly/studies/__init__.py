"""Studies: grids over models, tasks, variants and seeds, run cheapest way through, resumed where they stopped."""
