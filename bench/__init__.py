"""Benchmarks, run by hand: they print figures and never assert on time."""
