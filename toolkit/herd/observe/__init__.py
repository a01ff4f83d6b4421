"""A running server, looked at from outside: its listening sockets, and who holds and awaits them."""
