/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/drill.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"
#include "netbuf/bubble.h"

#define COPY_NS                                                                                    \
	(600 * NSEC_PER_SEC) /* until the memory is there; the backup breaks it off before */
#define LOOK_MS 200
#define RUNS_NS (5 * NSEC_PER_SEC) /* without a check: it has not crashed by then */
#define GRACE_NS (5 * NSEC_PER_SEC)
#define LEAVES_NS (60 * NSEC_PER_SEC) /* what removing all of it may take */

const char *const drill_phase_names[DRILL_PHASES] = {
	[DRILL_ROOM] = "room",
	[DRILL_COPY] = "copy",
	[DRILL_START] = "start",
	[DRILL_CHECK] = "check",
	[DRILL_CLEAN] = "clean",
};

static void say(struct drill *d, const char *text)
{
	if (d->worker.daemon)
		worker_say(&d->worker, PROTO_REPORT_STAGE, text, 0);
}

/*
 * Until @fd is readable (0), the daemon calls the drill off or is gone (-ECANCELED), or it is
 * @until_ns (-ETIMEDOUT). The caller has the words.
 */
static int await(struct drill *d, int fd, uint64_t until_ns)
{
	struct pollfd fds[] = {
		{.fd = proto_session_fd(d->worker.daemon), .events = POLLIN},
		{.fd = fd, .events = POLLIN},
	};
	uint64_t now;

	for (;;) {
		now = clock_now_ns();
		if (now >= until_ns)
			return -ETIMEDOUT;
		poll(fds, ARRAY_SIZE(fds), (int)((until_ns - now) / NSEC_PER_MSEC) + 1);
		if (fds[0].revents && worker_order(&d->worker, 0, NULL) != 0) {
			d->called_off = true;
			return why_set(&d->why, -ECANCELED, "it was called off");
		}
		if (fds[1].revents)
			return 0;
	}
}

/* ---- room ------------------------------------------------------------------------------------ */

/*
 * While it is there, there may be something to remove. Whoever starts drills starts one at a time;
 * but one may be removing its own when the next daemon's sweep begins: @wait.
 */
static void lock_path(const struct drill *d, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/drill-%s", d->worker.run_dir, d->worker.domain);
}

static int lock(struct drill *d, bool wait)
{
	const uint64_t until = clock_now_ns() + (wait ? LEAVES_NS : 0);
	char path[PATH_MAX];

	lock_path(d, path);
	d->lock_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (d->lock_fd < 0)
		return why_set(&d->why, -errno, "%s cannot be made: %s", path, strerror(errno));
	while (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (clock_now_ns() >= until)
			return why_set(
				&d->why, -EBUSY, "a drill of '%s' is under way", d->worker.domain);
		poll(NULL, 0, LOOK_MS);
	}
	return 0;
}

static void new_uuid(char ret[37])
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		abort();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4, RFC 9562 */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		b[13], b[14], b[15]);
}

static int destroy(struct drill *d, struct why *why)
{
	int r = standby_destroy(&d->standby, d->ops, d->hv, why), other;

	other = d->ops->destroy(d->hv, d->name, why);
	return r ? r : other;
}

/* The file that is locked names the block devices, for whoever comes after one that dies. */
static int note_disks(struct drill *d)
{
	for (size_t i = 0; i < d->disks.n; i++)
		if (dprintf(d->lock_fd, "%s\n", d->disks.devices[i]) < 0)
			return why_set(
				&d->why, -errno, "cannot note the disks: %s", strerror(errno));
	return 0;
}

static int detach_disks(struct drill *d, struct why *why)
{
	char text[64 * DISKREP_MAX_VOLUMES] = "", *line;
	const ssize_t n = pread(d->lock_fd, text, sizeof(text) - 1, 0);
	int r = 0, err;

	for (line = n > 0 ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n")) {
		err = diskrep_drill_detach(line, why);
		r = r ? r : err;
	}
	if (!r && n > 0 && ftruncate(d->lock_fd, 0) < 0)
		r = why_set(why, -errno, "cannot forget the disks: %s", strerror(errno));
	lseek(d->lock_fd, 0, SEEK_SET);
	d->disks.n = 0;
	return r;
}

/* What is there of a drill, of this one or of one before that died. */
static int remove_all(struct drill *d, struct why *why)
{
	int r = destroy(d, why), other;

	other = detach_disks(d, why);
	r = r ? r : other;
	if (d->source_fd >= 0) /* now the snapshot can go */
		close(TAKE_FD(d->source_fd));

	other = netbuf_bubble_close(d->worker.uuid, why);
	if (d->listen_fd >= 0)
		close(TAKE_FD(d->listen_fd));
	unlink(d->path);
	return r ? r : other;
}

static int leave(struct drill *d, struct why *why)
{
	char path[PATH_MAX];
	int r = remove_all(d, why);

	lock_path(d, path);
	if (!r)
		unlink(path);
	return r;
}

static int listen_for_memory(struct drill *d)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->path);
	d->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	r = d->listen_fd < 0 ? -errno
	    : bind(d->listen_fd, (const struct sockaddr *)&address, sizeof(address)) < 0
		    ? -errno
		    : listen(d->listen_fd, 1);
	umask(mask);
	return r < 0 ? why_set(&d->why, r, "cannot listen on %s: %s", d->path, strerror(-r)) : 0;
}

static int make_room(struct drill *d)
{
	int r = remove_all(d, &d->why);

	new_uuid(d->uuid);
	if (!r)
		r = d->ops->can_host(d->hv, d->name, d->uuid, d->worker.memory_kb,
			"this host beside its standby", &d->why);
	return r ? r : listen_for_memory(d);
}

/* ---- copy ------------------------------------------------------------------------------------ */

static int read_all(struct drill *d, int fd, void *to, size_t n, uint64_t until_ns)
{
	uint8_t *p = to;

	while (n > 0) {
		int r = await(d, fd, until_ns);
		ssize_t got = r ? r : read(fd, p, n);

		if (r == -ETIMEDOUT)
			why_set(&d->why, r, "no checkpoint came in time: is the primary heard?");
		if (!r && got <= 0)
			r = why_set(&d->why, -ECONNRESET,
				"the backup's worker has broken off: `journalctl -t "
				"romulus-backup` "
				"says why");
		if (r)
			return r;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static int read_text(struct drill *d, int fd, size_t length, uint64_t until_ns, char **ret)
{
	char *text = length <= DRILL_CONFIG_MAX ? calloc(1, length + 1) : NULL;
	int r = text ? read_all(d, fd, text, length, until_ns)
		     : why_set(&d->why, -EBADMSG, "the backup's worker makes no sense");

	if (r)
		free(TAKE_PTR(text));
	*ret = text;
	return r;
}

static int build(struct drill *d, int stream_fd, const char *config_json)
{
	CLEANUP_FREE char *config = NULL;
	unsigned int bridges;
	int r = 0;

	if (d->worker.resource) {
		r = diskrep_drill_attach(d->worker.resource, d->worker.run_dir, d->worker.volumes,
			&d->disks, &d->why);
		if (note_disks(d) && !r)
			r = -EIO;
	}
	config = r ? NULL : drill_domain(d, config_json, &bridges, &d->why);
	if (!r && !config)
		r = -EBADMSG;
	if (!r)
		r = netbuf_bubble_open(d->worker.uuid, bridges ? bridges : 1, &d->why);
	if (r) {
		close(stream_fd);
		return r;
	}
	return standby_start_whole(&d->standby, d->ops, d->name, config, stream_fd, &d->why);
}

/* Until the restore has all of it, and has attached the devices. */
static int hear(struct drill *d, enum standby_stage wanted, uint64_t until_ns)
{
	struct standby_news news;
	int r = await(d, d->standby.news_fd, until_ns);

	if (r == -ETIMEDOUT)
		return why_set(&d->why, r, "the instance was not built in time");
	if (r)
		return r;
	r = standby_news(&d->standby, &news);
	if (r > 0 && news.stage == wanted) {
		d->domid = news.dom.domid;
		return 0;
	}
	return why_set(&d->why, -EIO, "the instance could not be built: %s",
		r > 0 && news.stage == STANDBY_FAILED ? news.why.text : "its restore process died");
}

static int copy(struct drill *d)
{
	const uint64_t until = clock_now_ns() + COPY_NS;
	CLEANUP_FREE char *text = NULL;
	CLEANUP_CLOSE int fd = -1;
	int r;

	worker_say(&d->worker, PROTO_REPORT_LISTENING, d->path, 0);
	r = await(d, d->listen_fd, until);
	if (r == -ETIMEDOUT)
		return why_set(&d->why, r, "the backup's worker does not answer");
	if (!r)
		fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (!r && fd < 0)
		r = why_set(&d->why, -errno, "the backup's worker: %s", strerror(errno));
	if (!r)
		r = read_all(d, fd, &d->head, sizeof(d->head), until);
	if (!r && d->head.why_length) {
		r = read_text(d, fd, d->head.why_length, until, &text);
		return r ? r : why_set(&d->why, -EOPNOTSUPP, "%.300s", text);
	}
	if (!r)
		r = read_text(d, fd, d->head.config_length, until, &text);
	if (!r) {
		d->source_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		r = build(d, TAKE_FD(fd), text);
	}
	if (!r)
		r = hear(d, STANDBY_RESTORED, until);
	d->age_ns = clock_now_ns() - d->head.acked_ns;
	return r;
}

/* ---- start and check ------------------------------------------------------------------------- */

static int start(struct drill *d)
{
	return hear(d, STANDBY_RUNNING, clock_now_ns() + COPY_NS);
}

/* 0 while the instance runs. */
static int look(struct drill *d)
{
	struct hv_sight s;
	int r = d->ops->look(d->hv, d->uuid, d->domid, &s, &d->why);

	if (r || (hv_sight_runs(&s) && !s.shut_down))
		return r;
	return why_set(&d->why, -ESHUTDOWN, "the instance has %s",
		s.exists && s.shut_down && s.end == HV_END_CRASH ? "crashed" : "ended");
}

static void check_child(struct drill *d, int go, int out)
{
	struct why why;
	char ready;
	int r;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	dup2(out, STDOUT_FILENO);
	if (unshare(CLONE_NEWNET) < 0 || write(out, "\n", 1) != 1 || read(go, &ready, 1) != 1)
		_exit(EXIT_CODE_FAILED);
	r = d->checks.address ? netbuf_bubble_address(d->checks.address, &why) : 0;
	if (!r)
		r = drill_check(d, &why);
	if (r) {
		printf("%s\n", why.text);
		fflush(stdout);
	}
	_exit(r ? EXIT_CODE_FAILED : EXIT_CODE_OK);
}

/* What it says last is kept, line by line. */
static bool take_output(struct drill *d, int fd)
{
	char piece[512], *line;
	ssize_t n = read(fd, piece, sizeof(piece) - 1);

	if (n <= 0)
		return false;
	piece[n] = '\0';
	for (line = strtok(piece, "\n"); line; line = strtok(NULL, "\n"))
		snprintf(d->said, sizeof(d->said), "%s", line);
	return true;
}

static int watch_check(struct drill *d, pid_t pid, int out, uint64_t until)
{
	int status = 0, r = 0;

	while (!r && waitpid(pid, &status, WNOHANG) == 0) {
		r = await(d, out, clock_now_ns() + LOOK_MS * NSEC_PER_MSEC);
		if (!r && !take_output(d, out))
			poll(NULL, 0, 10); /* it is ending */
		if (r == -ETIMEDOUT)
			r = clock_now_ns() < until
				    ? look(d)
				    : why_set(&d->why, r, "the check did not end in time");
	}
	if (r) {
		kill(-pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	while (take_output(d, out))
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return why_set(&d->why, -EIO, "the check has failed: %s",
		d->said[0] ? d->said : "it says nothing");
}

/* A process of its own in a network namespace that has nothing but the bubble in it. */
static int run_check(struct drill *d)
{
	const uint64_t until = clock_now_ns() + d->checks.limit_s * NSEC_PER_SEC + GRACE_NS;
	int out[2], go[2], r;
	char ready;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return why_set(&d->why, -errno, "no pipe for the check: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		check_child(d, go[0], out[1]);
	close(out[1]);
	close(go[0]);
	if (pid < 0 || read(out[0], &ready, 1) != 1)
		r = why_set(&d->why, -EIO, "the check cannot have a network of its own");
	else
		r = netbuf_bubble_join(d->worker.uuid, pid, &d->why);
	if (!r && write(go[1], "", 1) != 1)
		r = why_set(&d->why, -EIO, "the check has died");
	close(go[1]);
	if (!r)
		r = watch_check(d, pid, out[0], until);
	else if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(out[0]);
	return r;
}

static int check(struct drill *d)
{
	const uint64_t until = clock_now_ns() + RUNS_NS;
	int r = 0;

	if (d->checks.command || d->checks.tcp || d->checks.http)
		return run_check(d);
	while (!r && clock_now_ns() < until) {
		r = await(d, -1, clock_now_ns() + LOOK_MS * NSEC_PER_MSEC);
		if (r == -ETIMEDOUT)
			r = look(d);
	}
	return r;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static const struct step {
	const char *says;
	int (*run)(struct drill *d);
	enum fault fault;
} steps[] = {
	[DRILL_ROOM] = {"making room beside the standby", make_room, FAULT_DRILL_ROOM},
	[DRILL_COPY] = {"the next checkpoint is copied", copy, FAULT_DRILL_COPIED},
	[DRILL_START] = {"the instance starts", start, FAULT_DRILL_STARTED},
	[DRILL_CHECK] = {"it runs, and is looked at", check, FAULT_DRILL_CHECKED},
};

static int init(struct drill *d, bool wait)
{
	d->lock_fd = d->listen_fd = d->source_fd = -1;
	snprintf(d->name, sizeof(d->name), "%.240s--drill", d->worker.domain);
	standby_name(d->standby.name, sizeof(d->standby.name), d->name);
	if ((size_t)snprintf(d->path, sizeof(d->path), "%s/drill-%s.sock", d->worker.run_dir,
		    d->worker.uuid) >= sizeof(d->path))
		return why_set(&d->why, -ENAMETOOLONG, "run-dir is too long for a socket's name");
	return lock(d, wait);
}

static int step_through(struct drill *d)
{
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(steps); i++) {
		const uint64_t began = clock_now_ns();

		say(d, steps[i].says);
		r = steps[i].run(d);
		d->phase_ns[i] = clock_now_ns() - began;
		if (!r && fault_point(steps[i].fault))
			r = why_set(&d->why, -EIO, "fault point %s", fault_name(steps[i].fault));
	}
	return r;
}

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NSEC_PER_SEC;
}

static void describe(struct drill *d, int r, char *ret, size_t size)
{
	size_t n = (size_t)snprintf(ret, size,
		r ? "the drill of %s %s: %s" : "the drill of %s has passed%s%s", d->worker.domain,
		!r              ? ""
		: d->called_off ? "was broken off"
				: "has FAILED",
		r ? d->why.text : "");

	if (n < size && d->head.epoch)
		n += (size_t)snprintf(ret + n, size - n,
			"; checkpoint %llu, %.1f s old when it was there",
			(unsigned long long)d->head.epoch, seconds(d->age_ns));
	for (size_t i = 0; n < size && i < DRILL_PHASES; i++)
		n += (size_t)snprintf(ret + n, size - n, "%s%s %.1f s", i ? ", " : "; ",
			drill_phase_names[i], seconds(d->phase_ns[i]));
}

int drill_run(struct drill *d)
{
	char text[WHY_MAX];
	struct why why;
	uint64_t began;
	int r = init(d, false);

	if (r) {
		worker_say(&d->worker, PROTO_REPORT_FAILED, d->why.text, worker_exit_code(r));
		return EXIT_CODE_FAILED;
	}
	d->begun_ns = clock_wall_ns();
	r = step_through(d);
	began = clock_now_ns();
	if (leave(d, &why) && !r) {
		d->why = why;
		r = -EIO;
	}
	d->phase_ns[DRILL_CLEAN] = clock_now_ns() - began;
	if (drill_history_add(d, r ? (d->called_off ? "broken off" : "failed") : "passed", &why))
		log_error("%s", why.text);
	describe(d, r, text, sizeof(text));
	worker_say(&d->worker, r ? PROTO_REPORT_FAILED : PROTO_REPORT_DONE, text,
		r ? EXIT_CODE_FAILED : EXIT_CODE_OK);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int drill_clean(struct drill *d)
{
	int r = init(d, true);

	if (!r)
		r = leave(d, &d->why);
	if (r)
		log_error("%s: %s", d->worker.domain, d->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
