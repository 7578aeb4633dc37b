"""What arrives at the broker, topic by topic: for the person who wonders what a device says and who understands it."""

from edge.topics.table import TOPICS_MAX, TopicRow, TopicTable

__all__ = ["TOPICS_MAX", "TopicRow", "TopicTable"]
