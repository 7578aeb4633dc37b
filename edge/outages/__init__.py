"""Outages as data: what a link did over time, its file format and the pure view that consumers read."""
