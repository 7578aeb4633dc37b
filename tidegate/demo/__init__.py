"""The demo: every part at once, a real outage, and a proof at the end that nothing was lost."""
