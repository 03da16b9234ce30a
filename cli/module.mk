# The operator's tool. Everything but main.c is also linked by its tests.
bin += romulus

cli_src := cli/commands.c cli/client.c cli/status.c cli/check.c cli/drills.c cli/drill_planned.c cli/progress.c cli/events.c
romulus_src := cli/main.c $(cli_src) $(common_src)
romulus_pkg := jansson
