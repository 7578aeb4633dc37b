"""The backend: an embedded cloud that takes InfluxDB 2.x writes and keeps the points in SQLite.

For development, demonstrations and small sites: `cloud.server.serve` runs it, a real InfluxDB takes its place by URL.
"""
