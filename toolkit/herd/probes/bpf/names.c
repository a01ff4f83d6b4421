/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Accepts without a look at system calls: one that is to tell the client's address asks the new socket for it
 * (inet_getname(), net/ipv4/af_inet.c), in the worker, and a cgroup's programs may have a say in what it answers;
 * likewise for getpeername(2), which is another call.
 */
static __always_inline int accept_asks(u64 peer)
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
	struct event e = accept_of(peer);
	e.listener = listener;
	emit_accept(w, &e);
	return 1; /* the answer stands */
}

int peername4__accept(struct bpf_sock_addr *ctx)
{
	return accept_asks(peer_of(ctx->user_ip4, ctx->user_port));
}

int peername6__accept(struct bpf_sock_addr *ctx)
{
	return accept_asks(peer_of(ctx->user_ip6[3], ctx->user_port));
}
