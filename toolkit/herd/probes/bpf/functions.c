/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Function mode: the functions that a connection's arrival really runs through, each with its entry and its
 * return. sock_def_readable() of a listener brackets the notification; a worker was woken by it if
 * sched_waking comes inside one of the functions that a wait-queue entry calls (autoremove_wake_function()
 * for accept, ep_autoremove_wake_function() for epoll, pollwake() for select and poll, wake_up_state() for
 * io_uring). Those run with interrupts off, so nothing else can come between. An interrupt that comes before,
 * and wakes somebody else, is told apart by its wait queue: a call is ours if what it is given is ours, or if
 * our own call of __wake_up_common() is the innermost. So attribution is exact.
 *
 * A signal (O_ASYNC) goes through no wait queue: sock_wake_async(), the last that sock_def_readable() calls,
 * brackets the wakeups of workers that are blocked in sigtimedwait. It runs with interrupts on: a timeout of
 * sigtimedwait that an interrupt brings in just these microseconds can't be told apart.
 *
 * Parameters (-D), beside those before: FN_<name>, the number from 1 of each function that this kernel lets us
 * probe; ARGS_<name>, how many arguments it has; FENTRY for fentry and fexit, else kprobe and kretprobe.
 */

#ifdef FENTRY
#define ON_ENTRY(name) int kfunc__##name(u64 *ctx)
#define ON_RETURN(name) int kretfunc__##name(u64 *ctx)
#define FIRST(ctx) ((ctx)[0])
#define RESULT(ctx, name) ((ctx)[ARGS_##name]) /* fexit has it behind the arguments */
#else
#define ON_ENTRY(name) int entry__##name(struct pt_regs *ctx)
#define ON_RETURN(name) int return__##name(struct pt_regs *ctx)
#define FIRST(ctx) PT_REGS_PARM1(ctx)
#define RESULT(ctx, name) PT_REGS_RC(ctx)
#endif

#define DEPTH 16 /* a power of two; the deepest path seen has 8 */

struct frame {
	u64 entered;
	u64 queue; /* the wait queue that it wakes, where it is given one */
	u32 function;
	u32 tid;
};

/* The calls of ours that are under way: on a CPU that notifies, or in a worker that accepts. */
struct stack {
	u64 arrival;
	u64 queue; /* the listener's wait queue */
	u32 listener;
	u32 depth;
	u32 waking; /* how many of them are wake functions */
	struct frame frames[DEPTH];
};
BPF_PERCPU_ARRAY(notifying, struct stack, 1);
BPF_HASH(accepting, u32, struct stack, WORKERS);

/* Of each function: calls on a listener's path, returns from them, and calls that had nothing to do with it. */
struct calls {
	u64 entries;
	u64 returns;
	u64 elsewhere;
};
BPF_PERCPU_ARRAY(calls, struct calls, FUNCTIONS);

static __always_inline struct stack *this_notification(void)
{
	int zero = 0;
	return notifying.lookup(&zero);
}

static __always_inline void is_elsewhere(u32 function)
{
	int number = function;
	struct calls *count = calls.lookup(&number);
	if (count)
		count->elsewhere++;
}

static __always_inline void push(struct stack *s, u32 function, u32 tid, u64 queue, int wakes)
{
	int number = function;
	struct calls *count = calls.lookup(&number);
	if (count)
		count->entries++;
	struct frame *frame = &s->frames[s->depth & (DEPTH - 1)];
	frame->entered = bpf_ktime_get_ns();
	frame->queue = queue;
	frame->function = function;
	frame->tid = tid;
	s->depth++;
	s->waking += wakes;
}

static __always_inline void pop(struct stack *s, u32 function, u64 arrival, s32 result, int wakes)
{
	struct frame *frame = &s->frames[(s->depth - 1) & (DEPTH - 1)];
	if (!s->depth || frame->function != function)
		return; /* it was entered before we looked */
	s->depth--;
	s->waking -= wakes;
	int number = function;
	struct calls *count = calls.lookup(&number);
	if (count)
		count->returns++;
	struct event e = {};
	e.time = frame->entered;
	e.end = bpf_ktime_get_ns();
	e.arrival = arrival;
	e.tid = frame->tid;
	e.result = result;
	e.cpu = bpf_get_smp_processor_id();
	e.listener = s->listener;
	e.what = function;
	e.depth = s->depth;
	emit(&e, KIND_CALL);
}

/* -- the CPU that notifies ---------------------------------------------------------------------- */

static __always_inline struct frame *innermost(struct stack *s)
{
	return &s->frames[(s->depth - 1) & (DEPTH - 1)];
}

/* Whether `queue` is what the innermost call is about: the listener's queue, or an epoll set's. */
static __always_inline int is_ours(struct stack *s, u64 queue)
{
	if (!s->depth)
		return 0;
	struct frame *outer = innermost(s);
#ifdef FN_ep_poll_callback
	if (outer->function == FN_ep_poll_callback)
		return 1; /* interrupts are off: whatever it wakes is its set's */
#endif
	return queue == (outer->queue ? outer->queue : s->queue);
}

/* Interrupts are off: who is called by our own __wake_up_common() is ours. */
static __always_inline int is_called_by_waker(struct stack *s)
{
#ifdef FN___wake_up_common
	return s->depth && innermost(s)->function == FN___wake_up_common;
#else
	return s->depth > 1;
#endif
}

/* Interrupts are off: whatever io_poll_wake() wakes is its ring's worker. */
static __always_inline int is_polled_by_ring(struct stack *s)
{
#ifdef FN_io_poll_wake
	return s->depth && innermost(s)->function == FN_io_poll_wake;
#else
	return 0;
#endif
}

static __always_inline int notify_enters(int ours, struct stack *s, u32 function, u32 tid, u64 queue, int wakes)
{
	if (ours)
		push(s, function, tid, queue, wakes);
	else
		is_elsewhere(function);
	return 0;
}

static __always_inline int notify_returns(u32 function, s32 result, int wakes)
{
	struct stack *s = this_notification();
	if (s)
		pop(s, function, s->arrival, result, wakes);
	return 0;
}

/* The listener's number, if `sk` is one of ours. */
static __always_inline u32 listens(u64 sk)
{
	return KREAD(u8, sk, SKC_STATE) == BPF_TCP_LISTEN ? listener_of(cookie_of(sk)) : 0;
}

/* A notification begins with `outer` calls of ours around it; more are left from returns that were missed. */
static __always_inline void begin(struct stack *s, u32 listener, u32 outer)
{
	if (s->depth > outer)
		s->depth = 0;
	if (!s->depth) {
		s->waking = 0;
		s->arrival = 0;
	}
	s->listener = listener;
}

#ifdef FN_tcp_child_process
ON_ENTRY(tcp_child_process)
{
	u32 listener = listens(FIRST(ctx));
	struct stack *s = this_notification();
	if (!s || !listener) {
		is_elsewhere(FN_tcp_child_process);
		return 0;
	}
	begin(s, listener, 0);
	push(s, FN_tcp_child_process, 0, 0, 0);
	return 0;
}

ON_RETURN(tcp_child_process)
{
	return notify_returns(FN_tcp_child_process, 0, 0);
}
#endif

ON_ENTRY(sock_def_readable)
{
	u64 sk = FIRST(ctx);
	u32 listener = listens(sk);
	struct stack *s = this_notification();
	struct window *open = this_window();
	if (!s || !open || !listener) {
		is_elsewhere(FN_sock_def_readable);
		if (open && KREAD(u8, sk, SKC_STATE) == BPF_TCP_LISTEN)
			open->peer = 0; /* it arrived on somebody else's */
		return 0;
	}
	begin(s, listener, 1);
	arrival_opens(open, sk, listener);
	s->arrival = open->arrival;
	s->queue = KREAD(u64, sk, SK_WQ) + SOCKET_WQ_WAIT;
	push(s, FN_sock_def_readable, 0, 0, 0);
	return 0;
}

ON_RETURN(sock_def_readable)
{
	struct window *open = this_window();
	if (open)
		open->arrival = 0;
	return notify_returns(FN_sock_def_readable, 0, 0);
}

/* Wakes the waiters of the queue that it is given. */
#define WAKES_QUEUE(name)                                                                \
	ON_ENTRY(name)                                                                   \
	{                                                                                \
		struct stack *s = this_notification();                                   \
		u64 queue = FIRST(ctx);                                                  \
		return notify_enters(s && is_ours(s, queue), s, FN_##name, 0, queue, 0); \
	}                                                                                \
	ON_RETURN(name) { return notify_returns(FN_##name, 0, 0); }

#ifdef FN___wake_up
WAKES_QUEUE(__wake_up)
#endif
#ifdef FN___wake_up_sync
WAKES_QUEUE(__wake_up_sync)
#endif
#ifdef FN___wake_up_sync_key
WAKES_QUEUE(__wake_up_sync_key)
#endif
#ifdef FN___wake_up_common
WAKES_QUEUE(__wake_up_common)
#endif

/* What a wait-queue entry calls; a wake function returns whether its task was asleep. */
#define WAIT_ENTRY_CALLS(name, tid, wakes)                                               \
	ON_ENTRY(name)                                                                   \
	{                                                                                \
		struct stack *s = this_notification();                                   \
		int ours = s && is_called_by_waker(s);                                   \
		return notify_enters(ours, s, FN_##name, ours ? tid : 0, 0, wakes);      \
	}                                                                                \
	ON_RETURN(name) { return notify_returns(FN_##name, (s32)RESULT(ctx, name), wakes); }

#define WAITER(ctx) KREAD(u64, FIRST(ctx), WAIT_PRIVATE)

#ifdef FN_ep_poll_callback
WAIT_ENTRY_CALLS(ep_poll_callback, 0, 0)
#endif
#ifdef FN_autoremove_wake_function
WAIT_ENTRY_CALLS(autoremove_wake_function, KREAD(u32, WAITER(ctx), TASK_PID), 1)
#endif
#ifdef FN_ep_autoremove_wake_function
WAIT_ENTRY_CALLS(ep_autoremove_wake_function, KREAD(u32, WAITER(ctx), TASK_PID), 1)
#endif
#ifdef FN_io_poll_wake
WAIT_ENTRY_CALLS(io_poll_wake, 0, 0)
#endif
#ifdef FN_pollwake
WAIT_ENTRY_CALLS(pollwake, KREAD(u32, KREAD(u64, WAITER(ctx), POLLING_TASK), TASK_PID), 1)
#endif

/*
 * io_poll_wake() returns 1 whether its worker slept or not. It adds the accept to the worker's task work, and
 * it is wake_up_state(), called for that (task_work_add(), kernel/task_work.c), that knows who was woken.
 */
#ifdef FN_wake_up_state
ON_ENTRY(wake_up_state)
{
	struct stack *s = this_notification();
	int ours = s && is_polled_by_ring(s);
	u32 tid = ours ? KREAD(u32, FIRST(ctx), TASK_PID) : 0;
	return notify_enters(ours, s, FN_wake_up_state, tid, 0, 1);
}

ON_RETURN(wake_up_state)
{
	return notify_returns(FN_wake_up_state, (s32)RESULT(ctx, wake_up_state), 1);
}
#endif

#ifdef FN_sock_wake_async
ON_ENTRY(sock_wake_async)
{
	struct stack *s = this_notification();
	return notify_enters(s && s->depth, s, FN_sock_wake_async, 0, 0, 0);
}

ON_RETURN(sock_wake_async)
{
	return notify_returns(FN_sock_wake_async, 0, 0);
}
#endif

RAW_TRACEPOINT_PROBE(inet_sock_set_state)
{
	struct window *open = this_window();
	if (open)
		peer_arrives(open, ctx->args[0], ctx->args[1], ctx->args[2]);
	return 0;
}

/* Whether the innermost call of ours is what wakes this worker: a wake function, or a signal. */
static __always_inline int is_woken_by(struct stack *s, u64 task)
{
#ifdef FN_sock_wake_async
	if (s->depth && innermost(s)->function == FN_sock_wake_async)
		return wait_in(task) == WAIT_SIGNAL;
#endif
	return s->waking;
}

RAW_TRACEPOINT_PROBE(sched_waking)
{
	struct stack *s = this_notification();
	worker_waking(ctx->args[0], s && is_woken_by(s, ctx->args[0]) ? this_window() : NULL);
	return 0;
}

/* -- the worker that accepts -------------------------------------------------------------------- */

static __always_inline struct stack *my_accept(void)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	return is_tracked(tid) ? accepting.lookup(&tid) : NULL;
}

static __always_inline int accept_enters(u32 function, u64 sk)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u32 listener = is_tracked(tid) ? listener_of(cookie_of(sk)) : 0;
	struct stack *s = listener ? accepting.lookup(&tid) : NULL;
	if (!s) {
		is_elsewhere(function);
		return 0;
	}
	s->depth = 0;
	s->listener = listener;
	push(s, function, tid, 0, 0);
	return 0;
}

/* What accept(2) calls: which listener it is about, and whether it has a connection. */
#define ACCEPTS(name, sk, succeeded)                                                     \
	ON_ENTRY(name) { return accept_enters(FN_##name, sk); }                          \
	ON_RETURN(name)                                                                  \
	{                                                                                \
		struct stack *s = my_accept();                                           \
		if (s)                                                                   \
			pop(s, FN_##name, 0, succeeded, 0);                              \
		return 0;                                                                \
	}

ACCEPTS(inet_csk_accept, FIRST(ctx), RESULT(ctx, inet_csk_accept) != 0)
#ifdef FN_unix_accept
ACCEPTS(unix_accept, KREAD(u64, FIRST(ctx), SOCKET_SK), (s32)RESULT(ctx, unix_accept) == 0)
#endif

#define INSIDE_ACCEPT(name)                                                              \
	ON_ENTRY(name)                                                                   \
	{                                                                                \
		struct stack *s = my_accept();                                           \
		if (s && s->depth)                                                       \
			push(s, FN_##name, (u32)bpf_get_current_pid_tgid(), 0, 0);       \
		else                                                                     \
			is_elsewhere(FN_##name);                                         \
		return 0;                                                                \
	}                                                                                \
	ON_RETURN(name)                                                                  \
	{                                                                                \
		struct stack *s = my_accept();                                           \
		if (s)                                                                   \
			pop(s, FN_##name, 0, 0, 0);                                      \
		return 0;                                                                \
	}

#ifdef FN_inet_csk_wait_for_connect
INSIDE_ACCEPT(inet_csk_wait_for_connect)
#endif
#ifdef FN___skb_wait_for_more_packets
INSIDE_ACCEPT(__skb_wait_for_more_packets)
#endif
#ifdef FN_prepare_to_wait_exclusive
INSIDE_ACCEPT(prepare_to_wait_exclusive)
#endif
