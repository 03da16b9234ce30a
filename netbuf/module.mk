netbuf_src := netbuf/netbuf.c netbuf/kernel.c netbuf/messages.c netbuf/removal.c netbuf/netlink.c \
	netbuf/state.c netbuf/null.c
netbuf_pkg := libnl-3.0 libnl-route-3.0
