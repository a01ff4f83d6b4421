/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What is recorded. Its twin is EVENT in herd/probes/events.py; the probe process
 * compares the two layouts before it attaches anything.
 *
 * A record is a finished row, not a raw event: a wakeup is emitted once, when the worker sleeps
 * again, with all that happened between. That is a third of the traffic, and nothing needs pairing.
 * A sleep on the way to accept does not end a wakeup that an arrival caused (sleep_ends(), worker.c); what
 * ends such a sleep is a record without begin and end.
 */
#define KIND_ARRIVAL 1
#define KIND_WAKEUP 2
#define KIND_ACCEPT 3
#define KIND_CALL 4
#define KIND_LAP 128 /* beside the kind: see emit(), lanes.c */

#define FLAG_RETURNED 1 /* the worker left the kernel between wakeup and sleep */
#define FLAG_CHAINED 2  /* woken by a worker that took an event of the same epoll set, not by the arrival */
#define FLAG_HANDED 4   /* woken in recvmsg by another worker, which passed it a connection */
#define FLAG_UNTOLD 8   /* whether the worker left the kernel can't be told */
#define FLAG_UNTRIED 16 /* accepts that found nothing weren't looked for */

/* What a worker was blocked in when it was woken: BLOCKED_IN in herd/probes/events.py. */
enum wait {
	WAIT_NONE,
	WAIT_ACCEPT,
	WAIT_EPOLL,
	WAIT_SELECT,
	WAIT_POLL,
	WAIT_OTHER,
	WAIT_LOCK,
	WAIT_SIGNAL,
	WAIT_RECVMSG,
	WAIT_IO_URING
};

struct event {
	u64 time;    /* arrival; wakeup: made runnable; accept: returned; call: entered */
	u64 begin;   /* wakeup: running on a CPU; accept: entered */
	u64 end;     /* wakeup: slept again; accept: time of its arrival, see arrival; call: returned; 0 = not seen */
	u64 arrival; /* sequence number, from 1; 0 = another cause, or not known; accept: joined later, but a unix client's */
	u32 tid;     /* the worker's, or whom a call wakes; 0: who runs a softirq is not its cause */
	u32 amount;  /* wakeup: ns on a CPU, at most 2^32-1; arrival: accept-queue length */
	u32 peer;    /* IPv4 address, or the last four bytes of an IPv6 one, network order */
	s32 result;  /* accept: the descriptor; call: what the function did */
	u16 peer_port;   /* network order */
	u16 cpu;         /* arrival, wakeup, call: the waker's; accept: the worker's */
	u16 running_cpu; /* wakeup */
	u16 listener;    /* index into the listeners that the probe was given, from 1 */
	u16 accepts;     /* wakeup: made before it slept again */
	u16 eagain;      /* wakeup: accepts that found nothing */
	u8 kind; /* in the last word, which is written last */
	u8 flags;
	u8 what;  /* wakeup: blocked in (enum wait); call: number of the function, from 1 */
	u8 depth; /* call: how many calls of ours enclose it */
};
