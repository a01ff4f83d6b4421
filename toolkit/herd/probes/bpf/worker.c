/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The life of a worker: woken, running, sleeping again. How an arrival is recognised is the business
 * of the file that includes this one (tracepoints.c); it opens and closes the per-CPU `window`.
 *
 * Parameters (-D): SLOT_WORDS, WORKERS, LISTENERS; in light mode, which can do without a look at system calls: MARKS
 * (marks.py) and TASK_FLAGS.
 */

/* The arrival whose notification this CPU runs just now. */
struct window {
	u64 arrival; /* 0: none */
	u64 peer; /* of the connection that arrives */
	u16 listener;
	u16 in_task; /* the notification runs in the client's connect, not in a softirq */
};
BPF_PERCPU_ARRAY(window, struct window, 1);

/*
 * Two lines of the cache, aligned since the array is mapped: no CPU that changes a worker takes a line from one that looks
 * at another.
 */
struct worker {
	struct event wakeup;  /* open while wakeup.time != 0; see sleep_ends() */
	u64 on_cpu_since;
	u64 on_cpu;
	u64 maybe_slept; /* see worker_switched_out() */
	u64 entered;     /* the current accept, where entries are looked at (enter.c) */
	u64 was_away; /* when it was woken, it had left its CPU: it runs only once it is switched in */
	u64 marked; /* see look_at_marks() */
	u64 named;  /* its current accept was seen, see was_named() */
	u64 tid; /* 0: nobody's */
};
BPF_F_TABLE("array", int, struct worker, workers, WORKERS + 1, BPF_F_MMAPABLE);

/*
 * Where each task's worker is, 16 bits each, four to an element; 0: it is not tracked. So every other task costs a look at
 * what nobody changes, and a worker two: a hash by tid takes 20 to 35 ns more, five times a connection.
 */
BPF_F_TABLE("array", int, u64, slots, SLOT_WORDS, BPF_F_MMAPABLE);

BPF_HASH(listeners, u64, u32, LISTENERS); /* socket cookie -> index from 1 */

BPF_ARRAY(sequence, u64, 1);

static __always_inline struct window *this_window(void)
{
	int zero = 0;
	return window.lookup(&zero);
}

static __always_inline u16 *slot_of(u32 tid)
{
	int word_index = tid >> 2;
	u16 *word = (u16 *)slots.lookup(&word_index);
	return word ? word + (tid & 3) : NULL;
}

static __always_inline int is_tracked(u32 tid)
{
	u16 *slot = slot_of(tid);
	return slot && *slot;
}

static __always_inline struct worker *find_worker(u32 tid)
{
	u16 *slot = slot_of(tid);
	int index = slot ? *slot : 0;
	return index ? workers.lookup(&index) : NULL;
}

static __always_inline struct worker *current_worker(void)
{
	return find_worker((u32)bpf_get_current_pid_tgid());
}

/*
 * The wakeup that was made at `time` is over. A worker that leaves its CPU and the next waker, on another CPU,
 * can both find it open: whoever takes its time away emits it. (Seen in an emulated guest, whose CPUs halt
 * anywhere: two rows for one wakeup, one of them without a time.)
 */
static __always_inline void worker_emit(struct worker *w, u64 time, u64 slept)
{
	struct event e = w->wakeup;
	e.end = slept;
	e.amount = w->on_cpu > 0xffffffff ? 0xffffffff : w->on_cpu;
	if (__sync_val_compare_and_swap(&w->wakeup.time, time, 0) == time)
		emit(&e, KIND_WAKEUP);
}

/* Calls in which a worker waits for connections: the ends of a wakeup that an arrival caused. */
static __always_inline int waits_for_connections(u32 wait)
{
	switch (wait) {
	case WAIT_ACCEPT:
	case WAIT_EPOLL:
	case WAIT_SELECT:
	case WAIT_POLL:
	case WAIT_SIGNAL:
	case WAIT_RECVMSG:
	case WAIT_IO_URING:
		return 1;
	}
	return 0;
}

/*
 * Whether the open wakeup is over if the worker sleeps now, in `wait`. An arrival's is not if the worker, on its way to
 * accept, sleeps for something else: the GIL (a thread that has returned from epoll_wait takes it first), a lock
 * in user space, a page from disk. It is once it has tried to accept, or waits for connections again.
 */
static __always_inline int sleep_ends(struct worker *w, u32 wait)
{
	struct event *e = &w->wakeup;
	if (!e->arrival || !waits_for_connections(e->what))
		return 1;
	return e->accepts || e->eagain || waits_for_connections(wait);
}

/*
 * The kernel marks a task that leaves its CPU, and takes the marks away as the task goes on in user space (marks.py). So
 * who has lost some since its wakeup was there, though nobody looked at its system calls. A worker that is woken before
 * it has left its CPU may have none yet: of that wakeup it can't be told.
 */
#ifdef MARKS
#define UNSEEN FLAG_UNTRIED
static __always_inline void look_at_marks(struct worker *w, u64 task, struct event *wakeup)
{
	w->marked = TYPED(u64, task, TASK_FLAGS) & MARKS;
	wakeup->flags &= ~FLAG_UNTOLD;
	wakeup->flags |= w->marked ? 0 : FLAG_UNTOLD;
}

static __always_inline int has_lost_marks(struct worker *w, u64 task)
{
	return (w->marked & ~TYPED(u64, task, TASK_FLAGS)) != 0;
}
#else
#define UNSEEN 0
#define look_at_marks(w, task, wakeup)
#define has_lost_marks(w, task) 0
#endif

/*
 * A wakeup of a worker that had no time to leave its CPU: it runs on, and never "becomes running". If it had left
 * it, it was switched in unseen, since when is not known: some sandboxes keep from BPF what happens while their own
 * threads are current, a switch from one of them to a worker included.
 */
static __always_inline void worker_ran(struct worker *w)
{
	if (!w->wakeup.begin && !w->was_away) {
		w->wakeup.begin = w->wakeup.time;
		w->wakeup.running_cpu = bpf_get_smp_processor_id();
		w->on_cpu_since = w->wakeup.time;
		w->maybe_slept = 0;
	}
}

/* It goes on in user space, or is about to. */
static __always_inline void worker_goes_on(struct worker *w)
{
	if (w->wakeup.time) {
		worker_ran(w);
		w->wakeup.flags |= FLAG_RETURNED;
	}
}

/*
 * A worker that takes a level-triggered event wakes one more waiter of its epoll set, from its own epoll_wait
 * (ep_done_scan(), fs/eventpoll.c). That wakeup goes to the account of the arrival which woke the waker. An
 * interrupt can come between and wake somebody, too: of another set, so the sets are compared.
 */
static __always_inline void chained(struct event *e, u64 task)
{
	struct worker *waker = current_worker();
	u64 current = this_task();
	if (!waker || !waker->wakeup.time || wait_in(current) != WAIT_EPOLL)
		return;
	if (behind(current, fd_in(current)) != behind(task, fd_in(task)))
		return;
	e->arrival = waker->wakeup.arrival;
	e->listener = waker->wakeup.listener;
	e->flags |= FLAG_CHAINED;
}

static __always_inline void find_cause(struct event *e, u64 task, struct window *open)
{
	if (open && open->arrival) {
		e->arrival = open->arrival;
		e->listener = open->listener;
	}
	else if (e->what == WAIT_EPOLL)
		chained(e, task);
	else if (e->what == WAIT_RECVMSG && current_worker())
		e->flags |= FLAG_HANDED;
}

/* The wakeup made at `time` is over, though its end wasn't seen: the worker was about to sleep, or did so unnoticed. */
static __always_inline void worker_woken_again(struct worker *w, u64 task, u64 time, u64 now)
{
	if (has_lost_marks(w, task))
		w->wakeup.flags |= FLAG_RETURNED;
	if (w->wakeup.begin && !w->maybe_slept)
		w->on_cpu += now - w->on_cpu_since;
	worker_emit(w, time, w->maybe_slept > time ? w->maybe_slept : now);
}

/*
 * sched_waking, under the worker's pi_lock and only if it sleeps or is about to.
 * open: this CPU's window if the wakeup was caused by its arrival, else NULL
 */
static __always_inline void worker_waking(u64 task, struct window *open)
{
	u32 tid = TYPED(u32, task, TASK_PID);
	struct worker *w = find_worker(tid);
	if (!w)
		return;
	u64 now = bpf_ktime_get_ns();
	u64 time = w->wakeup.time;
	struct event e = {};
	e.tid = tid;
	e.cpu = bpf_get_smp_processor_id();
	e.what = wait_in(task);
	e.flags = UNSEEN;
	find_cause(&e, task, open);
	if (time && !sleep_ends(w, e.what)) {
		/* From a sleep on the way to accept: a row of its own; what the worker then does is the open one's. */
		e.time = now;
		emit(&e, KIND_WAKEUP);
		return;
	}
	if (time)
		worker_woken_again(w, task, time, now);
	look_at_marks(w, task, &e);
	w->on_cpu = 0;
	w->maybe_slept = 0;
	w->was_away = !TYPED(u32, task, TASK_ON_CPU);
	w->wakeup = e;
	w->wakeup.time = now; /* last: from here on it is open */
}

static __always_inline void worker_switched_in(u32 tid, u64 task)
{
	struct worker *w = find_worker(tid);
	if (!w)
		return;
	u64 now = bpf_ktime_get_ns();
	w->on_cpu_since = now;
	w->maybe_slept = 0;
	if (w->wakeup.time && !w->wakeup.begin) {
		look_at_marks(w, task, &w->wakeup);
		w->wakeup.begin = now;
		w->wakeup.running_cpu = bpf_get_smp_processor_id();
	}
}

/*
 * A worker that is woken between setting its state and leaving its CPU is seen in one of two orders:
 *   waking, out, in:  try_to_wake_up() fired its tracepoint while schedule() was already past its look
 *                     at the state; this `out` is the sleep *before* the wakeup
 *   waking, out, (waking of the next):  schedule() saw it runnable and went on; this `out` ends the wakeup
 * Which it was shows only in what comes next, so `out` is noted in maybe_slept and decided then.
 */
static __always_inline void worker_switched_out(u32 tid, u64 task, int sleeps)
{
	struct worker *w = find_worker(tid);
	u64 time = w ? w->wakeup.time : 0;
	if (!time)
		return;
	u64 now = bpf_ktime_get_ns();
	if (has_lost_marks(w, task))
		worker_goes_on(w);
	if (sleeps)
		w->maybe_slept = now;
	else
		worker_ran(w);
	if (!w->wakeup.begin && !(w->wakeup.flags & FLAG_RETURNED))
		return;
	w->on_cpu += now - w->on_cpu_since;
	if (sleeps && sleep_ends(w, wait_in(this_task())))
		worker_emit(w, time, now);
}

static __always_inline u32 listener_of(u64 cookie)
{
	u32 *index = listeners.lookup(&cookie);
	return index ? *index : 0;
}

static __always_inline u64 next_arrival(void)
{
	int zero = 0;
	u64 *last = sequence.lookup(&zero);
	return last ? __sync_fetch_and_add(last, 1) + 1 : 0;
}

/* The number of a unix client's arrival: whoever asks first decides, its accept or the listener's notification. */
static __always_inline u64 agreed(struct client *client)
{
	u64 mine = client->arrival;
	if (!mine)
		mine = next_arrival();
	u64 theirs = __sync_val_compare_and_swap(&client->arrival, 0, mine);
	return theirs ? theirs : mine;
}

/*
 * A worker that was awake can have the connection before the listener is told, since unix_stream_connect()
 * (net/unix/af_unix.c) queues it and only then, without a lock, calls sk_data_ready. The time of the arrival is not
 * known then.
 */
static __always_inline void join_client(struct event *accept, u64 sk)
{
	u64 key = KREAD(u64, sk, UNIX_PEER);
	struct client *client = connecting.lookup(&key);
	if (!client)
		return;
	accept->arrival = agreed(client);
	accept->end = client->time;
	if (client->time)
		connecting.delete(&key);
}

/* What is known of an accept that has just given the current task a connection. */
static __always_inline struct event accept_of(u64 peer)
{
	struct event e = {.time = bpf_ktime_get_ns()};
	e.tid = (u32)bpf_get_current_pid_tgid();
	e.cpu = bpf_get_smp_processor_id();
	e.peer = ADDRESS_OF(peer);
	e.peer_port = PORT_OF(peer);
	return e;
}

/* Accepts that light mode sees without a look at system calls (names.c, io_uring.c), and those that it doesn't. */
struct sightings {
	u64 named;
	u64 nameless;
};
BPF_ARRAY(sightings, struct sightings, 1);

static __always_inline struct sightings *all_sightings(void)
{
	int zero = 0;
	return sightings.lookup(&zero);
}

/* Up to ENOUGH; from then on all CPUs only read it. */
static __always_inline void count_named(void)
{
#ifdef ENOUGH
	struct sightings *all = all_sightings();
	if (all && all->named < ENOUGH)
		__sync_fetch_and_add(&all->named, 1);
#endif
}

static __always_inline void count_nameless(void)
{
	struct sightings *all = all_sightings();
	if (all)
		__sync_fetch_and_add(&all->nameless, 1);
}

/* Whether the accept that has just ended asked for a name, of whatever listener. */
static __always_inline int was_named(struct worker *w)
{
	int named = w->named != 0;
	w->named = 0;
	return named;
}

static __always_inline void emit_accept(struct worker *w, struct event *e)
{
	w->wakeup.accepts++;
	emit(e, KIND_ACCEPT);
}

/* The current task, a worker, has what accept gave it: a descriptor, or an error, of which no record is made. */
static __always_inline void worker_accepted(struct worker *w, u32 index, u64 entered, long result)
{
	if (result < 0) {
		w->wakeup.eagain += result == -EAGAIN;
		return;
	}
	u64 sk = sock_of(result);
	struct event e = accept_of(peer_in(sk));
	e.begin = entered;
	e.listener = index;
	e.result = result;
	if (MEMBER(SOCK, u16, sk, SKC_FAMILY) == AF_UNIX)
		join_client(&e, sk);
	emit_accept(w, &e);
}

static __always_inline void accept_returns(struct worker *w, u32 fd, long result)
{
	int named = was_named(w);
	u32 index = listener_of(cookie_of(sock_of(fd)));
	if (!index || named)
		return;
	if (result >= 0)
		count_nameless();
	worker_accepted(w, index, w->entered, result);
}

/* From a call in which workers wait. */
static __always_inline void worker_returns(u32 wait, u32 fd, long result)
{
	struct worker *w = current_worker();
	if (!w)
		return;
	worker_goes_on(w);
	if (wait == WAIT_ACCEPT)
		accept_returns(w, fd, result);
}
