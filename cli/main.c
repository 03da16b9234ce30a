/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct cli cli = {.out = stdout, .err = stderr};
	struct winsize window;

	setlocale(LC_TIME, "");
	cli.terminal = isatty(STDOUT_FILENO);
	cli.columns =
		cli.terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
	if (cli.terminal && cli.columns == 0)
		cli.columns = 80;
	return cli_run(&cli, argc, argv);
}
