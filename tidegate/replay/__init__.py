"""The simulated world: real gateway core and store, real device firmware, and all between them, in virtual time."""
