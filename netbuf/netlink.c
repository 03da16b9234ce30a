/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to route netlink, several in one datagram. libnl builds and parses the messages; sending
 * is done here because its senders allocate per message and wait for one answer at a time, which is
 * too slow inside a guest's pause. The kernel answers each request of a datagram separately and
 * goes on after one that failed (netlink_rcv_skb in net/netlink/af_netlink.c).
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "common/cleanup.h"
#include "netbuf/internal.h"

#define ANSWER_TIMEOUT_S 5 /* the kernel answers within sendmsg; this only bounds a bug */

struct netbuf_link {
	struct nl_sock *sock;
	int fd;
	uint32_t seq;
	char said[128];
	_Alignas(struct nlmsghdr) uint8_t answer[32768];
};

int netbuf_link_open(struct netbuf_link **ret_link)
{
	struct netbuf_link *link = calloc(1, sizeof(*link));
	struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
	int one = 1, err;

	if (!link)
		return -ENOMEM;
	link->sock = nl_socket_alloc();
	if (!link->sock || nl_connect(link->sock, NETLINK_ROUTE) < 0) {
		err = link->sock && errno ? -errno : -ENOMEM;
		netbuf_link_close(link);
		return err;
	}
	link->fd = nl_socket_get_fd(link->sock);
	setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	/* Conveniences that an old kernel may lack: shorter answers, and a reason in words. */
	setsockopt(link->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(link->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	*ret_link = link;
	return 0;
}

struct netbuf_link *netbuf_link_close(struct netbuf_link *link)
{
	if (link)
		nl_socket_free(link->sock);
	free(link);
	return NULL;
}

int netbuf_batch_append(struct netbuf_batch *batch, struct nl_msg *msg)
{
	struct nlmsghdr *header;
	uint8_t *bytes;
	size_t size;

	if (!msg)
		return -ENOMEM;
	header = nlmsg_hdr(msg);
	header->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	size = NLMSG_ALIGN(header->nlmsg_len);
	bytes = realloc(batch->bytes, batch->length + size);
	if (bytes) {
		memset(bytes + batch->length, 0, size);
		memcpy(bytes + batch->length, header, header->nlmsg_len);
		batch->bytes = bytes;
		batch->length += size;
		batch->count++;
	}
	nlmsg_free(msg);
	return bytes ? 0 : -ENOMEM;
}

void netbuf_batch_dispose(struct netbuf_batch *batch)
{
	free(batch->bytes);
	memset(batch, 0, sizeof(*batch));
}

static void note_what_was_said(struct netbuf_link *link, struct nlmsghdr *header)
{
	const struct nlmsgerr *answer = nlmsg_data(header);
	struct nlattr *text;
	int skip = sizeof(*answer);

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN((int)(answer->msg.nlmsg_len - sizeof(answer->msg)));
	if (skip < 0 || skip > nlmsg_datalen(header))
		return;
	text = nlmsg_find_attr(header, skip, NLMSGERR_ATTR_MSG);
	if (text)
		nla_strlcpy(link->said, text, sizeof(link->said));
}

static ssize_t receive(struct netbuf_link *link)
{
	ssize_t n;

	do
		n = recv(link->fd, link->answer, sizeof(link->answer), MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return (size_t)n > sizeof(link->answer) ? -EMSGSIZE : n;
}

int netbuf_link_batch(struct netbuf_link *link, struct netbuf_batch *batch, size_t *ret_failed,
	netbuf_reply reply, void *arg)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	uint32_t first = link->seq + 1;
	size_t missing = batch->count;
	int first_err = 0;
	ssize_t n;

	link->said[0] = '\0';
	for (size_t at = 0; at < batch->length;) {
		struct nlmsghdr *header = (struct nlmsghdr *)(void *)(batch->bytes + at);

		header->nlmsg_seq = ++link->seq;
		at += NLMSG_ALIGN(header->nlmsg_len);
	}
	if (!batch->count)
		return 0;
	do
		n = sendto(link->fd, batch->bytes, batch->length, MSG_NOSIGNAL,
			(const struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (ret_failed)
			*ret_failed = 0;
		return -errno;
	}
	while (missing) {
		struct nlmsghdr *header = (struct nlmsghdr *)(void *)link->answer;
		int left;

		n = receive(link);
		if (n < 0) {
			if (ret_failed)
				*ret_failed = batch->count - missing;
			return (int)n;
		}
		left = (int)n;
		for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left)) {
			const struct nlmsgerr *answer = nlmsg_data(header);

			/* Late answer to a request that timed out. */
			if (header->nlmsg_seq - first >= batch->count)
				continue;
			if (header->nlmsg_type != NLMSG_ERROR) {
				if (reply)
					reply(header, arg);
				continue;
			}
			missing--;
			if (!answer->error || first_err)
				continue;
			first_err = answer->error;
			if (ret_failed)
				*ret_failed = header->nlmsg_seq - first;
			note_what_was_said(link, header);
		}
	}
	return first_err;
}

int netbuf_link_one(struct netbuf_link *link, struct nl_msg *msg, netbuf_reply reply, void *arg)
{
	struct netbuf_batch batch = {0};
	int err;

	err = netbuf_batch_append(&batch, msg);
	if (!err)
		err = netbuf_link_batch(link, &batch, NULL, reply, arg);
	netbuf_batch_dispose(&batch);
	return err;
}

const char *netbuf_link_said(const struct netbuf_link *link, int err)
{
	return link && link->said[0] ? link->said : strerror(-err);
}
