/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* An arrival: whose connection it is, and what is written down of it. How it is noticed is the mode's business. */

/*
 * inet_sock_set_state comes just before the listener's data-ready, on the same CPU, for the connection
 * that arrives (tcp_child_process(), net/ipv4/tcp_minisocks.c), and names its peer.
 */
static __always_inline void peer_arrives(struct window *open, u64 sk, u64 from, u64 to)
{
	if (from == BPF_TCP_SYN_RECV && to == BPF_TCP_ESTABLISHED)
		open->connection = open->peer_and_port = peer_of(sk);
}

/* The descriptor that a task connects just now, by tid. */
BPF_TABLE("lru_hash", u32, u32, connecting, 1024);

static __always_inline void client_connects(struct pt_regs *regs)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u32 fd = KREAD(u64, &PT_REGS_PARM1(regs), 0);
	connecting.update(&tid, &fd);
}

/*
 * A unix listener is told in the client's own connect, which has made the socket that accept will return, and
 * that is the client's peer already (unix_stream_connect(), net/unix/af_unix.c). It needn't be the last in the
 * listener's queue: between queueing and telling, others may come, and workers accept.
 */
static __always_inline void client_arrives(struct window *open)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u32 *fd = connecting.lookup(&tid);
	open->peer_and_port = 0;
	open->connection = fd ? KREAD(u64, sock_of(*fd), UNIX_PEER) : 0;
}

/* A connection becomes acceptable on `sk`, one of our listeners. */
static __always_inline void arrival_opens(struct window *open, u64 sk, u32 index)
{
	int zero = 0;
	u64 *last = sequence.lookup(&zero);
	if (!last)
		return;
	open->in_task = KREAD(u16, sk, SKC_FAMILY) == AF_UNIX;
	if (open->in_task)
		client_arrives(open);
	struct event e = {};
	e.time = bpf_ktime_get_ns();
	e.arrival = __sync_fetch_and_add(last, 1) + 1;
	e.cpu = bpf_get_smp_processor_id();
	e.listener = index;
	e.amount = KREAD(u32, sk, open->in_task ? SK_RECEIVE_QUEUE_LEN : SK_ACK_BACKLOG);
	e.peer = open->peer_and_port >> 32;
	e.peer_port = open->peer_and_port & 0xffff;
	struct pending_key key = {.connection = open->connection, .listener = index};
	struct pending value = {.arrival = e.arrival, .time = e.time};
	pending.update(&key, &value);
	open->arrival = e.arrival;
	open->listener = index;
	emit(&e, KIND_ARRIVAL);
}
