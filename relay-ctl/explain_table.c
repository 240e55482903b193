/* SPDX-License-Identifier: ISC */
/* From conditions to words: which layer fails, and what a person can do. */
#include <string.h>

#include "explain.h"

#define AGAIN NULL /* the time of the next dial says it */
/* Of two who are one gateway, the connector keeps whom it saw last. */
#define TAKEN "another that uses this gateway's id may take it from us"
#define OTHERS                                                                 \
	"see whether another relayd, on a cloned host for instance, uses the " \
	"id of this gateway (relay-ctl show gateways $g); if none does, ask "  \
	"who runs the connector why it ends"

/* The first that holds counts: the more particular stand first. */
static const struct finding rows[] = {
    {.state = "stopping",
	.what = "relayd is stopping, or the gateway is being switched off",
	.next = "it ends within seconds"},
    {.state = "disabled",
	.with = F_REVOKED,
	.layer = AT_CREDENTIAL,
	.what = "the connector refused the credential twice after it had "
		"worked: it counts as revoked",
	.next = "nothing by itself, not after a restart either",
	.todo = "$r"},
    {.state = "disabled",
	.what = "nothing fails: an operator switched it off",
	.next = "nothing by itself, not after a restart either",
	.todo = "relay-ctl enable $g switches it on"},
    {.state = "unprovisioned",
	.with = F_PINNED,
	.layer = AT_CREDENTIAL,
	.what = "there is no credential that can be used",
	.next = "it connects by itself as soon as there is one",
	.todo = "mend what the evidence names: a file is looked at again by "
		"itself within seconds; or take the secret out of the "
		"configuration, relay-ctl reload, and relay-ctl enroll $g"},
    {.state = "unprovisioned",
	.layer = AT_CREDENTIAL,
	.what = "there is no credential that can be used",
	.next = "it connects by itself as soon as there is one",
	.todo = "mend what the evidence names and relay-ctl reload, or get one "
		"with relay-ctl enroll $g or relay-ctl import $g FILE"},
    {.state = "dormant",
	.what = "nothing fails: it is ready for the host's suspend, and the "
		"connector keeps what comes",
	.todo = "relay-ctl wake $g ends it now"},
    {.state = "idle",
	.text = "asked",
	.what = "nothing fails: it sleeps as asked, and the connector keeps "
		"what comes",
	.next = "it dials when an agent attaches or sends, when an operator "
		"sends, or when woken",
	.todo = "relay-ctl wake $g ends it now"},
    {.state = "idle",
	.layer = AT_AGENTS,
	.what = "nobody takes events, so it sleeps, and the connector keeps "
		"what comes",
	.next = "it dials as soon as an agent attaches",
	.todo = "start an agent on $s; relay-ctl wake $g connects without one"},

    /* It dials, or would. */
    {.code = 4401,
	.with = F_DIALS | F_FAILED | F_SKEWED,
	.layer = AT_CREDENTIAL,
	.what = "the clocks differ so much that every token looks stale: that "
		"is no wrong key",
	.next = AGAIN,
	.todo = "set this host's clock (timedatectl), or have the connector's "
		"set"},
    {.code = 4401,
	.text = "expired",
	.with = F_DIALS | F_FAILED,
	.layer = AT_CREDENTIAL,
	.what = "the connector holds our tokens to be expired",
	.next = AGAIN,
	.todo = "compare this host's clock with the connector's; that ends by "
		"itself when a fresh token is taken"},
    {.code = 4401,
	.with = F_DIALS | F_FAILED | F_PINNED | F_OTHER,
	.layer = AT_CREDENTIAL,
	.what = "the connector does not take this credential, and took the "
		"one before it",
	.next = AGAIN,
	.todo = "see that the new secret is the connector's for this gateway "
		"(relay-ctl show credentials $g); a secret file that is "
		"changed is taken by itself: relay-ctl show config $g names "
		"it"},
    {.code = 4401,
	.with = F_DIALS | F_FAILED | F_PINNED,
	.without = F_WORKED,
	.layer = AT_CREDENTIAL,
	.what = "the connector does not take the credential, and never did: it "
		"may not know this gateway yet, or another secret for it",
	.next = AGAIN,
	.todo = "see that id and secret are the connector's for this gateway "
		"(relay-ctl show credentials $g); a secret file that is "
		"changed is taken by itself: relay-ctl show config $g names "
		"it"},
    {.code = 4401,
	.with = F_DIALS | F_FAILED,
	.without = F_WORKED,
	.layer = AT_CREDENTIAL,
	.what = "the connector does not take the credential, and never did: it "
		"may not know this gateway yet, or another secret for it",
	.next = AGAIN,
	.todo = "see that id and secret are the connector's for this gateway "
		"(relay-ctl show credentials $g), or relay-ctl enroll $g"},
    {.code = 4401,
	.with = F_DIALS | F_FAILED,
	.layer = AT_CREDENTIAL,
	.what = "the connector refused the credential, which worked before",
	.next = "one more dial with a fresh token decides: refused again, the "
		"gateway is disabled",
	.todo = "ask who runs the connector whether it was revoked"},
    {.phase = "name",
	.with = F_DIALS,
	.layer = AT_NAME,
	.what = "the name $h does not resolve",
	.next = AGAIN,
	.todo = "check the gateway's url, $u; then what resolves names: "
		"getent hosts $h"},
    {.phase = "proxy",
	.with = F_DIALS,
	.layer = AT_CONNECT,
	.what = "the proxy does not let us through",
	.next = AGAIN,
	.todo = "check the gateway's proxy setting, and ask who runs the proxy "
		"whether it may connect to $h"},
    {.phase = "connect",
	.text = "refused",
	.with = F_DIALS,
	.layer = AT_CONNECT,
	.what = "nobody listens at that address and port",
	.next = AGAIN,
	.todo = "see whether the connector runs, and whether host and port of "
		"the gateway's url are right: $u"},
    {.phase = "connect",
	.text = "unreachable|No route",
	.with = F_DIALS,
	.layer = AT_CONNECT,
	.what = "this host has no way to that address",
	.next = AGAIN,
	.todo = "check this host's network: ip route get ADDRESS"},
    {.phase = "connect",
	.text = "timed out|not answer|within",
	.with = F_DIALS,
	.layer = AT_CONNECT,
	.what = "nothing answers at that address",
	.next = AGAIN,
	.todo = "see whether a firewall between drops what is sent, and "
		"whether the connector's host is up"},
    {.phase = "connect",
	.with = F_DIALS,
	.layer = AT_CONNECT,
	.what = "no connection could be made",
	.next = AGAIN,
	.todo = "what the evidence says of it; the gateway's url is $u"},
    {.phase = "dialling",
	.with = F_DIALS,
	.layer = AT_CONNECT,
	.what = "the dial came to no end, or was voided",
	.next = AGAIN,
	.todo = "relay-ctl show processes tells whether the dialer was "
		"restarted; relayd's log has why"},
    {.phase = "configuration",
	.with = F_DIALS,
	.layer = AT_CONFIGURATION,
	.what = "the configuration was changed while it dialled",
	.next = AGAIN},
    {.phase = "tls",
	.text = "expired",
	.with = F_DIALS,
	.layer = AT_TLS,
	.what = "the connector's certificate has expired, or our clock is "
		"wrong",
	.next = AGAIN,
	.todo = "look at this host's clock (date) and at the certificate's end "
		"(relay-ctl check $g); if the clock is right, it must be "
		"renewed there"},
    {.phase = "tls",
	.text = "not yet valid",
	.with = F_DIALS,
	.layer = AT_TLS,
	.what = "the connector's certificate is not valid yet: our clock may "
		"be behind",
	.next = AGAIN,
	.todo = "set this host's clock (timedatectl)"},
    {.phase = "tls",
	.text = "mismatch",
	.with = F_DIALS,
	.layer = AT_TLS,
	.what = "the connector's certificate is for another name than $h",
	.next = AGAIN,
	.todo =
	    "relay-ctl check $g shows its names: put one into the gateway's "
	    "url, or into tls.server_name"},
    {.phase = "tls",
	.text = "issuer|self-signed|self signed|certificate",
	.with = F_DIALS,
	.layer = AT_TLS,
	.what = "the connector's certificate is not from an authority that we "
		"trust",
	.next = AGAIN,
	.todo = "relay-ctl check $g shows the issuer: if it is a private one, "
		"name its file in the gateway's tls.ca_file; if not, do not "
		"trust this network"},
    {.phase = "tls",
	.with = F_DIALS,
	.layer = AT_TLS,
	.what = "TLS does not come up: what listens there may speak something "
		"else",
	.next = AGAIN,
	.todo = "check scheme and port of the gateway's url: $u"},
    {.phase = "token",
	.with = F_DIALS,
	.layer = AT_CREDENTIAL,
	.what = "relay-authd gave no token",
	.next = AGAIN,
	.todo = "relay-ctl show credentials $g, relay-ctl show processes, and "
		"relayd's log"},
    {.phase = "upgrade",
	.http = 401,
	.with = F_DIALS | F_SKEWED,
	.layer = AT_CREDENTIAL,
	.what = "the upgrade is refused, and the clocks differ so much that "
		"every token looks stale",
	.next = AGAIN,
	.todo = "set this host's clock (timedatectl), or have the connector's "
		"set"},
    {.phase = "upgrade",
	.http = 401,
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what =
	    "the upgrade is refused as unauthorized, by the connector or by "
	    "a proxy before it; that is never taken for a revocation",
	.next = AGAIN,
	.todo = "ask who runs the connector, and see that id and secret are "
		"its own for this gateway (relay-ctl show credentials $g)"},
    {.phase = "upgrade",
	.http = 403,
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "the upgrade is forbidden, by the connector or by something "
		"before it, a filter for instance",
	.next = AGAIN,
	.todo = "ask who runs the connector whether this host's address may "
		"use it"},
    {.phase = "upgrade",
	.http = 300,
	.http_to = 399,
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "the connector answers that it is elsewhere; redirections are "
		"not followed",
	.next = AGAIN,
	.todo = "ask for its new address, and change the gateway's url: $u"},
    {.phase = "upgrade",
	.http = 429,
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "the connector, or a proxy before it, holds that we dial too "
		"often",
	.next = AGAIN,
	.todo = "see that no other host uses the same id, and set "
		"reconnect.max higher"},
    {.phase = "upgrade",
	.http = 404,
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "what answers there knows no such path: it may not be a "
		"connector",
	.next = AGAIN,
	.todo = "check host and path of the gateway's url: $u"},
    {.phase = "upgrade",
	.http = 400,
	.http_to = 499,
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "what answers there does not take such a request: it may not "
		"be a connector, or a proxy before it passes no WebSockets",
	.next = AGAIN,
	.todo = "check host and path of the gateway's url: $u"},
    {.phase = "upgrade",
	.http = 200,
	.http_to = 299,
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "a web server answers there, and no connector: it does not "
		"change to a WebSocket",
	.next = AGAIN,
	.todo = "check host and path of the gateway's url: $u"},
    {.phase = "upgrade",
	.http = 500,
	.http_to = 599,
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "the connector, or a proxy before it, is in trouble",
	.next = AGAIN,
	.todo =
	    "nothing here; it comes back by itself when the connector does"},
    {.phase = "upgrade",
	.text = "no answer",
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "TLS is up, and then nothing is answered: the connector hangs "
		"or has too much to do, or something else listens there",
	.next = AGAIN,
	.todo = "nothing, if it comes back; ask who runs the connector; the "
		"gateway's url is $u"},
    {.phase = "upgrade",
	.text = "closed by the peer|reset by the peer",
	.with = F_DIALS | F_PLAIN,
	.layer = AT_UPGRADE,
	.what = "the connection is cut instead of an answer: what listens "
		"there may want TLS, and the gateway's url asks for none",
	.next = AGAIN,
	.todo = "check scheme and port of the gateway's url: $u"},
    {.phase = "upgrade",
	.text = "closed by the peer|reset by the peer",
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "the connection is cut instead of an answer: the connector may "
		"be restarting, or something between does not let us through",
	.next = AGAIN,
	.todo = "nothing, if it comes back; if not, ask who runs the "
		"connector, or what stands between"},
    {.phase = "upgrade",
	.text = "Sec-WebSocket-Accept",
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what = "the answer is to another request than ours: something between "
		"answers in the connector's place",
	.next = AGAIN,
	.todo = "look for a proxy or a cache between that does not know "
		"WebSockets"},
    {.phase = "upgrade",
	.with = F_DIALS,
	.layer = AT_UPGRADE,
	.what =
	    "the upgrade to a WebSocket is not answered as it must be: what "
	    "answers there may not be a connector",
	.next = AGAIN,
	.todo = "check the gateway's url: $u"},
    {.phase = "asking the time",
	.with = F_DIALS,
	.layer = AT_CREDENTIAL,
	.what = "the credential was refused twice, and the connector does not "
		"tell its time, without which that is not believed",
	.next = AGAIN,
	.todo = "ask who runs the connector"},
    {.phase = "handshake",
	.text = "no descriptor",
	.with = F_DIALS,
	.layer = AT_HANDSHAKE,
	.what = "the connector took the connection and does not answer our "
		"hello with a descriptor",
	.next = AGAIN,
	.todo = "see that the platforms of the gateway's identities are those "
		"the connector has for it, and ask who runs it"},
    {.code = 1008,
	.with = F_DIALS | F_FAILED,
	.layer = AT_HANDSHAKE,
	.what = "the connector does not want this gateway: it closes, for its "
		"policy's sake",
	.next = AGAIN,
	.todo = "ask who runs the connector, with what the evidence says"},
    {.code = 1012,
	.with = F_DIALS | F_FAILED,
	.layer = AT_HANDSHAKE,
	.what = "the connector is being restarted",
	.next = AGAIN,
	.todo = "nothing; it comes back by itself when the connector does"},
    {.code = 1013,
	.with = F_DIALS | F_FAILED,
	.layer = AT_HANDSHAKE,
	.what = "the connector has too much to do, and asks us to come later",
	.next = AGAIN,
	.todo = "nothing; it comes back by itself when the connector does"},
    {.phase = "handshake",
	.with = F_DIALS,
	.layer = AT_HANDSHAKE,
	.what = "the connection ended before the handshake was complete",
	.next = AGAIN,
	.todo = "ask who runs the connector, with what the evidence says"},
    {.text = "no pong",
	.with = F_DIALS | F_FAILED,
	.layer = AT_LINK,
	.what = "the connection was up and went dead: nothing was heard any "
		"more",
	.next = AGAIN,
	.todo = "if it happens often, look for something between that drops "
		"quiet connections (NAT, firewall)"},
    {.code = 1009,
	.with = F_DIALS | F_FAILED,
	.layer = AT_LINK,
	.what = "the connector closed, for what we sent was too long for it",
	.next = AGAIN,
	.todo = "relay-ctl tap $g shows what is sent, and how long it is"},
    {.text = "broke the WebSocket protocol",
	.with = F_DIALS | F_FAILED,
	.layer = AT_LINK,
	.what = "what came was no WebSocket any more: the connector, or "
		"something between, is faulty",
	.next = AGAIN,
	.todo = "tell who runs the connector, with what the evidence says"},
    {.with = F_DIALS | F_FAILED | F_REPEATS,
	.layer = AT_LINK,
	.what = "the connection was up and ended, several times in a row and "
		"soon: " TAKEN,
	.next = AGAIN,
	.todo = OTHERS},
    {.with = F_DIALS | F_FAILED,
	.layer = AT_LINK,
	.what = "the connection was up and ended",
	.next = AGAIN,
	.todo = "nothing, if it comes back; the connector may have been "
		"restarted"},
    {.with = F_DIALS,
	.what = "nothing has failed so far: the first dial is under way",
	.next = AGAIN},

    /* It is connected. */
    {.with = F_REPEATS,
	.what = "connected, but the connections before ended soon after their "
		"handshakes: " TAKEN,
	.todo = OTHERS},
    {.with = F_FULL,
	.without = F_AGENTS,
	.layer = AT_AGENTS,
	.what = "no agent is attached, and too much waits for one: the "
		"connector was asked to keep what comes",
	.next = "it takes events again when half of what waits is done",
	.todo = "start an agent on $s"},
    {.with = F_FULL,
	.layer = AT_AGENTS,
	.what = "more waits than the agents take: the connector was asked to "
		"keep what comes",
	.next = "it takes events again when half of what waits is done",
	.todo = "relay-ctl show agents $g tells who is slow; start more of "
		"them"},
    {.with = F_SLOW,
	.layer = AT_AGENTS,
	.what = "connected, but an agent does not acknowledge: $a",
	.next = "when its ack_timeout is over, it is cut off and its events go "
		"to another agent, as soon as there is one",
	.todo = "see what that agent is doing; it should acknowledge an event "
		"when it has taken it, not when the turn is over"},
    {.with = F_AGENTS,
	.without = F_SERVED,
	.layer = AT_AGENTS,
	.what =
	    "connected, but no agent takes new events: all said going_idle, "
	    "or no hello yet",
	.todo = "start an agent on $s"},
    {.with = F_HOLD,
	.without = F_AGENTS,
	.layer = AT_AGENTS,
	.what = "connected, but no agent is attached: what comes is kept here",
	.next = "it stays connected, as configured (when_no_agent: hold)",
	.todo = "start an agent on $s"},
    {.without = F_AGENTS,
	.layer = AT_AGENTS,
	.what = "connected, but no agent is attached",
	.todo = "start an agent on $s"},
    {.with = F_SKIPPED,
	.layer = AT_CONFIGURATION,
	.what = "connected, but not for all of its identities",
	.next = "the others are tried again by themselves",
	.todo = "see that the connector knows the bots of the gateway's "
		"identities"},
    {.with = F_SKEWED,
	.what = "nothing fails yet, but the clocks differ so much that the "
		"next dial's token may be refused",
	.todo = "set this host's clock (timedatectl), or have the connector's "
		"set"},
    {.with = F_OTHER,
	.without = F_UNUSABLE,
	.what = "nothing fails yet, but the next dial uses a new credential "
		"that was not tried so far",
	.todo = "relay-ctl reconnect $g tries it now"},
    {.what = "nothing fails"},
};

/* Whether one of the words a|b|c stands in the text. */
static int
says(const char *text, const char *words)
{
	size_t n;

	for (; *words != '\0'; words += n + (words[n] == '|')) {
		n = strcspn(words, "|");
		if (memmem(text, strlen(text), words, n) != NULL)
			return 1;
	}
	return 0;
}

static int
holds(const struct finding *r, const struct facts *f)
{
	int to = r->http_to != 0 ? r->http_to : r->http;
	int dials = (f->is & F_DIALS) != 0;

	return (f->is & r->with) == r->with && (f->is & r->without) == 0 &&
	    (r->state == NULL || strcmp(r->state, f->state) == 0) &&
	    (r->phase == NULL || strcmp(r->phase, f->failed_phase) == 0) &&
	    (r->code == 0 || r->code == f->code) &&
	    (r->http == 0 || (f->http >= r->http && f->http <= to)) &&
	    (r->text == NULL || says(dials ? f->failed : f->reason, r->text));
}

const struct finding *
explain_find(const struct facts *f)
{
	const struct finding *r = rows;

	while (r < rows + sizeof(rows) / sizeof(rows[0]) - 1 && !holds(r, f))
		r++;
	return r;
}
