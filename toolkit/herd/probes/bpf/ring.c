/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The ring buffer, and an account of it: nothing is lost without being counted.
 *
 * Parameter (-D): RING_PAGES, of 4 KiB.
 */
#include <uapi/linux/ptrace.h>

BPF_RINGBUF_OUTPUT(events, RING_PAGES);

/* Produced and lost, by kind; what was kept is counted by the reader. */
struct tally {
	u64 produced[8];
	u64 lost;
};
BPF_PERCPU_ARRAY(tally, struct tally, 1);

static __always_inline void emit(struct event *event, u8 kind)
{
	int zero = 0;
	struct tally *t = tally.lookup(&zero);
	if (!t)
		return;
	event->kind = kind;
	/* Atomic, though it is this CPU's own: an interrupt may come in between, and emit another. */
	__sync_fetch_and_add(&t->produced[kind & 7], 1);
	/* No wakeup of the reader: a tool that studies wakeups must not cause them. */
	if (events.ringbuf_output(event, sizeof(*event), BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&t->lost, 1);
}
