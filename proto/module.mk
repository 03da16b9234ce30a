proto_src := $(BUILD)/proto/romulus.pb-c.c proto/wire.c proto/session.c proto/send.c proto/pack.c \
	proto/handshake.c proto/net.c proto/tls.c proto/identity.c proto/pki.c
proto_pkg := libprotobuf-c gnutls libzstd
