"""Tests of `edge.front`."""
