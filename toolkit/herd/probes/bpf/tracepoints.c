/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Tracepoint mode: sk_data_ready of a listener opens this CPU's window, and a worker that is woken
 * inside it was woken by that arrival. The window closes at the next data-ready or state change of any
 * socket, when the softirq ends, or when the CPU switches tasks: whatever comes first, the notification
 * (sock_def_readable(), net/core/sock.c) is over by then.
 */

RAW_TRACEPOINT_PROBE(sk_data_ready)
{
	u64 sk = ctx->args[0];
	struct window *open = this_window();
	if (!open)
		return 0;
	open->arrival = 0;
	if (KREAD(u8, sk, SKC_STATE) != BPF_TCP_LISTEN)
		return 0;
	u32 index = listener_of(sk);
	if (index)
		arrival_opens(open, sk, index);
	return 0;
}

/*
 * Comes just before the listener's sk_data_ready, on the same CPU, for the connection that arrives
 * (tcp_child_process(), net/ipv4/tcp_minisocks.c), and names its peer.
 */
RAW_TRACEPOINT_PROBE(inet_sock_set_state)
{
	struct window *open = this_window();
	if (!open)
		return 0;
	open->arrival = 0;
	if (ctx->args[1] == BPF_TCP_SYN_RECV && ctx->args[2] == BPF_TCP_ESTABLISHED)
		open->peer_and_port = peer_of(ctx->args[0]);
	return 0;
}

RAW_TRACEPOINT_PROBE(softirq_exit)
{
	struct window *open = this_window();
	if (open)
		open->arrival = 0;
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_waking)
{
	worker_waking(KREAD(u32, ctx->args[0], TASK_PID));
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_switch)
{
	struct window *open = this_window();
	if (open)
		open->arrival = 0;
	int preempted = ctx->args[0];
	worker_switched_out((u32)bpf_get_current_pid_tgid(), !preempted && PREV_STATE(ctx));
	worker_switched_in(KREAD(u32, ctx->args[2], TASK_PID));
	return 0;
}

RAW_TRACEPOINT_PROBE(sys_enter)
{
	worker_enters((struct pt_regs *)ctx->args[0], ctx->args[1]);
	return 0;
}

RAW_TRACEPOINT_PROBE(sys_exit)
{
	worker_returns(ctx->args[1]);
	return 0;
}
