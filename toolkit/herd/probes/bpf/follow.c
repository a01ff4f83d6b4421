/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Workers that come and go: a child or thread of a tracked task is tracked from its first instruction, and a
 * task that exits is forgotten. So a server that we did not start may fork while it is observed.
 */

/* Tasks that came when there was no room for one more. */
BPF_ARRAY(unfollowed, u64, 1);

RAW_TRACEPOINT_PROBE(sched_process_fork)
{
	if (!is_tracked(TYPED(u32, ctx->args[0], TASK_PID)))
		return 0;
	int zero = 0;
	u64 *missed = unfollowed.lookup(&zero);
	if (!track(TYPED(u32, ctx->args[1], TASK_PID)) && missed)
		__sync_fetch_and_add(missed, 1);
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	u32 tid = TYPED(u32, ctx->args[0], TASK_PID);
	u16 *slot = slot_of(tid);
	struct worker *w = find_worker(tid);
	if (!slot || !w)
		return 0;
	u64 time = w->wakeup.time;
	if (time)
		worker_emit(w, time, bpf_ktime_get_ns());
	*slot = 0;
	w->tid = 0; /* last: from here on it can be another task's */
	return 0;
}
