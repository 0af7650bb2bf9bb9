"""Questions asked of a model, one folder each: `ask(run)` gives the report."""
