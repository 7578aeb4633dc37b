"""Firmware for devices: images in the store, chunks for those that ask, and rollouts that halt when devices fail."""
