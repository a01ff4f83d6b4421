"""Workers that pass tokens through one pipe, instead of accepting connections from one socket.

A pipe has wait queues of its own (``pipe_inode_info.rd_wait``, fs/pipe.c), and whom a written token wakes
goes by the same flags. Strategies wait on it as they do on a socket: ``accept`` blocks in read(2), ``poll``
polls and then reads without blocking. The recording is one like all others: a token taken counts as an
accept, and a token passed on as served.
"""
