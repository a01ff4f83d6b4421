/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* emit() by the kernel's ring buffer, for bcc's reader. Parameter (-D): RING_PAGES, of 4 KiB. */
#include <uapi/linux/ptrace.h>

BPF_RINGBUF_OUTPUT(events, RING_PAGES);

static __always_inline void emit(struct event *event, u8 kind)
{
	event->kind = kind;
	events.ringbuf_output(event, sizeof(*event), BPF_RB_NO_WAKEUP);
}
