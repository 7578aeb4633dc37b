"""The second engine of replay: a recording lived through by real processes, to the verdict that virtual time gives too.

Public: `tidegate.replay_processes.engine.replay_processes`.
"""
