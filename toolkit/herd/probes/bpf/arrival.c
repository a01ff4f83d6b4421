/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* An arrival: whose connection it is, and what is written down of it. How it is noticed is the mode's business. */

/* A member of a listener: the mode says how it came by it. */
#ifdef LISTENER_IS_TYPED
#define LREAD TYPED
#else
#define LREAD KREAD
#endif

/*
 * inet_sock_set_state comes just before the listener's data-ready, on the same CPU, for the connection
 * that arrives (tcp_child_process(), net/ipv4/tcp_minisocks.c), and names its peer.
 */
static __always_inline void peer_arrives(struct window *open, u64 sk, u64 from, u64 to)
{
	if (from == BPF_TCP_SYN_RECV && to == BPF_TCP_ESTABLISHED)
		open->peer = peer_in(sk);
}

/* The socket that a task connects just now, by tid. */
BPF_TABLE("lru_hash", u32, u64, client_of, 1024);

static __always_inline void client_connects(struct pt_regs *regs)
{
	/* Most connect elsewhere, and their address says so at the least cost, unless its page isn't there. */
	u16 family = AF_UNIX;
	bpf_probe_read_user(&family, sizeof(family), (void *)KREAD(u64, &PT_REGS_PARM2(regs), 0));
	if (family && family != AF_UNIX)
		return;
	u64 sk = sock_of(KREAD(u64, &PT_REGS_PARM1(regs), 0));
	if (KREAD(u16, sk, SKC_FAMILY) != AF_UNIX)
		return;
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct client unknown = {};
	client_of.update(&tid, &sk);
	connecting.update(&sk, &unknown);
}

/*
 * A unix listener is told in the client's own connect: the client is who runs. It needn't be the last in the
 * listener's queue: between queueing and telling, others may come.
 */
static __always_inline u64 client_arrives(u64 now)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u64 *sk = client_of.lookup(&tid);
	u64 key = sk ? *sk : 0;
	struct client *client = connecting.lookup(&key);
	if (!client)
		return next_arrival();
	u64 taken = client->arrival;
	client->time = now;
	u64 arrival = agreed(client);
	if (taken)
		connecting.delete(&key);
	return arrival;
}

/* How many connections wait in a listener's queue. */
static __always_inline u32 queued(u64 sk, int in_task)
{
	return in_task ? LREAD(u32, sk, SK_RECEIVE_QUEUE_LEN) : LREAD(u32, sk, SK_ACK_BACKLOG);
}

/* A connection becomes acceptable on `sk`, one of our listeners. */
static __always_inline void arrival_opens(struct window *open, u64 sk, u32 index)
{
	struct event e = {};
	e.time = bpf_ktime_get_ns();
	e.cpu = bpf_get_smp_processor_id();
	e.listener = index;
	open->in_task = LREAD(u16, sk, SKC_FAMILY) == AF_UNIX;
	e.amount = queued(sk, open->in_task);
	if (open->in_task) {
		e.arrival = client_arrives(e.time);
	} else {
		e.arrival = next_arrival();
		e.peer = ADDRESS_OF(open->peer);
		e.peer_port = PORT_OF(open->peer);
		/* The next may have none: inet_csk_listen_stop() tells a listener of connections that it moved there
		   from one that was closed, long after their handshakes. */
		open->peer = 0;
	}
	open->arrival = e.arrival;
	open->listener = index;
	emit(&e, KIND_ARRIVAL);
}
