/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire between hosts, and between a daemon and its workers: frames, control messages, streams.
 * docs/protocol.md is the specification; a change here changes it in the same commit.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <protobuf-c/protobuf-c.h>

#include "proto/romulus.pb-c.h"

struct why;
struct proto_identity;

/* ---- wire.c: one frame ---------------------------------------------------------------------- */

#define PROTO_VERSION 1
#define PROTO_VERSION_MIN 1
#define PROTO_MAGIC UINT32_C(0x524f4d55) /* "ROMU" */
#define PROTO_DEFAULT_PORT 7800

/* Caps on everything that a peer controls. */
#define PROTO_MAX_CONTROL (256u * 1024u) /* payload of a control frame */
#define PROTO_MAX_CHECK (32u * 1024u)    /* of a CHECK: a daemon hands it on at once */
#define PROTO_MAX_PAGES (1024u * 1024u)  /* payload of a PAGES frame */
#define PROTO_TAG_BYTES 32u              /* behind a heartbeat, unless plain: HMAC-SHA256 */
#define PROTO_MAX_DATAGRAM 1400u         /* a heartbeat frame and its tag */
#define PROTO_TOKEN_BYTES 16u

/* Of Hello: a session uses what both sides state. */
#define PROTO_CAN_PACK (UINT64_C(1) << 0)  /* PACKED_PAGES in a stream */
#define PROTO_CAN_CHECK (UINT64_C(1) << 1) /* answers CHECK */
#define PROTO_CAPABILITIES (PROTO_CAN_PACK | PROTO_CAN_CHECK)
#define PROTO_NONCE_BYTES 16u /* of a Check */

/* Header of a frame, little endian on the wire, 24 bytes. */
struct proto_header {
	uint32_t magic;
	uint16_t type;     /* enum proto_type */
	uint16_t flags;    /* reserved, zero */
	uint32_t length;   /* payload bytes */
	uint32_t crc;      /* CRC32C of the header with crc = 0, then the payload */
	uint64_t sequence; /* 0, 1, 2 ... in each direction of a session; 0 in datagrams */
};

#define PROTO_HEADER_BYTES 24u

enum proto_type {
	PROTO_HELLO = 1,
	PROTO_BYE = 2,
	PROTO_PREPARE = 3,
	PROTO_PREPARED = 4,
	PROTO_REFUSED = 5,
	PROTO_UNPROTECT = 6,
	PROTO_UNPROTECTED = 7,
	PROTO_DOMAIN_CONFIG = 8,
	PROTO_EPOCH_BEGIN = 9,
	PROTO_PAGES = 10, /* raw bytes of the save stream, no protobuf */
	PROTO_EPOCH_END = 11,
	PROTO_ACK = 12,
	PROTO_HEARTBEAT = 13,
	PROTO_REPORT = 14,
	PROTO_ORDER = 15,
	PROTO_PACKED_PAGES = 16, /* the same bytes as a frame of zstd; received as PAGES */
	PROTO_CHECK = 17,
	PROTO_CHECKED = 18,
	PROTO_TYPE_COUNT,
};

enum proto_bye {
	PROTO_BYE_DONE = 0,
	PROTO_BYE_MALFORMED = 1, /* a frame that breaks the specification */
	PROTO_BYE_VERSION = 2,   /* no common protocol version */
	PROTO_BYE_REFUSED = 3,   /* not allowed here */
	PROTO_BYE_FAILED = 4,    /* the sender cannot go on; reason says why */
};

enum proto_role { PROTO_ROLE_NONE = 0, PROTO_ROLE_PRIMARY = 1, PROTO_ROLE_BACKUP = 2 };

/* State of a domain in a heartbeat; see docs/protocol.md for what each one promises. */
enum proto_state {
	PROTO_STATE_IDLE = 0, /* known, nothing runs */
	PROTO_STATE_SYNCING = 1,
	PROTO_STATE_PROTECTED = 2,
	PROTO_STATE_WANT_SOLO = 3,  /* primary: lost the stream, mute, asks the backup to let go */
	PROTO_STATE_RELEASED = 4,   /* backup: will never take this generation over (persisted);
				     * primary: will never run it (persisted) */
	PROTO_STATE_SOLO = 5,       /* primary: runs on alone, generation decided */
	PROTO_STATE_LOST = 6,       /* backup: lost the stream, holds the last acked checkpoint */
	PROTO_STATE_TAKEN_OVER = 7, /* this host runs the domain; generation decided (persisted) */
};

/* DomainState.wish of a primary that has released its guest, to whoever takes that over. */
enum proto_wish {
	PROTO_WISH_NONE = 0,
	PROTO_WISH_PROTECT = 1, /* it is moved: protect it in the other direction */
	PROTO_WISH_END = 2,     /* nobody wants it protected any more */
};

/* DomainState.guest of a host that has taken over. */
enum proto_guest {
	PROTO_GUEST_UNKNOWN = 0,
	PROTO_GUEST_STARTS = 1, /* it is being resumed */
	PROTO_GUEST_RUNS = 2,
	PROTO_GUEST_FAILED = 3, /* it could not be resumed */
};

/* Report.kind, worker to daemon. */
enum proto_report {
	PROTO_REPORT_FOUND = 1, /* primary: domain checked (domain, uuid, memory_kb, type, ...) */
	PROTO_REPORT_LISTENING = 2, /* backup: port, token; drill: text: its socket */
	PROTO_REPORT_PROGRESS = 3,  /* primary: initial copy (pages_done, pages_total, ...) */
	PROTO_REPORT_PROTECTED = 4, /* first checkpoint committed (primary) or acked (backup) */
	PROTO_REPORT_EPOCH = 5, /* at most a few per second: epoch and figures of the last one */
	PROTO_REPORT_LOST = 6,  /* stream gone or silent; worker holds and waits for an order */
	PROTO_REPORT_STANDBY_LOST = 7, /* backup: the standby is unusable; or primary told so */
	PROTO_REPORT_STAGE = 8,        /* takeover: text names the stage just finished */
	PROTO_REPORT_RUNNING = 9,      /* takeover done: domid, vifs, macs, bridges */
	PROTO_REPORT_DONE = 10,   /* order carried out (SOLO, STOP, DISCARD); worker exits next */
	PROTO_REPORT_FAILED = 11, /* cannot go on; everything undone; worker exits next */
	PROTO_REPORT_GUEST_GONE =
		12, /* primary: guest shut down, crashed or was destroyed (text) */
	PROTO_REPORT_GUEST_ENDED = 13,     /* monitor: it has ended for good (text) */
	PROTO_REPORT_GUEST_RESTARTS = 14,  /* monitor: it has ended and is to start again (text) */
	PROTO_REPORT_GUEST_RESTARTED = 15, /* monitor: it has; paused if so ordered */
	PROTO_REPORT_COMPLETE =
		16,              /* primary: the last epoch is acked, the guest stands suspended */
	PROTO_REPORT_FACTS = 17, /* facts: check (where the guest is), checked */
};

/* Order.kind, daemon to worker. */
enum proto_order {
	PROTO_ORDER_CONNECT = 1,  /* primary: address, port, token, generation: begin to sync */
	PROTO_ORDER_SOLO = 2,     /* primary: release all held output in order, stop replicating;
				   * monitor: a guest that starts again may run */
	PROTO_ORDER_STOP = 3,     /* primary: unprotect: release, remove every trace, exit */
	PROTO_ORDER_TAKEOVER = 4, /* backup: granted: complete, rename, unpause */
	PROTO_ORDER_DISCARD = 5,  /* backup: destroy the standby, exit */
	PROTO_ORDER_RESTRAIN = 6, /* monitor: a guest that starts again stays paused */
	PROTO_ORDER_MOVE = 7, /* primary: one last epoch, then leave the guest suspended and wait */
	PROTO_ORDER_CHECK = 8, /* facts: about the guest of another host, in check */
	PROTO_ORDER_DRILL = 9, /* backup: address: socket that the next checkpoint is copied to */
};

const char *proto_type_name(unsigned int type);

/*
 * Build the header of a frame around @payload. @sequence as in struct proto_header.
 * Writes PROTO_HEADER_BYTES to @out.
 */
void proto_header_encode(
	uint8_t *out, enum proto_type type, uint64_t sequence, const void *payload, size_t length);

/*
 * Check and decode a header, before any payload is read: magic, type known, flags zero, length
 * within the cap of its type, sequence equal to @expected. Returns 0 or -EBADMSG with a sentence.
 */
int proto_header_decode(
	const uint8_t *in, uint64_t expected, struct proto_header *ret, struct why *why);

/* Do these bytes begin a TLS record? Said to whoever has "plain" on one side only. */
bool proto_is_tls(const uint8_t *in, size_t length);

/* Check the CRC over header and payload. Returns 0 or -EBADMSG with a sentence. */
int proto_payload_check(const struct proto_header *header, const void *payload, struct why *why);

/*
 * Pack @message into a whole frame (header and payload), malloc'd: the caller frees *ret_frame.
 * Returns 0, -ENOMEM or -EMSGSIZE (over the cap of @type).
 */
int proto_pack(enum proto_type type, uint64_t sequence, const ProtobufCMessage *message,
	uint8_t **ret_frame, size_t *ret_length);

/*
 * Unpack the payload of a control frame of @type. Returns the message, to be freed with
 * protobuf_c_message_free_unpacked(m, NULL), or NULL when the bytes are not one.
 */
ProtobufCMessage *proto_unpack(enum proto_type type, const void *payload, size_t length);

/* ---- session.c: frames over a stream socket ------------------------------------------------- */

/*
 * One direction-pair of frames over a connected socket. Both styles of use share one object: the
 * daemon feeds it from epoll (non-blocking), a worker calls the blocking forms with a deadline.
 * After an error the session is dead: every later call returns the same error.
 */
struct proto_session;

/* @fd: connected stream socket, owned by the session from here on (also on failure: NULL). */
struct proto_session *proto_session_new(int fd);
struct proto_session *proto_session_free(struct proto_session *s); /* closes; returns NULL */
int proto_session_fd(const struct proto_session *s);

/* A received frame. `message` for control frames, `data`/`length` for PAGES. Freed by the next
 * receive or by proto_session_free: copy what must live longer. */
struct proto_frame {
	enum proto_type type;
	ProtobufCMessage *message; /* NULL for PAGES */
	const uint8_t *data;       /* PAGES only */
	size_t length;
};

/* ---- tls.c: TLS 1.3 under a session ---------------------------------------------------------- */

/*
 * Put TLS under a new session: @peer is the name that the other side's certificate must carry.
 * @me NULL: the session stays plain, and the call does nothing. @me must outlive @s. The handshake
 * is part of the first receive or send, or of proto_session_establish(). A side that is refused
 * hears why in an alert.
 */
int proto_session_secure(struct proto_session *s, struct proto_identity *me, bool accepting,
	const char *peer, struct why *why);

/*
 * Go on with the handshake. Returns 1 when it is over (at once on a plain session), 0 when it is
 * not by @deadline_ns (as for receive), or a negative errno: -EACCES (a certificate was refused, by
 * either side), -EPROTONOSUPPORT (no TLS 1.3 there), -EBADMSG (no TLS at all), -ECONNRESET.
 * With 0 the socket's readability says when to call again: what a handshake writes always fits.
 */
int proto_session_establish(struct proto_session *s, uint64_t deadline_ns, struct why *why);

/* ---- session.c, send.c ----------------------------------------------------------------------- */

/*
 * Receive one frame. @deadline_ns: clock_now_ns() value; 0 = do not block; UINT64_MAX = for ever.
 * Returns 1 with *ret filled, 0 when no whole frame is there by the deadline (partial input is
 * kept), -ECONNRESET when the peer closed, -EBADMSG on a malformed frame (a Bye with the reason
 * has been sent), or another negative errno; the sentence is in @why.
 */
int proto_session_receive(
	struct proto_session *s, uint64_t deadline_ns, struct proto_frame *ret, struct why *why);

/* The peer has said Bye FAILED: it cannot go on, and that is not this side's doing. */
bool proto_session_gave_up(const struct proto_session *s);

/* True when a whole frame is already buffered: epoll would not report it. */
bool proto_session_pending(const struct proto_session *s);

/*
 * Send a control message; blocks until written or @deadline_ns passes (-ETIMEDOUT, session dead).
 */
int proto_session_send(struct proto_session *s, enum proto_type type,
	const ProtobufCMessage *message, uint64_t deadline_ns, struct why *why);

/* Send one PAGES frame with @length bytes (<= PROTO_MAX_PAGES) from the caller's memory. */
int proto_session_send_pages(struct proto_session *s, const void *data, size_t length,
	uint64_t deadline_ns, struct why *why);

/* The same, packed where that is worth it and the peer can unpack. */
int proto_session_send_packed_pages(struct proto_session *s, const void *data, size_t length,
	uint64_t deadline_ns, struct why *why);

/*
 * As proto_session_send_pages with @length bytes at @offset of @fd, a file that is mapped: @data is
 * their place in memory. The kernel sends the file's pages by reference, not a copy: they must not
 * change until the peer has acknowledged them in words of its own. SIGPIPE must be ignored by the
 * process.
 */
int proto_session_send_file_pages(struct proto_session *s, int fd, size_t offset, const void *data,
	size_t length, uint64_t deadline_ns, struct why *why);

/* Say Bye (best effort, does not block) and mark the session dead. */
void proto_session_bye(struct proto_session *s, enum proto_bye code, const char *reason);

/*
 * Exchange Hello on a new session: sends ours, receives and checks the peer's (version overlap,
 * session kind). *ret_hello (owned by the caller, romulus__hello__free_unpacked) is the peer's.
 * Returns 0; -EPROTONOSUPPORT (no common version; both sides have been told), -EBADMSG,
 * -ETIMEDOUT... For the accepting side of a stream, @token is checked in constant time when not
 * NULL.
 */
int proto_handshake(struct proto_session *s, const char *host, const char *session_kind,
	const uint8_t *send_token, const uint8_t *expect_token, uint64_t deadline_ns,
	Romulus__Hello **ret_hello, struct why *why);

/* ---- net.c: sockets ------------------------------------------------------------------------- */

/*
 * TCP connect to a numeric @address, CLOEXEC, NODELAY. @bind_address may be NULL. Returns the fd or
 * a negative errno with a sentence.
 */
int proto_connect(const char *bind_address, const char *address, uint16_t port,
	uint64_t deadline_ns, struct why *why);

/* Listen on numeric @address. *port 0: any; set to the bound one. Returns the fd. */
int proto_listen(const char *address, uint16_t *port, struct why *why);

/* Bound UDP socket for heartbeats, non-blocking, CLOEXEC. */
int proto_datagram(const char *address, uint16_t port, struct why *why);

#endif
