/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Accepts without a look at system calls: one that is to tell the client's address asks the new socket for it
 * (inet_getname(), net/ipv4/af_inet.c), in the worker, and a cgroup's programs may have a say in what it answers;
 * likewise for getpeername(2), but by then the arrival is taken.
 *
 * Parameter (-D): ENOUGH accepts that were seen so show that the server's can be; from then on all CPUs only read it.
 */
static __always_inline void count_named(void)
{
	struct sightings *all = all_sightings();
	if (all && all->named < ENOUGH)
		__sync_fetch_and_add(&all->named, 1);
}

/* The listener that the current call accepts from; 0: none of ours. Another call than accept knows none. */
static __always_inline u32 asked_on(u32 arrived_on)
{
	u64 task = this_task();
	return wait_in(task) == WAIT_ACCEPT ? listener_of(cookie_of(sock_of(fd_in(task)))) : arrived_on;
}

static __always_inline int accept_asks(u64 ends)
{
	struct worker *w = current_worker();
	struct pending from = {};
	if (!w || !recall(ends, &from))
		return 1;
	u32 listener = asked_on(from.listener);
	if (!listener)
		return 1;
	count_named();
	w->named = 1;
	worker_goes_on(w);
	struct event e = accept_of(ends);
	e.listener = listener;
	join_arrival(&e, &from);
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
