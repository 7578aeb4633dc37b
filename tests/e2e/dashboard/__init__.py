"""The dashboard in real Chromium."""
