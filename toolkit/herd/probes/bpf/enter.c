/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * System calls as they begin. Each call of each task pays for a look at it, so it is attached only where somebody
 * needs it (Session.look_at_entries()): to tell who connects to a unix listener, or when an accept was called.
 */

int later__sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	int nr = ctx->args[1];
	if (nr == __NR_connect)
		client_connects((struct pt_regs *)ctx->args[0]);
	if (wait_of(nr) != WAIT_ACCEPT)
		return 0;
	struct worker *w = current_worker();
	if (w)
		w->entered = bpf_ktime_get_ns();
	return 0;
}
