/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Unix clients, which have no name, from their connect on: who accepts one must be told its arrival here. A connection
 * with an address has its arrival and its accept joined as the records are read (herd/probes/joined.py): to keep
 * each arrival for its accept took 250 ns, for lines of the cache that went from one CPU to the other.
 */
struct client {
	u64 arrival; /* 0: not told yet */
	u64 time;
};

/* By the client's socket. */
BPF_TABLE("lru_hash", u64, struct client, connecting, 16384);
