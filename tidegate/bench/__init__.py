"""`tidegate bench`: what this machine's gateway takes in and drains, measured on a real gateway process."""
