/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Accepts without a look at system calls: one that is to tell the client's address asks the new socket for it
 * (inet_getname(), net/ipv4/af_inet.c), in the worker, and a cgroup's programs may have a say in what it answers;
 * likewise for getpeername(2), which is another call.
 */
static __always_inline int accept_asks(u64 ends)
{
	struct worker *w = current_worker();
	u64 task = this_task();
	if (!w || wait_in(task) != WAIT_ACCEPT)
		return 1;
	w->named = 1;
	u32 listener = listener_of(cookie_of(sock_of(fd_in(task))));
	if (!listener)
		return 1;
	count_named();
	worker_goes_on(w);
	struct event e = accept_of(ends);
	e.listener = listener;
	emit_accept(w, &e);
	return 1; /* the answer stands */
}

static __always_inline u16 our_port(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	return sk ? sk->src_port : 0;
}

int peername4__accept(struct bpf_sock_addr *ctx)
{
	return accept_asks(ends_of(ctx->user_ip4, our_port(ctx), ctx->user_port));
}

int peername6__accept(struct bpf_sock_addr *ctx)
{
	return accept_asks(ends_of(ctx->user_ip6[3], our_port(ctx), ctx->user_port));
}
