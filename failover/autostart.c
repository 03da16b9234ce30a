/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/autostart.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "common/why.h"
#include "failover/state.h"

#define MAX_CONFIG (1u << 20) /* bytes of a guest's configuration; more is none */

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t");
}

/* The value of a line `KEY=value` of a shell script, quoted or not: the last one counts. */
static void setting(const char *line, const char *key, char *ret, size_t size)
{
	const size_t n = strlen(key);
	const char *end;

	line = skip_blanks(line);
	if (strncmp(line, "export ", 7) == 0)
		line = skip_blanks(line + 7);
	if (strncmp(line, key, n) != 0 || line[n] != '=')
		return;
	line += n + 1;
	if (*line == '"' || *line == '\'')
		end = strchr(line + 1, *line) ? strchr(line + 1, *line) : line + strlen(line);
	else
		end = line + strcspn(line, " \t\r\n;#");
	line += *line == '"' || *line == '\'';
	snprintf(ret, size, "%.*s", (int)(end - line), line);
}

struct settings {
	char automatic[PATH_MAX], save[PATH_MAX], restore[32];
};

static void read_settings(const char *file, struct settings *ret)
{
	CLEANUP_FCLOSE FILE *f = fopen(file, "re");
	char line[PATH_MAX + 64];

	*ret = (struct settings){.automatic = ""};
	while (f && fgets(line, sizeof(line), f)) {
		setting(line, "XENDOMAINS_AUTO", ret->automatic, sizeof(ret->automatic));
		setting(line, "XENDOMAINS_SAVE", ret->save, sizeof(ret->save));
		setting(line, "XENDOMAINS_RESTORE", ret->restore, sizeof(ret->restore));
	}
}

/* Is @p an assignment of @name to xl's key `name`? */
static bool names(const char *p, const char *name)
{
	const size_t n = strlen(name);

	if (strncmp(p, "name", 4) != 0)
		return false;
	p = skip_blanks(p + 4);
	if (*p++ != '=')
		return false;
	p = skip_blanks(p);
	return (*p == '"' || *p == '\'') && strncmp(p + 1, name, n) == 0 && p[n + 1] == *p;
}

/* Assignments are parted by ends of lines and semicolons (Xen: xl.cfg(5)). */
static bool text_names(const char *p, const char *name)
{
	bool begins = true;
	char quote = 0;

	for (; *p; p++) {
		if (begins && !quote && names(skip_blanks(p), name))
			return true;
		begins = false;
		if (quote)
			quote = *p == quote || *p == '\n' ? 0 : quote;
		else if (*p == '"' || *p == '\'')
			quote = *p;
		else if (*p == '#')
			p += strcspn(p, "\n") - 1;
		begins = !quote && (*p == '\n' || *p == ';');
	}
	return false;
}

static bool config_names(const char *file, const char *name)
{
	CLEANUP_FCLOSE FILE *f = fopen(file, "re");
	CLEANUP_FREE char *text = malloc(MAX_CONFIG + 1);
	struct stat st;

	if (!f || !text || fstat(fileno(f), &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	text[fread(text, 1, MAX_CONFIG, f)] = '\0';
	return text_names(text, name);
}

static bool find_config(const char *folder, const char *name, char *ret, size_t size)
{
	DIR *d = folder[0] ? opendir(folder) : NULL;
	const struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		if (e->d_name[0] == '.') /* as the shell's * does */
			continue;
		snprintf(ret, size, "%s/%s", folder, e->d_name);
		found = config_names(ret, name);
	}
	if (d)
		closedir(d);
	return found;
}

int failover_autostart_find(const char *settings, const char *name, struct why *why)
{
	struct settings s;
	char file[PATH_MAX + 256];
	struct stat st;

	read_settings(settings, &s);
	if (find_config(s.automatic, name, file, sizeof(file)))
		return why_set(why, -EEXIST,
			"xendomains starts '%s' when this host boots (%.200s), whichever host owns "
			"it then: remove that file; romulusd starts it where it belongs, if its "
			"section in romulus.conf has start",
			name, file);
	snprintf(file, sizeof(file), "%s/%s", s.save, name);
	if (s.save[0] && s.restore[0] && stat(file, &st) == 0 && S_ISREG(st.st_mode))
		return why_set(why, -EEXIST,
			"xendomains restores '%s' from %.200s when this host boots, whichever host "
			"owns it then: remove that file",
			name, file);
	return 0;
}

struct check {
	const char *settings;
	int code;
};

static void check_one(void *data, const struct failover_record *r, const struct why *why)
{
	struct check *check = data;
	struct why found;

	if (!r) {
		printf("%s\n", why->text);
		check->code = EXIT_CODE_FAILED;
	} else if (r->intent && failover_autostart_find(check->settings, r->name, &found) < 0) {
		printf("%s; until then xendomains starts no guest at all\n", found.text);
		check->code = EXIT_CODE_FAILED;
	}
}

int failover_autostart_check(const struct failover_config *c)
{
	struct check check = {c->xendomains, EXIT_CODE_OK};
	struct why why;

	if (failover_state_load(c->state_dir, check_one, &check, &why) < 0) {
		printf("%s\n", why.text);
		return EXIT_CODE_FAILED;
	}
	return check.code;
}
