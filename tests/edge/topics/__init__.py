"""What arrives at the broker, topic by topic."""
