libexec += romulus-primary romulus-backup

romulus-primary_src := replicator/primary_main.c replicator/primary_epoch.c replicator/ship.c \
	replicator/staging.c replicator/hv_xen.c replicator/hv_save.c replicator/worker.c \
	$(netbuf_src) $(proto_src) $(common_src)
romulus-primary_pkg := $(netbuf_pkg) $(proto_pkg) libxxhash xencontrol xenguest xenlight xenstore \
	xenevtchn xentoollog
romulus-primary_lib := -lpthread

romulus-backup_src := replicator/backup_main.c replicator/backup_epoch.c replicator/receive.c \
	replicator/feed.c replicator/staging.c replicator/hv_xen.c replicator/hv_restore.c \
	replicator/worker.c $(proto_src) $(common_src)
romulus-backup_pkg := $(proto_pkg) libxxhash xencontrol xenguest xenlight xenstore xenevtchn \
	xentoollog
romulus-backup_lib := -lpthread
