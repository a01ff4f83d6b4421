/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Tracepoint mode: sk_data_ready of a listener opens this CPU's window, and a worker that is woken
 * inside it was woken by that arrival. The window closes at the next data-ready or state change of any
 * socket, when the softirq ends (for a unix listener: the client's system call), or when the CPU switches
 * tasks: whatever comes first, the notification (sock_def_readable(), net/core/sock.c) is over by then.
 */

RAW_TRACEPOINT_PROBE(sk_data_ready)
{
	u64 sk = ctx->args[0];
	struct window *open = this_window();
	if (!open)
		return 0;
	open->arrival = 0;
	if (TYPED(u8, sk, SKC_STATE) != BPF_TCP_LISTEN)
		return 0;
	u32 index = listener_of(TYPED(u64, sk, SKC_COOKIE));
	if (index)
		arrival_opens(open, sk, index);
	else
		open->peer = 0; /* it arrived on somebody else's */
	return 0;
}

RAW_TRACEPOINT_PROBE(inet_sock_set_state)
{
	struct window *open = this_window();
	if (!open)
		return 0;
	open->arrival = 0;
	peer_arrives(open, ctx->args[0], ctx->args[1], ctx->args[2]);
	return 0;
}

RAW_TRACEPOINT_PROBE(softirq_exit)
{
	struct window *open = this_window();
	if (open && !open->in_task)
		open->arrival = 0;
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_waking)
{
	worker_waking(ctx->args[0], this_window());
	return 0;
}
