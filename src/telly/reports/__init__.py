"""Reports: tables, figures and a page made from run records, without running a model."""
