/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fuzz target as a plain program:
 *   NAME                 run all of tests/fuzz/corpus/NAME, as a unit test
 *   NAME FILE|FOLDER...  run these, such as what make fuzz has found
 *   NAME --seeds FOLDER  write the seeds there
 * Names each input before it is run, so that the last one named is the one that ended the program.
 */
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

static const char *folder;
static unsigned int ran, failed;

static void fail(const char *what, const char *path)
{
	printf("%s: %s\n", path, what);
	failed++;
}

static void run_file(const char *path, const char *name)
{
	const unsigned long accepted = fuzz_accepted;
	CLEANUP_FCLOSE FILE *f = fopen(path, "re");
	CLEANUP_FREE uint8_t *bytes = malloc(INPUT_MAX);
	CLEANUP_FREE uint8_t *exact = NULL;
	size_t n;

	if (!f || !bytes) {
		fail("cannot be read", path);
		return;
	}
	n = fread(bytes, 1, INPUT_MAX, f);
	exact = fuzz_copy(bytes, n);
	printf("  %s, %zu bytes\n", path, n);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, n);
	ran++;
	if (strncmp(name, "good-", 5) == 0 && fuzz_accepted == accepted)
		fail("is right, but was refused", path);
}

static void run_path(const char *path)
{
	struct dirent **entries;
	char file[PATH_MAX];
	int n = scandir(path, &entries, NULL, alphasort);

	if (n < 0) {
		run_file(path, "");
		return;
	}
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			run_file(file, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

static void write_seed(const char *name, const void *data, size_t size)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	if (!f || fwrite(data, 1, size, f) != size)
		fail("cannot be written", path);
	if (f && fclose(f))
		fail("cannot be written", path);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	char corpus[PATH_MAX];

	if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
		folder = argv[2];
		fuzz_seeds(write_seed);
		return failed ? 1 : 0;
	}
	snprintf(corpus, sizeof(corpus), "tests/fuzz/corpus/%s", slash ? slash + 1 : argv[0]);
	if (argc == 1)
		run_path(corpus);
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	printf("%s: %u inputs\n[%s] replay\n", argv[0], ran,
		ran && !failed ? "       OK " : "  FAILED  ");
	return ran && !failed ? 0 : 1;
}
