"""The workers: spawned, ready, watched, stopped, reaped."""
