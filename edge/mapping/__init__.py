"""Foreign devices: rules that say how a topic and a payload that know nothing of us become readings."""
