"""Benchmarks: figures as ratios against a peer or a raw limit of the same run, never tests."""
