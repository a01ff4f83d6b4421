/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Whom we track: each such task is given a worker. The probe process asks for it (walk__track), and a task that is
 * followed is given one as it is forked, which may be at the same time.
 */

/* Where to look for a free one next. */
BPF_ARRAY(turn, u64, 1);

/* Of so many, one is free unless nearly all are taken. */
#define TRIES 64

/* Whether `tid` has a worker now. */
static __always_inline int track(u32 tid)
{
	int zero = 0;
	u16 *slot = slot_of(tid);
	u64 *next = turn.lookup(&zero);
	if (!slot || !next)
		return 0;
	if (*slot)
		return 1;
	for (int tries = 0; tries < TRIES; tries++) {
		int index = __sync_fetch_and_add(next, 1) % WORKERS + 1;
		struct worker *w = workers.lookup(&index);
		if (!w || __sync_val_compare_and_swap(&w->tid, 0, tid))
			continue;
		struct worker fresh = {.tid = tid};
		*w = fresh;
		*slot = index;
		return 1;
	}
	return 0;
}

int walk__track(struct bpf_raw_tracepoint_args *ctx)
{
	track(ctx->args[0]);
	return 0;
}
