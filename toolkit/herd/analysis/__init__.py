"""A recording in, figures out; pure readers."""
