bin += romulus

romulus_src := cli/main.c cli/control.c cli/commands.c cli/output.c $(common_src)
romulus_pkg := jansson
