/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What every mode sees of a worker in the same way: it runs, and it sleeps. */

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
	worker_switched_out(TYPED(u32, ctx->args[1], TASK_PID), ctx->args[1], !preempted && PREV_STATE(ctx));
	worker_switched_in(TYPED(u32, ctx->args[2], TASK_PID), ctx->args[2]);
	return 0;
}
