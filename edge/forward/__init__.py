"""From the log to a destination: batches by cursor, line protocol, outcomes, retries. Acceptance moves the cursor."""
