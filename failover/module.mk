sbin += romulusd

failover_src := failover/config.c failover/detector.c failover/timeouts.c failover/state.c \
	failover/arbiter.c failover/fence_agent.c failover/peers.c failover/worker.c \
	failover/domain.c failover/control.c failover/events.c failover/announce.c
romulusd_src := failover/main.c $(failover_src) $(proto_src) $(common_src)
romulusd_pkg := $(proto_pkg) libsystemd libconfuse jansson libnl-3.0 libnl-route-3.0
