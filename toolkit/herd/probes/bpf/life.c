/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What every mode sees of a worker in the same way: it runs, it sleeps, it calls the kernel. */

static __always_inline void close_window(void)
{
	struct window *open = this_window();
	if (open)
		open->arrival = 0;
}

RAW_TRACEPOINT_PROBE(sched_switch)
{
	close_window();
	int preempted = ctx->args[0];
	worker_switched_out((u32)bpf_get_current_pid_tgid(), !preempted && PREV_STATE(ctx));
	worker_switched_in(TYPED(u32, ctx->args[2], TASK_PID));
	return 0;
}

RAW_TRACEPOINT_PROBE(sys_exit)
{
	u64 registers = ctx->args[0];
	int nr = TYPED(u32, registers, CALL_NUMBER);
	u32 wait = wait_of(nr);
	/* First, since it costs least: most calls are no waits. A client's connect may have told a unix listener. */
	if (wait == WAIT_OTHER && nr != __NR_connect)
		return 0;
	close_window();
	worker_returns(wait, TYPED(u32, registers, FIRST_ARGUMENT), ctx->args[1]);
	return 0;
}
