/*
 * Preloaded into a user-mode kernel, whose ptrace calls go through here.
 *
 * Linux before 6.13 as a user-mode kernel sets its processes' extended CPU state
 * with a buffer of constant size, 2,696 bytes, enough up to AVX-512. Where the
 * CPU has more, AMX's tiles, the host's kernel accepts nothing but the whole
 * state and answers EFAULT, and the user-mode kernel panics at its first
 * process. The part behind the buffer is left in its initial state here: nothing
 * inside may use AMX without asking the user-mode kernel, which refuses it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_X86_XSTATE 0x202
#define BIGGEST (64 * 1024)

static char state[BIGGEST] __attribute__((aligned(64))); /* zero behind what was copied */
static size_t whole;                                     /* the host's size; 0 is not known yet */

static long set_xstate(long pid, struct iovec *part)
{
	if (whole == 0) {
		struct iovec all = { state, sizeof(state) };
		if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all) < 0)
			return -1;
		memset(state, 0, sizeof(state));
		whole = all.iov_len;
	}
	if (part->iov_len >= whole)
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, part);
	memcpy(state, part->iov_base, part->iov_len);
	struct iovec all = { state, whole };
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &all);
}

/* As ptrace(2) of the C library: requests 1 to 3 return what they read. */
long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	va_start(args, request);
	long pid = va_arg(args, int);
	void *addr = va_arg(args, void *);
	void *data = va_arg(args, void *);
	va_end(args);

	if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE)
		return set_xstate(pid, data);
	if (request < PTRACE_PEEKTEXT || request > PTRACE_PEEKUSER)
		return syscall(SYS_ptrace, request, pid, addr, data);
	long word;
	long err = syscall(SYS_ptrace, request, pid, addr, &word);
	if (err < 0)
		return err;
	errno = 0;
	return word;
}
