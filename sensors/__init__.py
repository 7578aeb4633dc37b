"""What is measured, and the wire: readings, units, parts, signals, and the one place where bytes become readings.

The ground floor of the house: this room imports nothing of ours, and every other room may import it.
"""
