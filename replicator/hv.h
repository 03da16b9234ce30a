/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor as the replicator sees it. Only the backends of this table (hv_xen.c,
 * hv_restore.c) include Xen's headers; the simulator has one of its own.
 */
#ifndef REPLICATOR_HV_H
#define REPLICATOR_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "replicator/shape.h"

struct why;
struct hv;
struct replica;

#define HV_MAX_NICS 16
#define HV_MAX_DISKS 16
#define HV_FEATURE_WORDS 64 /* of 32 processor features; Xen 4.17 has 19 */
/* Beside the guest's own memory: page tables, vCPU and event structures, and Xen's rounding. */
#define HV_OVERHEAD_KB 12288

enum hv_type { HV_TYPE_PV, HV_TYPE_PVH, HV_TYPE_HVM };

/* What protection needs to know of a domain before it begins. */
struct hv_domain {
	uint32_t domid;
	char name[256];
	char uuid[37];
	enum hv_type type;
	uint64_t memory_kb;   /* maximum */
	bool feature_suspend; /* it says so, or has been suspended before: hv_xen_can_suspend */
	bool paused;          /* by another hand */
	bool suspended;       /* for a save, by whomever */
	bool shut_down;       /* else */
	struct shape shape;   /* read before all else: what changes later is noticed */
	char hypervisor[16];  /* "4.17" */
	char *config_json;    /* libxl_domain_config without domid; owned */
	size_t nic_count;
	struct {
		char vif[16];
		char mac[18];
		char bridge[16];
	} nics[HV_MAX_NICS];
	size_t disk_count; /* writable ones; what the guest cannot change needs no replication */
	struct {
		char vdev[16];  /* as the guest sees it: "xvda" */
		char path[256]; /* in dom0 */
	} disks[HV_MAX_DISKS];
	size_t fixed_count; /* those that it cannot write, with something in them */
	struct {
		char vdev[16], path[256];
	} fixed[HV_MAX_DISKS];
	char passed_through[128]; /* devices of this host that it has; "": none */
};

/* What a host has to give. */
struct hv_host {
	char hypervisor[16]; /* "4.17" */
	uint64_t free_kb;    /* and promised to nobody */
	/* The most that a guest of the type asked about can be given, as Xen's featuresets are. */
	uint32_t features[HV_FEATURE_WORDS];
	size_t features_n;
};

void hv_domain_clear(struct hv_domain *dom);

/* How a guest may shut down; the numbers are Xen's (xen/public/sched.h). */
enum hv_end {
	HV_END_POWEROFF,
	HV_END_REBOOT,
	HV_END_SUSPEND,
	HV_END_CRASH,
	HV_END_WATCHDOG,
	HV_END_SOFT_RESET,
	HV_ENDS,
};

/* What its configuration asks for then: on_poweroff and so on. */
enum hv_then {
	HV_THEN_DESTROY,
	HV_THEN_RESTART,
	HV_THEN_RENAME_RESTART,
	HV_THEN_PRESERVE,
	HV_THEN_DUMP_DESTROY,
	HV_THEN_DUMP_RESTART,
	HV_THEN_SOFT_RESET,
};

/* What is seen of a domain by its number, and of others with its uuid. */
struct hv_sight {
	bool exists, dying, shut_down, paused;
	bool dumped;     /* its memory is being written to a file, by any hand */
	enum hv_end end; /* valid when shut_down */
	uint32_t other;  /* one with the same uuid and another number; 0: none */
};

/* Whether it runs, or stands still for a checkpoint: it has not ended. */
static inline bool hv_sight_runs(const struct hv_sight *s)
{
	return s->exists && !s->dying && (!s->shut_down || s->end == HV_END_SUSPEND);
}

/* Nanoseconds of the stages of one pause. */
struct hv_pause {
	uint64_t suspend_ns, capture_ns, resume_ns;
};

/*
 * Calls from inside hv->save, in the order of xc_domain_save with XC_STREAM_REMUS. Each returns 0
 * to go on or a negative errno, upon which the guest is resumed if suspended and save returns it.
 */
struct hv_save_calls {
	/*
	 * @round rounds of the initial copy are over, and the next one is to send @dirty pages, or
	 * it is not known yet how many (-1). 1: it is the last one.
	 */
	int (*precopy)(void *opaque, unsigned int round, int64_t dirty);
	/* Guest still runs; about to be suspended. Last chance for slow work. Redirect io_fd here.
	 */
	int (*before_suspend)(void *opaque);
	/* Guest suspended; the capture begins when this returns. Start what may run beside it. */
	int (*suspended)(void *opaque);
	/*
	 * Guest suspended and captured to io_fd; resumed as soon as this returns. Nothing slow; but
	 * it need not return before it is known that the guest is to run here again, nor at all.
	 */
	int (*captured)(void *opaque);
	/* Guest runs again. Ship, wait, release, sleep; -ECANCELED ends the save cleanly. */
	int (*running)(void *opaque, const struct hv_pause *pause);
	/*
	 * Another hand saves the domain: its log-dirty mode and its suspensions are that one's now,
	 * and are left alone. Must not return to the save core, which would switch log-dirty off.
	 */
	void (*taken)(void *opaque);
	void *opaque;
};

/* Contract of a hypervisor backend. Every function fails with a negative errno and a sentence. */
struct hv_ops {
	const char *name;
	struct hv *(*open)(struct why *why);
	void (*close)(struct hv *hv);
	/* Fill *ret (hv_domain_clear it) for the domain called @name. -ENOENT when there is none.
	 */
	int (*find)(struct hv *hv, const char *name, struct hv_domain *ret, struct why *why);
	/* 0 when a domain of this kind can be replicated here, else why not (-EOPNOTSUPP ...). */
	int (*can_protect)(struct hv *hv, const struct hv_domain *dom, struct why *why);
	/*
	 * 0 when a domain of @memory_kb fits beside what runs, and no domain has its uuid or @name.
	 * @here: what the sentence is to call this host.
	 */
	int (*can_host)(struct hv *hv, const char *name, const char *uuid, uint64_t memory_kb,
		const char *here, struct why *why);
	/* Both halves of that: what has its name or uuid (-EEXIST), and what there is to give. */
	int (*taken)(struct hv *hv, const char *name, const char *uuid, const char *here,
		struct why *why);
	int (*host)(struct hv *hv, enum hv_type type, struct hv_host *ret, struct why *why);
	/*
	 * The processor features that @dom sees and @host gives: those that Xen makes up for every
	 * guest are not among them. As many words as in @host.
	 */
	int (*features)(struct hv *hv, const struct hv_domain *dom, const struct hv_host *host,
		uint32_t ret[HV_FEATURE_WORDS], struct why *why);
	/* Make ready to hear of its suspensions; undone by close. */
	int (*attach)(struct hv *hv, const struct hv_domain *dom, struct why *why);
	/*
	 * From `attach` on: a descriptor that is readable when the attached domain may have been
	 * changed by another hand, and whether it was: -ESTALE and what, -EALREADY when it is being
	 * saved or migrated, -ESRCH when it was destroyed. For while the guest runs; cheap when
	 * nothing has happened.
	 */
	int (*watch_shape)(struct hv *hv, const struct hv_domain *dom, struct why *why);
	int (*changed)(struct hv *hv, struct why *why);
	/* Leave the guest's suspensions to another hand. */
	void (*give_way)(struct hv *hv);
	/*
	 * Whether the attached domain is still to suspend as was asked of it in vain; when it has,
	 * it is resumed. 1: it is, ask again soon; 0: nothing is outstanding.
	 */
	int (*settle)(struct hv *hv);
	/* Run the save core, checkpoint after checkpoint, into the blocking fd @io_fd. */
	int (*save)(struct hv *hv, int io_fd, const struct hv_save_calls *calls, struct why *why);
	/*
	 * Build a domain called @name from @config_json and the stream arriving at @stream_fd;
	 * blocks until the stream ends, then leaves the domain complete, with devices, and paused.
	 * For a process of its own: killing it is the only way to stop without completing.
	 */
	int (*restore)(struct hv *hv, const char *config_json, const char *name, int stream_fd,
		uint32_t *ret_domid, struct why *why);
	/*
	 * Have Xen keep what the domain called @name still lacks of @memory_kb for it; `activate`
	 * ends that. -EAGAIN: it is not there yet; -ENOMEM: there is not so much.
	 */
	int (*claim)(struct hv *hv, const char *name, uint64_t memory_kb, struct why *why);
	/*
	 * Write the pages of @replica, as the standby called @name holds them, to @fd, as records
	 * of libxc's. It must stand still meanwhile.
	 */
	int (*copy_out)(struct hv *hv, const char *name, const struct replica *replica, int fd,
		struct why *why);
	/*
	 * Save @domid whole to @fd; @live: most of its memory while it still runs. It stands
	 * suspended when this returns 0: `resume` or `kill` it. After a failure it runs on,
	 * but after -ENOTRECOVERABLE: then that has failed, too.
	 */
	int (*write_out)(struct hv *hv, uint32_t domid, int fd, bool live, struct why *why);
	int (*resume)(struct hv *hv, uint32_t domid, struct why *why);
	/*
	 * What a process that died in `write_out` has left: let it run on, and forget that it was
	 * to suspend. For when that process and its helper are gone.
	 */
	int (*take_back)(struct hv *hv, uint32_t domid, struct why *why);
	/* As `restore`, of one that was saved whole. */
	int (*read_in)(struct hv *hv, const char *config_json, const char *name, int stream_fd,
		uint32_t *ret_domid, struct why *why);
	/* Give the restored domain its real @name and, if @run, let it run; *ret as from find. */
	int (*activate)(struct hv *hv, uint32_t domid, const char *standby, const char *name,
		bool run, struct hv_domain *ret, struct why *why);
	/* Destroy the domain called @name, or @domid; 0 also when there is none. */
	int (*destroy)(struct hv *hv, const char *name, struct why *why);
	int (*kill)(struct hv *hv, uint32_t domid, struct why *why);
	/*
	 * Undo what a dead worker left on a domain: suspended guest, log-dirty, subscription.
	 * @asked: and a request to suspend that was not answered; -EAGAIN: is to suspend still.
	 */
	int (*repair)(struct hv *hv, uint32_t domid, bool asked, struct why *why);

	/*
	 * For whoever watches a guest's end: a descriptor that is readable when a domain may have
	 * appeared, shut down or gone; `heed` takes what made it so.
	 */
	int (*watch)(struct hv *hv, struct why *why);
	void (*heed)(struct hv *hv);
	/* Look at domain @domid (0: none) and for another one with @uuid. */
	int (*look)(struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret,
		struct why *why);
	/* What the configuration of @domid asks for at each end. */
	int (*endings)(struct hv *hv, uint32_t domid, enum hv_then ret[HV_ENDS], struct why *why);
	/*
	 * Carry @then out on @domid, which has shut down. *ret_domid: the domain that was started,
	 * still paused, or 0.
	 */
	int (*finish)(struct hv *hv, uint32_t domid, enum hv_then then, uint32_t *ret_domid,
		struct why *why);
	/* Each pause needs an unpause of its own. */
	int (*pause)(struct hv *hv, uint32_t domid, struct why *why);
	int (*unpause)(struct hv *hv, uint32_t domid, struct why *why);
};

extern const struct hv_ops hv_xen_ops;

#endif
