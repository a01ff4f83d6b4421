/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What every mode sees of a worker in the same way: it runs, it sleeps, it calls the kernel. */

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
