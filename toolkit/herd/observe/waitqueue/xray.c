/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Reads wait queues. Two iterators find what user space asks for (files and tasks whose key is in
 * `wanted`); two functions, called by BPF_PROG_TEST_RUN, walk one list each. Nothing is attached to
 * anything, and nothing waits for a lock: a queue that changed underneath shows by where its walk ended.
 *
 * A walk goes CHUNK entries far, since the verifier goes all that way, too; it is called again with where it
 * was. It branches only at the list's end: what an entry's private pointer is follows from its function,
 * so it is read as each thing it could be, and user space picks. A read that makes no sense leaves 0.
 */
#define KREAD(type, address, offset)                                                                \
	({                                                                                          \
		type value_ = 0;                                                                    \
		bpf_probe_read_kernel(&value_, sizeof(value_), (void *)((address) + (offset)));      \
		value_;                                                                             \
	})

#define COMM 16
#define URING_DOUBLE 1 /* IO_WQE_F_DOUBLE, io_uring/poll.c */

/* struct bpf_iter__task and bpf_iter__task_file: kernel/bpf/task_iter.c */
struct task_context {
	u64 meta, task;
};
struct file_context {
	u64 meta, task, fd, file;
};

struct file_found {
	u64 key;     /* as in `wanted` */
	u64 queue;   /* socket: its wait_queue_head */
	u64 signals; /* socket: struct fasync_struct * */
	u32 group;   /* socket: how many share its address by SO_REUSEPORT */
	u32 pid, fd, pad;
	char comm[COMM];
};

struct task_found {
	u64 key;
	u32 pid, tid, state, pad;
	char comm[COMM];
};

struct waiting {
	u64 function, private;
	u64 flags;
	u64 epoll, events;              /* if it is an epoll item */
	u64 poll_task, uring_task;      /* if it is select's or poll's; io_uring's */
};

struct owner {
	u64 number, type; /* of struct fown_struct's pid: enum pid_type */
};

/* `count` is how many; `next`: what comes after them, 0 at the list's end. */
struct walked {
	u64 count, next;
	union {
		struct waiting waiters[CHUNK];
		struct owner owners[CHUNK];
	};
};

BPF_HASH(wanted, u64, u8, MAX_WANTED);
BPF_F_TABLE("array", u32, struct walked, result, 1, BPF_F_MMAPABLE);

/* A struct pid's number as the reader's own pid namespace has it. */
static __always_inline u32 number_of(u64 pid)
{
	u64 self = KREAD(u64, bpf_get_current_task(), TASK_THREAD_PID);
	u32 level = KREAD(u32, self, PID_LEVEL);

	return KREAD(u32, pid, PID_NUMBERS + level * UPID_SIZE + UPID_NR);
}

static __always_inline u32 tid_of(u64 task)
{
	return number_of(KREAD(u64, task, TASK_THREAD_PID));
}

static __always_inline u32 pid_of(u64 task)
{
	return tid_of(KREAD(u64, task, TASK_GROUP_LEADER));
}

static __always_inline void write_out(u64 meta, void *record, u32 size)
{
	/* Not by KREAD: the verifier wants to see that this is bpf_iter_meta's own seq_file. */
	bpf_seq_write((void *)*(u64 *)meta, record, size);
}

/* A socket's cookie; 0 of a file that is no socket: then what is read doesn't point back to it. */
static __always_inline u64 cookie_of(u64 object, u64 sock)
{
	return KREAD(u64, sock, SK_SOCKET) == object ? KREAD(u64, sock, SKC_COOKIE) : 0;
}

int bpf_iter__task_file(struct file_context *ctx)
{
	u64 meta = ctx->meta, task = ctx->task, file = ctx->file;
	struct file_found found = {};
	u64 object, sock, queue;

	if (!task || !file)
		return 0;
	object = KREAD(u64, file, FILE_PRIVATE_DATA);
	sock = KREAD(u64, object, SOCKET_SK);
	found.key = cookie_of(object, sock);
	if (!found.key || !wanted.lookup(&found.key)) {
		found.key = object;
		if (!wanted.lookup(&found.key))
			return 0;
	}
	queue = KREAD(u64, sock, SK_WQ);
	found.queue = queue + SOCKET_WQ_WAIT;
	found.signals = KREAD(u64, queue, SOCKET_WQ_FASYNC);
	found.group = KREAD(u16, KREAD(u64, sock, SK_REUSEPORT), REUSEPORT_SOCKS);
	found.pid = pid_of(task);
	found.fd = ctx->fd;
	bpf_probe_read_kernel(found.comm, COMM, (void *)(task + TASK_COMM));
	write_out(meta, &found, sizeof(found));
	return 0;
}

int bpf_iter__task(struct task_context *ctx)
{
	u64 meta = ctx->meta, task = ctx->task;
	struct task_found found = {.key = task};

	if (!task || !wanted.lookup(&found.key))
		return 0;
	found.pid = pid_of(task);
	found.tid = tid_of(task);
	found.state = KREAD(u32, task, TASK_STATE);
	bpf_probe_read_kernel(found.comm, COMM, (void *)(task + TASK_COMM));
	write_out(meta, &found, sizeof(found));
	return 0;
}

/* args[0]: the list_head of a struct wait_queue_head; args[1]: where to begin, a list_head or that one. */
int walk__queue(struct bpf_raw_tracepoint_args *ctx)
{
	u64 head = ctx->args[0], at = ctx->args[1];
	u32 zero = 0;
	struct walked *out = result.lookup(&zero);
	u64 entry, item, request;
	u32 i;

	if (!out)
		return 0;
	for (i = 0; i < CHUNK; i++) {
		at = KREAD(u64, at, 0);
		if (at == head)
			break;
		entry = at - WAIT_ENTRY;
		out->waiters[i].function = KREAD(u64, entry, WAIT_FUNC);
		out->waiters[i].private = KREAD(u64, entry, WAIT_PRIVATE);
		out->waiters[i].flags = KREAD(u32, entry, WAIT_FLAGS);
		item = KREAD(u64, entry, EPPOLL_BASE - EPPOLL_WAIT);
		out->waiters[i].epoll = KREAD(u64, item, EPITEM_EP);
		out->waiters[i].events = KREAD(u32, item, EPITEM_EVENTS);
		out->waiters[i].poll_task = KREAD(u64, out->waiters[i].private, POLLING_TASK);
		request = out->waiters[i].private & ~(u64)URING_DOUBLE;
		out->waiters[i].uring_task = URING_TASK(request);
	}
	out->count = i;
	out->next = at == head ? 0 : at;
	return 0;
}

/* args[1]: struct fasync_struct *. */
int walk__signals(struct bpf_raw_tracepoint_args *ctx)
{
	u64 at = ctx->args[1];
	u32 zero = 0;
	struct walked *out = result.lookup(&zero);
	u64 owner;
	u32 i;

	if (!out)
		return 0;
	for (i = 0; i < CHUNK; i++) {
		if (!at)
			break;
		owner = KREAD(u64, at, FASYNC_FILE) + FILE_OWNER;
#ifdef OWNER_IS_POINTER /* since 6.12, include/linux/fs.h */
		owner = KREAD(u64, owner, 0);
#endif
		out->owners[i].number = number_of(KREAD(u64, owner, OWNER_PID));
		out->owners[i].type = KREAD(u32, owner, OWNER_TYPE);
		at = KREAD(u64, at, FASYNC_NEXT);
	}
	out->count = i;
	out->next = at;
	return 0;
}
