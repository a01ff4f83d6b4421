"""A recording for people to read."""
