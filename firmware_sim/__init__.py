"""The device side: firmware, flash, clock, power, radio and link of simulated devices, and the fleet that runs them.

`device` is the sans-IO core of one device over its `outbox`; `fleet`, `links` and `mqtt` run many of them against a
real broker. Imports `sensors` and nothing else of the house.
"""
