/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Light mode: as in tracepoints.c, a worker that is woken inside a listener's notification was woken by that arrival. But
 * no tracepoint is attached to learn that the notification is over, since those that could tell come seventeen times a
 * connection: who wakes a worker looks at what this CPU counts, and whether it counts on since then.
 *
 * Parameters (-D): where the kernel keeps those counts (light.py).
 */
#include <uapi/linux/snmp.h>

/* What doesn't change while a CPU deals with one segment; of a unix client's connect, only where it runs. */
struct moment {
	u64 context;  /* in which interrupts it is: preempt_count, without who forbids preemption */
	u64 softirqs; /* handlers begun, of all kinds */
	u64 segments; /* received by TCP, in the listener's network namespace */
};
#define INTERRUPTS 0xffff00

/* What this CPU did last. */
struct here {
	u64 child; /* made a connection, of this segment */
	u64 segment;
	struct moment notified; /* told a listener */
	u64 net; /* looked for the counter of segments of this network namespace */
	u64 counter;
};
BPF_PERCPU_ARRAY(here, struct here, 1);

static __always_inline struct here *all_here(void)
{
	int zero = 0;
	return here.lookup(&zero);
}

/* What lies somewhere: any struct that begins with a number would do for registers. */
#define WORD(address) MEMBER(REGISTERS, u64, address, 0)

/* This CPU's run queue, among its other variables: the task that runs here knows it. */
static __always_inline u64 this_queue(void)
{
	u64 tasks = TYPED(u64, this_task(), TASK_CFS_RQ);
	return TYPED(u64, tasks, CFS_RQ_RQ);
}

static __always_inline u64 segments(struct here *mine, u64 sk)
{
	u64 net = TYPED(u64, sk, SKC_NET);
	if (net != mine->net) {
		u64 offset = WORD(this_queue() + THIS_CPU_OFF);
		mine->counter = WORD(net + NET_TCP_STATISTICS) + offset + TCP_MIB_INSEGS * sizeof(u64);
		mine->net = net;
	}
	return WORD(mine->counter);
}

static __always_inline u64 softirqs(u64 queue)
{
	u64 counts = queue + KSTAT + KSTAT_SOFTIRQS; /* ten of 32 bits: any of them goes on, and so does the sum */
	return WORD(counts) + WORD(counts + 8) + WORD(counts + 16) + WORD(counts + 24) + WORD(counts + 32);
}

static __always_inline u64 context(u64 queue)
{
	return WORD(queue + PREEMPT_COUNT) & INTERRUPTS;
}

/* A connection that is being made has its first state of congestion control (tcp_ca_openreq_child()). */
RAW_TRACEPOINT_PROBE(tcp_cong_state_set)
{
	u64 sk = ctx->args[0];
	struct here *mine = all_here();
	if (!mine || TYPED(u8, sk, SKC_STATE) != BPF_TCP_SYN_RECV)
		return 0;
	mine->child = sk;
	mine->segment = segments(mine, sk);
	return 0;
}

/* Who arrives: whom the same segment has made. A listener is also told of connections that were moved to it. */
static __always_inline u64 peer_of_child(struct here *mine)
{
	u64 child = mine->child;
	mine->child = 0;
	return child && mine->segment == mine->notified.segments ? peer_in(child) : 0;
}

static __always_inline void listener_told(struct here *mine, struct window *open, u64 sk, u32 index)
{
	u64 queue = this_queue();
	mine->notified.context = context(queue);
	if (TYPED(u16, sk, SKC_FAMILY) != AF_UNIX) {
		mine->notified.softirqs = softirqs(queue);
		mine->notified.segments = segments(mine, sk);
		open->peer = peer_of_child(mine);
	}
	arrival_opens(open, sk, index);
}

RAW_TRACEPOINT_PROBE(sk_data_ready)
{
	u64 sk = ctx->args[0];
	/* Three of four: no listener's. */
	if (TYPED(u8, sk, SKC_STATE) != BPF_TCP_LISTEN)
		return 0;
	struct window *open = this_window();
	struct here *mine = all_here();
	if (!open || !mine)
		return 0;
	open->arrival = 0;
	u32 index = listener_of(TYPED(u64, sk, SKC_COOKIE));
	if (index)
		listener_told(mine, open, sk, index);
	return 0;
}

/* Whether the notification that opened the window may go on. */
static __always_inline int goes_on(struct here *mine, struct window *open)
{
	u64 queue = this_queue();
	struct moment *then = &mine->notified;
	if (context(queue) != then->context)
		return 0;
	return open->in_task || (softirqs(queue) == then->softirqs && WORD(mine->counter) == then->segments);
}

static __always_inline struct window *open_window(void)
{
	struct window *open = this_window();
	struct here *mine = all_here();
	return open && open->arrival && mine && goes_on(mine, open) ? open : NULL;
}

RAW_TRACEPOINT_PROBE(sched_waking)
{
	worker_waking(ctx->args[0], open_window());
	return 0;
}
