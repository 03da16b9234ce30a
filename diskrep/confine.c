/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The undo store reads what the other host wrote, and it lives as long as DRBD's disks hang from
 * it. So it is the one process that can be shut in: everything that it needs is open by then. What
 * is not needed fails, and kills nothing: a process that ended here would take the disks with it.
 */
#include "diskrep/confine.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>

#include <cap-ng.h>
#include <seccomp.h>

#include "common/cleanup.h"
#include "common/why.h"

/* Those that a release of libseccomp or an architecture does not know are passed over. */
static const char *const refused[] = {
	/* other programs, and being another one */
	"execve",
	"execveat",
	"fork",
	"vfork",
	"setns",
	"unshare",
	"chroot",
	"pivot_root",
	"setuid",
	"setgid",
	"setreuid",
	"setregid",
	"setresuid",
	"setresgid",
	"setgroups",
	"setfsuid",
	"setfsgid",
	"capset",
	"personality",
	/* other processes' memory and descriptors */
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"process_madvise",
	"pidfd_getfd",
	"pidfd_open",
	"kcmp",
	/* the network: accept() on the sockets that are there is all */
	"socket",
	"connect",
	"bind",
	"listen",
	/* the file tree */
	"mount",
	"umount2",
	"mount_setattr",
	"move_mount",
	"open_tree",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"mknod",
	"mknodat",
	"open_by_handle_at",
	"name_to_handle_at",
	"chown",
	"fchown",
	"lchown",
	"fchownat",
	"setxattr",
	"lsetxattr",
	"fsetxattr",
	"quotactl",
	"quotactl_fd",
	"swapon",
	"swapoff",
	"fanotify_init",
	/* the kernel */
	"init_module",
	"finit_module",
	"delete_module",
	"create_module",
	"kexec_load",
	"kexec_file_load",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"io_uring_setup",
	"add_key",
	"request_key",
	"keyctl",
	"iopl",
	"ioperm",
	"modify_ldt",
	"syslog",
	"reboot",
	"acct",
	"nfsservctl",
	"lookup_dcookie",
	"uselib",
	"_sysctl",
	"sysfs",
	"ustat",
	"vhangup",
	/* the host's time and name */
	"settimeofday",
	"clock_settime",
	"clock_adjtime",
	"adjtimex",
	"stime",
	"sethostname",
	"setdomainname",
};

static int refuse(scmp_filter_ctx ctx)
{
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(refused); i++) {
		const int call = seccomp_syscall_resolve_name(refused[i]);

		if (call >= 0)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), call, 0);
	}
	/* A thread yes, a process no. The flags of clone3() cannot be seen: without it libc uses
	 * the other one. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r;
}

static int filter(struct why *why)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return why_set(why, -ENOMEM, "no memory for the filter of system calls");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (!r)
		r = refuse(ctx);
	if (!r)
		r = seccomp_load(ctx); /* no_new_privs with it */
	seccomp_release(ctx);
	return r ? why_set(why, r, "system calls cannot be filtered: %s", strerror(-r)) : 0;
}

/*
 * mlockall(MCL_FUTURE) makes every new mapping a locked one, also the stack of a thread: without
 * this capability the store would depend on the limit that it was started with.
 */
static int drop_capabilities(struct why *why)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_IPC_LOCK) ||
		capng_apply(CAPNG_SELECT_BOTH))
		return why_set(why, -EPERM, "capabilities cannot be dropped");
	return 0;
}

int diskrep_confine(struct why *why)
{
	const int r = drop_capabilities(why);

	return r < 0 ? r : filter(why);
}
