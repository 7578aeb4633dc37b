"""Tests of `tidegate bench`."""
