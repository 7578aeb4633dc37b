"""Outage recordings at work: importers, generators, the fault proxy and its command line."""
