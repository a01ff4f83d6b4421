"""The workers, processes or threads: spawned, ready, watched, stopped, reaped."""
