/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the kernel's memory says: of a task, what it is blocked in and what lies behind its descriptors; of a
 * socket, who it is and who its peer is.
 *
 * Parameters (-D): offsets that BTF gave, and REGISTERS, which was measured (registers.py).
 */
#include <uapi/linux/errno.h>
#include <asm/unistd.h>

#define KREAD(type, base, offset)                                                        \
	({                                                                               \
		type value_ = 0;                                                         \
		bpf_probe_read_kernel(&value_, sizeof(value_), (void *)((u64)(base) + (offset))); \
		value_;                                                                  \
	})

/*
 * The same where the verifier knows the type of `base`: a tracepoint's argument, the current task, what one of
 * their members points to. It is read in place, which takes a nanosecond, not 45.
 */
#define TYPED(type, base, offset)                                                        \
	({                                                                               \
		u64 value_;                                                              \
		asm volatile("%0 = *(" #type " *)(%1 + %2)" : "=r"(value_) : "r"(base), "i"(offset)); \
		(type)value_;                                                            \
	})

/*
 * A member of what `base` points to, a struct whose type the verifier doesn't know. Where the kernel has a function that
 * tells it (bpf_rdonly_cast, since 6.2; verifier.c makes a move of the call), it is read in place, too. What isn't there
 * reads as 0 either way. Parameters (-D): CAST and TYPE_FILE and so on, ids of BTF.
 */
#ifdef CAST
static void *(*cast)(u64 base, u32 type) = (void *)CAST;
#define MEMBER(struct_, type, base, offset) TYPED(type, cast(base, TYPE_##struct_), offset)
#else
#define MEMBER(struct_, type, base, offset) KREAD(type, base, offset)
#endif

static __always_inline u32 wait_of(int nr)
{
	switch (nr) {
	case __NR_accept:
	case __NR_accept4:
		return WAIT_ACCEPT;
#ifdef __NR_epoll_wait
	case __NR_epoll_wait:
#endif
	case __NR_epoll_pwait:
	case __NR_epoll_pwait2:
		return WAIT_EPOLL;
#ifdef __NR_select
	case __NR_select:
#endif
	case __NR_pselect6:
		return WAIT_SELECT;
#ifdef __NR_poll
	case __NR_poll:
#endif
	case __NR_ppoll:
		return WAIT_POLL;
	case __NR_fcntl:
	case __NR_flock:
	case __NR_futex:
	case __NR_semop:
	case __NR_semtimedop:
		return WAIT_LOCK;
	case __NR_rt_sigtimedwait:
		return WAIT_SIGNAL;
	case __NR_recvmsg:
		return WAIT_RECVMSG;
	case __NR_io_uring_enter:
		return WAIT_IO_URING;
	}
	return WAIT_OTHER;
}

/*
 * The registers that a task saved when it entered the kernel, which are its own until it leaves it: what it is
 * blocked in shows there, as in /proc/PID/syscall, and nobody need look at each call that begins. After an
 * interrupt or a page fault of user space, the number of the call is -1.
 */
#ifdef __aarch64__
#define CALL_NUMBER offsetof(struct pt_regs, syscallno)
#define FIRST_ARGUMENT offsetof(struct pt_regs, orig_x0)
#else
#define CALL_NUMBER offsetof(struct pt_regs, orig_ax)
#define FIRST_ARGUMENT offsetof(struct pt_regs, di)
#endif

static __always_inline u64 this_task(void)
{
	return (u64)bpf_get_current_task_btf();
}

static __always_inline u64 registers_of(u64 task)
{
	return TYPED(u64, task, TASK_STACK) + REGISTERS;
}

/* The system call that a task is in. */
static __always_inline u32 wait_in(u64 task)
{
	return wait_of(MEMBER(REGISTERS, u32, registers_of(task), CALL_NUMBER));
}

/* What a task waits on there: a listening socket, an epoll set. */
static __always_inline u32 fd_in(u64 task)
{
	return MEMBER(REGISTERS, u32, registers_of(task), FIRST_ARGUMENT);
}

/* What is behind one of a task's descriptors: struct socket, struct eventpoll. */
static __always_inline u64 behind(u64 task, u32 fd)
{
	u64 files = TYPED(u64, task, TASK_FILES);
	u64 table = TYPED(u64, files, FILES_FDT);
	u64 array = TYPED(u64, table, FDTABLE_FD);
	/* Registers: any struct that begins with a number would do. */
	u64 file = MEMBER(REGISTERS, u64, array + fd * 8, 0);
	return MEMBER(FILE, u64, file, FILE_PRIVATE_DATA);
}

/* struct sock of one of the current task's descriptors; the caller knows that it is a socket. */
static __always_inline u64 sock_of(u32 fd)
{
	return MEMBER(SOCKET, u64, behind(this_task(), fd), SOCKET_SK);
}

/* Who is at the other end of a connection: address (upper half) and port, both in network order. */
static __always_inline u64 peer_of(u32 address, u16 port)
{
	return (u64)address << 32 | port;
}
#define ADDRESS_OF(peer) ((u32)((peer) >> 32))
#define PORT_OF(peer) ((u16)(peer))

static __always_inline u64 peer_in(u64 sk)
{
	int is_6 = MEMBER(SOCK, u16, sk, SKC_FAMILY) == AF_INET6;
	u32 address = is_6 ? MEMBER(SOCK, u32, sk, SKC_V6_DADDR + 12) : MEMBER(SOCK, u32, sk, SKC_DADDR);
	return peer_of(address, MEMBER(SOCK, u16, sk, SKC_DPORT));
}

static __always_inline u64 cookie_of(u64 sk)
{
	return MEMBER(SOCK, u64, sk, SKC_COOKIE);
}
