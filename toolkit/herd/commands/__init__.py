"""The subcommands, one file each; a file defines ``command``, and its docstring is its ``--help``."""
