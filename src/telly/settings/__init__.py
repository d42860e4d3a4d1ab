"""The settings of a tuning run: what the user gives, what a run uses, and what each setting affects."""
