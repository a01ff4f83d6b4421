/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * A worker that lets the kernel accept: no system call returns the connection. A request begins when it takes
 * its file (io_file_get_normal(), io_uring/io_uring.c), in the worker's own io_uring_enter; it completes there
 * or in task work of the worker, which is the current task each time. What comes in between is the kernel's
 * business: an attempt that finds nothing is no EAGAIN of the worker's.
 *
 * A completion doesn't always name its request (of a multishot accept: NULL, io_fill_cqe_aux()), but always the
 * ring and what the program wrote into user_data; by these two the listener is remembered. Not seen: listeners
 * that are registered files, connections that become registered files, and rings with a polling thread.
 *
 * Parameters (-D): IO_URING, if this kernel has these tracepoints in a form that we know; REQ_OPCODE, REQ_CTX and
 * REQ_USER_DATA, offsets in struct io_kiocb; COMPLETED_<what>(ctx).
 */
#define IO_URING_ACCEPT 13	/* IORING_OP_ACCEPT, include/uapi/linux/io_uring.h */
#define IO_URING_MORE (1U << 1) /* IORING_CQE_F_MORE, likewise: the request stays */

struct request_key {
	u64 ring;
	u64 user_data;
};
struct request {
	u64 entered; /* or when it gave the connection before */
	u64 listener;
};
BPF_TABLE("lru_hash", struct request_key, struct request, requests, 16384);

#ifdef IO_URING
RAW_TRACEPOINT_PROBE(io_uring_file_get)
{
	u64 req = ctx->args[0];
	if (!current_worker() || KREAD(u8, req, REQ_OPCODE) != IO_URING_ACCEPT)
		return 0;
	struct request request = {.entered = bpf_ktime_get_ns(), .listener = listener_of(cookie_of(sock_of(ctx->args[1])))};
	struct request_key key = {.ring = KREAD(u64, req, REQ_CTX), .user_data = KREAD(u64, req, REQ_USER_DATA)};
	if (request.listener)
		requests.update(&key, &request);
	return 0;
}

RAW_TRACEPOINT_PROBE(io_uring_complete)
{
	struct worker *w = current_worker();
	if (!w)
		return 0;
	struct request_key key = {.ring = ctx->args[0], .user_data = COMPLETED_USER_DATA(ctx)};
	struct request *request = requests.lookup(&key);
	if (!request)
		return 0;
	s32 result = COMPLETED_RESULT(ctx);
	if (result >= 0)
		count_named();
	worker_accepted(w, request->listener, request->entered, result);
	if (COMPLETED_FLAGS(ctx) & IO_URING_MORE)
		request->entered = bpf_ktime_get_ns();
	else
		requests.delete(&key);
	return 0;
}
#endif
