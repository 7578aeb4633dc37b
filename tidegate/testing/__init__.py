"""For tests of your own: `tidegate.testing.strategies` has hypothesis strategies for recordings and faults."""
