"""Chat completions that are kept: those that were asked for with `store: true`."""
