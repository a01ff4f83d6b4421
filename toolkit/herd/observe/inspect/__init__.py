"""``herd inspect``: what is there (facts), what that means (model), what to make of it (findings)."""
