/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS 1.3 under a session, by GnuTLS. Both sides show a certificate that the cluster's CA has
 * signed, and each must carry exactly the name that the other expects there: the peers in the
 * configuration are the list of who is let in. No wildcard, no fallback to the common name, no
 * resumption, no older version.
 *
 * Until the peer has proved who it is, it makes us hold one handshake of HANDSHAKE_MAX bytes and
 * nothing of what it sends reaches the parser of frames.
 */
#include "proto/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <gnutls/x509.h>

#include "common/cleanup.h"
#include "proto/pki.h"

#define HANDSHAKE_MAX 16384u /* ours are of some 1000 bytes */
#define NAMES_MAX 8u         /* of a certificate looked at */

struct proto_tls {
	gnutls_session_t session;
	struct proto_identity *me; /* its credentials are the session's */
	int fd;                    /* the proto_session's */
	bool established;
	size_t taken; /* bytes of the handshake */
	char expected[PEER_NAME_MAX];
	gnutls_alert_description_t refusal; /* of the peer's certificate: what it is told ... */
	struct why why;                     /* ... and what is said here */
};

/* ---- the peer's certificate ----------------------------------------------------------------- */

static int refuse(struct proto_tls *t, gnutls_alert_description_t alert)
{
	t->refusal = alert;
	return GNUTLS_E_CERTIFICATE_ERROR;
}

static bool names_peer(gnutls_x509_crt_t certificate, const char *expected, char *ret, size_t size)
{
	char name[PEER_NAME_MAX];

	snprintf(ret, size, "nobody");
	for (unsigned int i = 0; i < NAMES_MAX; i++) {
		size_t n = sizeof(name) - 1;
		int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &n, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (type != GNUTLS_SAN_DNSNAME)
			continue;
		name[n] = '\0';
		/* A zero inside would hide what follows. */
		if (strlen(name) == n && strcasecmp(name, expected) == 0)
			return true;
		session_printable(ret, size, name);
	}
	return false;
}

static int judge_status(struct proto_tls *t, unsigned int status, gnutls_x509_crt_t certificate)
{
	char day[PROTO_DAY_MAX];

	/* A stranger's dates mean nothing. */
	if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA)) {
		why_set(&t->why, 0,
			"its certificate is not signed by the CA of this cluster; run `romulus "
			"pki join` there, or on this host, again with --force");
		return refuse(t, GNUTLS_A_UNKNOWN_CA);
	}
	if (status & GNUTLS_CERT_EXPIRED) {
		why_set(&t->why, 0,
			"its certificate (or the CA's) expired on %s; make new ones: `romulus pki "
			"init --force` on one host, `romulus pki join --force` on the others",
			proto_pki_day(gnutls_x509_crt_get_expiration_time(certificate), day));
		return refuse(t, GNUTLS_A_CERTIFICATE_EXPIRED);
	}
	if (status & GNUTLS_CERT_NOT_ACTIVATED) {
		why_set(&t->why, 0,
			"its certificate is not valid before %s: compare the clocks of the hosts",
			proto_pki_day(gnutls_x509_crt_get_activation_time(certificate), day));
		return refuse(t, GNUTLS_A_BAD_CERTIFICATE);
	}
	why_set(&t->why, 0, "its certificate is not valid (status %#x)", status);
	return refuse(t, GNUTLS_A_BAD_CERTIFICATE);
}

static int judge(struct proto_tls *t, gnutls_x509_crt_t certificate)
{
	char name[PEER_NAME_MAX];
	unsigned int status;
	int err = gnutls_certificate_verify_peers2(t->session, &status);

	if (err < 0) {
		why_set(&t->why, 0, "its certificate cannot be verified: %s", gnutls_strerror(err));
		return refuse(t, GNUTLS_A_BAD_CERTIFICATE);
	}
	if (status)
		return judge_status(t, status, certificate);
	if (names_peer(certificate, t->expected, name, sizeof(name)))
		return 0;
	why_set(&t->why, 0,
		"its certificate is that of %s, but this host's romulus.conf has the peer %s there",
		name, t->expected);
	return refuse(t, GNUTLS_A_ACCESS_DENIED);
}

int proto_tls_verify(gnutls_session_t session)
{
	struct proto_tls *t = gnutls_session_get_ptr(session);
	gnutls_x509_crt_t certificate;
	const gnutls_datum_t *chain;
	unsigned int n;
	int err;

	chain = gnutls_certificate_get_peers(session, &n);
	if (!chain || n == 0 || gnutls_x509_crt_init(&certificate) < 0) {
		why_set(&t->why, 0, "it shows no certificate");
		return refuse(t, GNUTLS_A_CERTIFICATE_REQUIRED);
	}
	err = gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER);
	if (err < 0) {
		why_set(&t->why, 0, "its certificate cannot be read: %s", gnutls_strerror(err));
		err = refuse(t, GNUTLS_A_BAD_CERTIFICATE);
	} else {
		err = judge(t, certificate);
	}
	gnutls_x509_crt_deinit(certificate);
	return err;
}

/* ---- errors --------------------------------------------------------------------------------- */

/* What an alert of the peer means for whoever must mend it; the rest is GnuTLS's word for it. */
static const struct {
	gnutls_alert_description_t alert;
	int err;
	const char *text;
} alerts[] = {
	{GNUTLS_A_UNKNOWN_CA, -EACCES,
		"it does not know the CA of this host's certificate; run `romulus pki join` again, "
		"with --force, on one of the two"},
	{GNUTLS_A_CERTIFICATE_EXPIRED, -EACCES,
		"this host's certificate has expired; make new ones: `romulus pki init --force` on "
		"one host, `romulus pki join --force` on the others"},
	{GNUTLS_A_ACCESS_DENIED, -EACCES,
		"its romulus.conf has another name for the peer at this address than this host's "
		"certificate; correct host here or peer there"},
	{GNUTLS_A_BAD_CERTIFICATE, -EACCES,
		"it does not accept this host's certificate (its log says why)"},
	{GNUTLS_A_CERTIFICATE_REQUIRED, -EACCES, "it wants a certificate of this host"},
	{GNUTLS_A_PROTOCOL_VERSION, -EPROTONOSUPPORT, "it does not speak TLS 1.3"},
	{GNUTLS_A_HANDSHAKE_FAILURE, -EPROTONOSUPPORT, "no TLS 1.3 with a cipher of both"},
};

static int received_alert(struct proto_session *s, struct why *why)
{
	gnutls_alert_description_t alert = gnutls_alert_get(s->tls->session);

	for (size_t i = 0; i < ARRAY_SIZE(alerts); i++)
		if (alerts[i].alert == alert)
			return why_set(why, alerts[i].err, "%s refused the TLS session: %s",
				s->peer, alerts[i].text);
	return why_set(why, -ECONNRESET, "%s ended the TLS session: %s (alert %d)", s->peer,
		gnutls_alert_get_name(alert), (int)alert);
}

/* GnuTLS's error @code as an errno, with a sentence unless it only means to try again. */
static int failure(struct proto_session *s, int code, struct why *why)
{
	if (s->tls->taken > HANDSHAKE_MAX)
		return why_set(why, -EBADMSG,
			"%s is refused: it has sent more than %u bytes without saying who it is",
			s->peer, HANDSHAKE_MAX);
	switch (code) {
	case GNUTLS_E_AGAIN:
		return -EAGAIN;
	case GNUTLS_E_INTERRUPTED:
		return -EINTR;
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return received_alert(s, why);
	case GNUTLS_E_CERTIFICATE_ERROR:
		return why_set(why, -EACCES, "%s is refused: %s", s->peer, s->tls->why.text);
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
		return why_set(why, -EACCES, "%s is refused: it shows no certificate", s->peer);
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return why_set(why, -ECONNRESET, "%s closed the connection%s", s->peer,
			s->tls->established ? "" : " during the TLS handshake");
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_NO_CIPHER_SUITES: /* a version is its ciphers: 1.2 has none of 1.3's */
		return why_set(why, -EPROTONOSUPPORT,
			"%s is refused: it does not offer TLS 1.3 with a cipher of this host; no "
			"other is allowed",
			s->peer);
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNEXPECTED_PACKET:
	case GNUTLS_E_RECORD_OVERFLOW:
	case GNUTLS_E_HANDSHAKE_TOO_LARGE:
	case GNUTLS_E_UNEXPECTED_HANDSHAKE_PACKET:
		if (!s->tls->established)
			return why_set(why, -EBADMSG,
				"%s is refused: what it sends is no TLS handshake (%s); is "
				"transport the same on both hosts?",
				s->peer, gnutls_strerror(code));
		/* fall through */
	default:
		return why_set(why, -EBADMSG, "TLS session with %s broken: %s", s->peer,
			gnutls_strerror(code));
	}
}

/* Best effort, once: the peer is told in one alert why it is not served. */
static void say_refusal(struct proto_session *s, int code)
{
	if (code == GNUTLS_E_FATAL_ALERT_RECEIVED || s->said_bye)
		return;
	s->said_bye = true;
	if (s->tls->refusal)
		gnutls_alert_send(s->tls->session, GNUTLS_AL_FATAL, s->tls->refusal);
	else
		gnutls_alert_send_appropriate(s->tls->session, code);
}

/* GnuTLS has a limit of its own, but keeps more than it says. */
static ssize_t pull(gnutls_transport_ptr_t opaque, void *data, size_t length)
{
	struct proto_tls *t = opaque;
	ssize_t n = recv(t->fd, data, length, MSG_DONTWAIT);

	if (n > 0 && !t->established)
		t->taken += (size_t)n;
	if (t->established || t->taken <= HANDSHAKE_MAX)
		return n;
	errno = EIO;
	return -1;
}

/* ---- life ----------------------------------------------------------------------------------- */

int proto_session_secure(struct proto_session *s, struct proto_identity *me, bool accepting,
	const char *peer, struct why *why)
{
	struct proto_tls *t;
	int err;

	if (!me)
		return 0;
	t = calloc(1, sizeof(*t));
	if (!t)
		return session_fail(s, -ENOMEM, why, "no memory for a TLS session");
	t->me = proto_identity_keep(me);
	err = gnutls_init(&t->session, (accepting ? GNUTLS_SERVER : GNUTLS_CLIENT) |
					       GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
					       GNUTLS_NO_TICKETS);
	if (err >= 0)
		err = gnutls_priority_set(t->session, me->priority);
	if (err >= 0)
		err = gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, me->credentials);
	if (err < 0) {
		proto_tls_free(t);
		return session_fail(s, -ENOMEM, why, "cannot begin TLS: %s", gnutls_strerror(err));
	}
	if (accepting)
		gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
	t->fd = s->fd;
	gnutls_session_set_ptr(t->session, t);
	gnutls_transport_set_ptr2(t->session, t, (gnutls_transport_ptr_t)(intptr_t)s->fd);
	gnutls_transport_set_pull_function(t->session, pull);
	snprintf(t->expected, sizeof(t->expected), "%s", peer);
	s->tls = t;
	return 0;
}

struct proto_tls *proto_tls_free(struct proto_tls *t)
{
	if (!t)
		return NULL;
	if (t->session)
		gnutls_deinit(t->session);
	proto_identity_free(t->me);
	free(t);
	return NULL;
}

bool proto_tls_established(const struct proto_tls *t)
{
	return t->established;
}

bool proto_tls_pending(const struct proto_tls *t)
{
	return t->established && gnutls_record_check_pending(t->session) > 0;
}

int proto_session_establish(struct proto_session *s, uint64_t deadline_ns, struct why *why)
{
	struct why flaw;
	int code, err;

	if (s->dead)
		return session_dead(s, why);
	if (!s->tls || s->tls->established)
		return 1;
	while ((code = gnutls_handshake(s->tls->session)) < 0) {
		err = failure(s, code, &flaw);
		if (err == -EINTR || code == GNUTLS_E_WARNING_ALERT_RECEIVED)
			continue;
		if (err != -EAGAIN) {
			say_refusal(s, code);
			return session_fail(s, err, why, "%s", flaw.text);
		}
		err = proto_wait(s->fd,
			gnutls_record_get_direction(s->tls->session) ? POLLOUT : POLLIN,
			deadline_ns);
		if (err < 0)
			return session_fail(
				s, err, why, "cannot wait for %s: %s", s->peer, strerror(-err));
		if (err == 0)
			return 0;
	}
	s->tls->established = true;
	return 1;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

ssize_t proto_tls_recv(struct proto_session *s, void *data, size_t length, struct why *why)
{
	ssize_t n = gnutls_record_recv(s->tls->session, data, length);
	int err;

	if (n >= 0)
		return n;
	if (n == GNUTLS_E_WARNING_ALERT_RECEIVED)
		return -EINTR;
	err = failure(s, (int)n, why);
	if (err == -EBADMSG)
		say_refusal(s, (int)n);
	return err;
}

ssize_t proto_tls_send(struct proto_session *s, const void *data, size_t length, struct why *why)
{
	ssize_t n = gnutls_record_send(
		s->tls->session, data, length < TLS_RECORD_MAX ? length : TLS_RECORD_MAX);

	return n >= 0 ? n : failure(s, (int)n, why);
}
