/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * System calls as they end: which connection an accept gave, which accepts found nothing, who left the kernel. While
 * this is attached, each call of each task takes the kernel's slow path; so a mode that can do without detaches it.
 */

int later__sys_exit(struct bpf_raw_tracepoint_args *ctx)
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
