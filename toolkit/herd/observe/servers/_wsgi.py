"""The application of the servers that run Python."""

from __future__ import annotations

from typing import Final

APPLICATION: Final = """
def application(environ, start):
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\\n"]
"""
