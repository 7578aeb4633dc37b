"""Tests of edge.dashboard."""
