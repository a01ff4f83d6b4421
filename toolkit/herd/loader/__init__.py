"""BPF programs from C: compiled by bcc or taken from a cache, then loaded and attached by herd itself."""
