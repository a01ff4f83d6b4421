"""What this host can do, and what a run must record about it."""
