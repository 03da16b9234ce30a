/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-save, what `romulus save` and `romulus restore` run. Two processes: one works, the other
 * waits for it and is there when it dies or is to end, to let a suspended guest run on, to destroy
 * a domain that is only half built, or to finish what was as good as done (save_mend).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/progress.h"
#include "replicator/outfile.h"
#include "replicator/save.h"

#define SHOW_NS (250 * NSEC_PER_MSEC)
#define KILL_NS (10 * NSEC_PER_SEC)

/* ---- progress, for a terminal --------------------------------------------------------------- */

static struct {
	const char *stage;
	uint64_t begun_ns, shown_ns;
	unsigned int columns;
	bool bar;
} screen;

static void show_progress(const char *stage, uint64_t stream, uint64_t total, uint64_t file)
{
	const uint64_t now = clock_now_ns();
	struct progress p = {.stage = stage,
		.counts = true,
		.pages = stream / 4096,
		.total = (total ? total : stream) / 4096,
		.bytes = file};
	char line[256];
	double s;

	if (screen.stage != stage) {
		screen.stage = stage;
		screen.begun_ns = screen.shown_ns = now;
	}
	if (now - screen.shown_ns < SHOW_NS)
		return;
	screen.shown_ns = now;
	s = (double)(now - screen.begun_ns) / (double)NSEC_PER_SEC;
	p.bytes_per_s = (uint64_t)((double)stream / s);
	if (total > stream && p.bytes_per_s)
		p.eta_s = (total - stream) / p.bytes_per_s;
	progress_format(line, sizeof(line), screen.columns - 1, &p);
	fprintf(stderr, "\r\033[K%s", line);
	screen.bar = true;
}

static void screen_open(struct save *s)
{
	struct winsize window;

	if (!isatty(STDERR_FILENO))
		return;
	screen.columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col
				 ? window.ws_col
				 : 80;
	s->progress = show_progress;
}

static void screen_close(void)
{
	if (screen.bar)
		fputs("\r\033[K", stderr);
	screen.bar = false;
}

/* ---- verbs ---------------------------------------------------------------------------------- */

static void say_saved(const struct save *s)
{
	char stream[16], file[16];

	progress_bytes_format(stream, sizeof(stream), s->stream_bytes);
	progress_bytes_format(file, sizeof(file), s->file_bytes);
	fprintf(stderr, "%s is saved in %s (%s, %s of memory and devices)%s\n", s->notice->name,
		strcmp(s->file, "-") ? s->file : "what reads the standard output", file, stream,
		s->checkpoint ? "; it runs on" : "; it does not run any more");
}

static void say_resumed(const struct save *s)
{
	fprintf(stderr, "%s runs on\n", s->notice->name);
}

static void say_restored(const struct save *s)
{
	const time_t saved = (time_t)(s->saved_ns / NSEC_PER_SEC);
	char bytes[16], when[64] = "";
	struct tm tm;

	if (s->check) {
		progress_bytes_format(bytes, sizeof(bytes), s->stream_bytes);
		if (saved && gmtime_r(&saved, &tm))
			strftime(when, sizeof(when), ", saved %Y-%m-%d %H:%M:%S UTC", &tm);
		fprintf(stderr, "%s is whole: %s, %s of memory and devices%s%s\n", s->file,
			s->notice->name, bytes, when,
			s->checkpoint ? ", a checkpoint: its disks have gone on" : "");
		return;
	}
	fprintf(stderr, "%s %s, domain %u; %s is as it was\n", s->notice->name,
		s->paused ? "is restored and paused" : "runs again", s->domid,
		strcmp(s->file, "-") ? s->file : "the standard input");
}

static const struct verb {
	const char *name, *synopsis, *summary;
	int arguments;
	const char *options;
	int (*run)(struct save *s, struct why *why);
	void (*done)(const struct save *s);
} verbs[] = {
	{"save", "DOMAIN FILE", "write a running domain to FILE, or to the standard output (-)", 2,
		"fcsnF", save_run, say_saved},
	{"restore", "FILE", "make a domain of FILE, or of the standard input (-), and let it run",
		1, "kpsn", restore_run, say_restored},
	{"resume", "DOMAIN", "let a guest that a killed save has left suspended run on", 1, "",
		resume_run, say_resumed},
};

static const struct row {
	char letter;
	const char *name, *argument, *summary;
} rows[] = {
	{'f', "format", "FORMAT", "romulus (compressed, checksummed), or xl: for `xl restore`"},
	{'c', "checkpoint", NULL, "the domain runs on afterwards"},
	{'s', "snapshot", "PROGRAM", "takes a snapshot of its disks, or puts it back"},
	{'n', "no-snapshot", NULL, "its disks are seen to in another way"},
	{'F', "force", NULL, "try it even if there may not be room"},
	{'p', "paused", NULL, "do not let it run yet"},
	{'k', "check", NULL, "only verify FILE and say what is in it"},
	{'h', "help", NULL, "this text"},
	/* from romulusd, not for a person */
	{'H', "host", "NAME", NULL},
	{'P', "protected", "NAME", NULL},
	{'R', "run-dir", "DIRECTORY", NULL},
};

static void usage(FILE *to)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		const struct verb *v = &verbs[i];

		fprintf(to, "romulus %s %s%s\n  %s\n", v->name, v->options[0] ? "[OPTION...] " : "",
			v->synopsis, v->summary);
		for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
			if (rows[k].summary && strchr(v->options, rows[k].letter))
				fprintf(to, "    --%-11s %-8s %s\n", rows[k].name,
					rows[k].argument ? rows[k].argument : "", rows[k].summary);
	}
}

static int usage_error(const char *what, const char *on)
{
	fprintf(stderr, "romulus-save: %s%s%s\n", what, on ? " " : "", on ? on : "");
	usage(stderr);
	return EXIT_CODE_USAGE;
}

static bool take(struct save *s, int letter, const char *value)
{
	switch (letter) {
	case 'f':
		s->format = strcmp(value, "xl") == 0 ? SAVEFILE_XL : SAVEFILE_ROMULUS;
		return s->format == SAVEFILE_XL || strcmp(value, "romulus") == 0;
	case 'c':
		return s->checkpoint = true;
	case 's':
		s->hook = value;
		return value[0] == '/';
	case 'n':
		return s->no_snapshot = true;
	case 'F':
		return s->force = true;
	case 'k':
		return s->check = true;
	case 'p':
		return s->paused = true;
	case 'H':
		s->host = value;
		return true;
	case 'R':
		s->run_dir = value;
		return true;
	case 'P':
		if (s->protected_n == SAVE_PROTECTED_MAX)
			return false;
		s->protected_[s->protected_n++] = value;
		return true;
	}
	return false;
}

/* ---- the two processes ---------------------------------------------------------------------- */

static int exit_code(int err)
{
	switch (err) {
	case 0:
		return EXIT_CODE_OK;
	case -ENOENT:
		return EXIT_CODE_UNKNOWN;
	case -EEXIST:
	case -ENOMEM:
	case -ENOSPC:
		return EXIT_CODE_REFUSED;
	case -EBADMSG:
	case -ENODATA:
	case -EPROTONOSUPPORT:
		return EXIT_CODE_PROTOCOL;
	case -EINVAL:
	case -EBUSY:
	case -EAGAIN:
		return EXIT_CODE_WRONG_STATE;
	case -EACCES:
	case -EPERM:
		return EXIT_CODE_PERMISSION;
	default:
		return EXIT_CODE_FAILED;
	}
}

static int work(struct save *s, const struct verb *v)
{
	struct why why = {""};
	int r;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN); /* in a group of its own, and on the terminal all the same */
	screen_open(s);
	if (!s->check)
		s->hv = s->ops->open(&why);
	r = s->hv || s->check ? v->run(s, &why) : -ENODEV;
	screen_close();
	s->ops->close(s->hv);
	if (r)
		fprintf(stderr, "romulus %s: %s\n", v->name, why.text);
	else
		v->done(s);
	return exit_code(r);
}

/* The worker is gone, and what it has started with it. */
static int mend(struct save *s, const struct verb *v)
{
	const enum save_stage stage = s->notice->stage;
	struct why why = {""};
	int r;

	fprintf(stderr, "\nromulus %s: interrupted\n", v->name);
	s->hv = s->ops->open(&why);
	r = s->hv ? save_mend(s, &why) : -ENODEV;
	s->ops->close(s->hv);
	if (r < 0)
		fprintf(stderr, "romulus %s: %s\n", v->name, why.text);
	else if (r > 0)
		fprintf(stderr, "%s had been written%s\n", s->file,
			stage == SAVE_NOTHING ? "; the guest runs on"
					      : ": the domain is in it, and does not run");
	else if (stage == SAVE_SUSPENDS)
		fprintf(stderr, "the guest runs on, nothing was saved\n");
	else if (stage == SAVE_BUILDS)
		fprintf(stderr, "nothing was restored, %s is as it was\n", s->file);
	return r > 0 ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

/*
 * xl's process of a domain takes the suspension for the end of it, and one that was restored has
 * none: who else is to restart it when it reboots? It runs on when this program has ended.
 */
static void begin_monitor(const struct save *s)
{
	char program[PATH_MAX] = "";
	int fd;

	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0 || fork() != 0)
		return;
	*strrchr(program, '/') = '\0';
	strncat(program, "/romulus-monitor", sizeof(program) - strlen(program) - 1);
	setsid();
	fd = sd_journal_stream_fd("romulus-monitor", LOG_INFO, 1);
	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(fd, STDERR_FILENO);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	mkdir(s->run_dir, 0755); /* romulusd may never have been here */
	execl(program, "romulus-monitor", "--domain", s->notice->name, "--uuid", s->notice->uuid,
		"--run-dir", s->run_dir, "--adopt", "--unattended", (char *)NULL);
	_exit(127);
}

/*
 * To the end of all of a process group: libxl's helper is in it. One that even that does not end
 * waits for a disk, and does nothing more when it wakes.
 */
static void kill_all(pid_t worker)
{
	const struct timespec pause = {.tv_nsec = 10 * (long)NSEC_PER_MSEC};
	const uint64_t until_ns = clock_now_ns() + KILL_NS;

	while ((kill(-worker, SIGKILL) == 0 || errno != ESRCH) && clock_now_ns() < until_ns)
		nanosleep(&pause, NULL);
}

/* A hook that is at work on the disks is waited for: half a snapshot would be left. */
static void end_worker(const struct save *s, pid_t worker)
{
	const struct timespec pause = {.tv_nsec = 100 * (long)NSEC_PER_MSEC};

	while (__atomic_load_n(&s->notice->hook_runs, __ATOMIC_SEQ_CST) && kill(worker, 0) == 0)
		nanosleep(&pause, NULL);
	kill(-worker, SIGKILL);
}

static int watch(struct save *s, const struct verb *v, pid_t worker, const sigset_t *mask)
{
	sigset_t child;
	int status, sig;

	do {
		sig = sigwaitinfo(mask, NULL);
		if (sig > 0 && sig != SIGCHLD)
			end_worker(s, worker);
	} while (waitpid(worker, &status, sig > 0 && sig != SIGCHLD ? 0 : WNOHANG) != worker);
	if (!WIFEXITED(status)) {
		kill_all(worker);
		outfile_sweep(s->file, worker);
		/* libxl waits for its scripts by it; the others are still not to interrupt. */
		sigemptyset(&child);
		sigaddset(&child, SIGCHLD);
		sigprocmask(SIG_UNBLOCK, &child, NULL);
		return mend(s, v);
	}
	sigprocmask(SIG_UNBLOCK, mask, NULL);
	if (s->notice->runs)
		begin_monitor(s);
	return WEXITSTATUS(status);
}

static int run(struct save *s, const struct verb *v)
{
	sigset_t mask, before;
	pid_t worker;

	s->notice = mmap(NULL, sizeof(*s->notice), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->notice == MAP_FAILED)
		return EXIT_CODE_FAILED;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &before);
	worker = fork();
	if (worker < 0) {
		fprintf(stderr, "romulus %s: no process: %s\n", v->name, strerror(errno));
		return EXIT_CODE_FAILED;
	}
	if (worker == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		setpgid(0, 0);
		exit(work(s, v));
	}
	setpgid(worker, worker);
	return watch(s, v, worker, &mask);
}

int main(int argc, char **argv)
{
	static struct save s = {.ops = &hv_xen_ops, .host = "?", .run_dir = "/run/romulus"};
	struct option options[ARRAY_SIZE(rows) + 1] = {0};
	const struct verb *v = NULL;
	struct why why;
	int c;

	log_open("romulus-save");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		options[i] = (struct option){rows[i].name,
			rows[i].argument ? required_argument : no_argument, NULL, rows[i].letter};
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i].name))
			v = &verbs[i];
	if (!v)
		return usage_error(argc > 1 ? "no such verb:" : "which verb?", argv[1]);
	opterr = 0;
	optind = 2;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return EXIT_CODE_OK;
		}
		if (c == '?' || c == ':')
			return usage_error(
				c == ':' ? "an argument is missing after" : "unknown option",
				argv[optind - 1]);
		if (!strchr(v->options, c) && !strchr("HPR", c))
			return usage_error("no option of this verb:", argv[optind - 1]);
		if (!take(&s, c, optarg))
			return usage_error("makes no sense:", argv[optind - 1]);
	}
	if (argc - optind != v->arguments)
		return usage_error("these arguments are needed:", v->synopsis);
	if (s.hook && !s.checkpoint && v->run == save_run)
		return usage_error("--snapshot goes with --checkpoint", NULL);
	if (fault_init(&why)) {
		fprintf(stderr, "romulus %s: %s\n", v->name, why.text);
		return EXIT_CODE_USAGE;
	}
	s.domain = argv[optind];
	s.file = argv[argc - 1];
	return run(&s, v);
}
