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
	u32 tid = TYPED(u32, ctx->args[1], TASK_PID);
	int word_index = tid >> 6, zero = 0;
	u64 *word = tracked.lookup(&word_index);
	u64 *missed = unfollowed.lookup(&zero);
	struct worker fresh = {};
	if (workers.update(&tid, &fresh)) {
		if (missed)
			__sync_fetch_and_add(missed, 1);
		return 0;
	}
	if (word)
		__sync_fetch_and_or(word, 1ULL << (tid & 63));
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	u32 tid = TYPED(u32, ctx->args[0], TASK_PID);
	struct worker *w = find_worker(tid);
	if (!w)
		return 0;
	u64 time = w->wakeup.time;
	if (time)
		worker_emit(w, time, bpf_ktime_get_ns());
	int word_index = tid >> 6;
	u64 *word = tracked.lookup(&word_index);
	if (word)
		__sync_fetch_and_and(word, ~(1ULL << (tid & 63)));
	workers.delete(&tid);
	return 0;
}
