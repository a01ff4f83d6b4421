/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Makes records such as the probes do as fast as the kernel can: BATCH of them each time that it is called
 * (BPF_PROG_TEST_RUN). Is joined behind herd/probes/bpf/event.h and lanes.c, or ringbuf.c.
 */
int walk__produce(struct bpf_raw_tracepoint_args *ctx)
{
	struct event e = {};
	for (u32 i = 0; i < BATCH; i++) {
		e.time = bpf_ktime_get_ns();
		e.arrival++;
		emit(&e, KIND_WAKEUP);
	}
	return 0;
}
