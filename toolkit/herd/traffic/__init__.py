"""The load: who connects, and when."""
