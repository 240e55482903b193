/* SPDX-License-Identifier: ISC */
/* Every limit that more than one file knows, each with its reason. */
#ifndef LIMIT_H
#define LIMIT_H

/* Gateways of one relayd: the goal is a thousand; a round number above. */
#define LIMIT_GATEWAYS 1024
/* Identities (platform + bot) fronted by one gateway: more than the platforms
 * that exist. */
#define LIMIT_IDENTITIES 32
/* Characters of a gateway's name: it is part of a socket's path, which the
 * kernel holds to 108 bytes, run directory included. */
#define LIMIT_NAME 32
/* Bytes of a gateway id, bot id or platform name: ids of the platforms we know
 * have at most 64. */
#define LIMIT_ID       128
#define LIMIT_PLATFORM 32
/* Bytes of a path in the configuration (the kernel's PATH_MAX is 4096). */
#define LIMIT_PATH 1024
/* Bytes of a per-gateway secret: usually 64 hex digits. */
#define LIMIT_SECRET 4096
/* Bytes of a bearer token: base64url of id, ten digits and 64 hex digits. */
#define LIMIT_TOKEN 512
/* Bytes of an identity token: a JWT with many claims has some kilobytes. */
#define LIMIT_BEARER 16384
/* HTTP exchanges under way at once: each is a process with a TLS library. */
#define LIMIT_EXCHANGES 8
/* Bytes of the evidence of a revocation: two refusals with their reasons. */
#define LIMIT_EVIDENCE 1024
/* Bytes of one reason or error text that travels or is shown. */
#define LIMIT_REASON 256
/* Bytes of one log line, all fields together: long enough for a path and a
 * reason, short enough that a flood stays readable. */
#define LIMIT_LOG_LINE 2048

/* Pipes between our processes: bytes of one packet; more travels as a
 * descriptor. */
#define LIMIT_PACKET 65536
/* Packets that wait for a peer that does not read, in bytes: a whole
 * configuration of LIMIT_GATEWAYS gateways. */
#define LIMIT_PIPE_QUEUE (8U * 1024 * 1024)

/* A line on the link (CONTRACT 3), and the same on the agents' socket. */
#define LIMIT_LINE (1024U * 1024)
/* A line that a control client sends: `send` carries a message. */
#define LIMIT_CONTROL_LINE (128U * 1024)
/* A configuration file: a thousand gateways at a kilobyte each. */
#define LIMIT_CONF_FILE (4U * 1024 * 1024)
/* A CA bundle: the distributions' have a quarter of a megabyte. */
#define LIMIT_CA_FILE (4U * 1024 * 1024)

/* Agents attached to one gateway, and to all: each may hold a line and an
 * output queue. */
#define LIMIT_AGENTS	 64
#define LIMIT_AGENTS_ALL 2048
/* Control and status clients of one relayd: dashboards and shells. */
#define LIMIT_CONTROL 64
/*
 * Descriptors of the engine that no agent and no control client is given: a
 * connection for each gateway's link, and some for new pipes to peers that
 * were restarted and for what a new configuration brings.  Without a
 * descriptor to receive these the engine can neither dial nor go on.  With
 * few gateways a round number, which a small limit of open files can spare.
 */
#define LIMIT_FD_OTHER 32
#define LIMIT_FD_LEAST 64
#define LIMIT_FD_RESERVE(gateways)                    \
	((gateways) + LIMIT_FD_OTHER > LIMIT_FD_LEAST \
		? (gateways) + LIMIT_FD_OTHER         \
		: LIMIT_FD_LEAST)
/* Deliveries in flight to one agent that it may ask for at most. */
#define LIMIT_WINDOW 4096
/* Bytes waiting for one agent that does not read; then it is cut off.  Larger
 * than a window of common events and than any single line. */
#define LIMIT_AGENT_QUEUE (8U * 1024 * 1024)
/* Bytes of events of one gateway that no agent has taken, where no journal
 * outlives the engine; then they stay with the connector. */
#define LIMIT_PENDING_MAX (18U * 1024 * 1024)
/* Outbound requests without an answer: of one agent, and of one gateway. */
#define LIMIT_OUTBOUND_AGENT 1024
#define LIMIT_OUTBOUND	     4096
/* Bytes waiting to be written to the connector. */
#define LIMIT_LINK_QUEUE (16U * 1024 * 1024)
/* Chats whose scope is remembered (CONTRACT 7), least recently used out. */
#define LIMIT_CHATS 10000
/* Prompts whose sender is remembered, of one gateway, the oldest out: people
 * answer within hours, and 4,096 questions wait at no time. */
#define LIMIT_PROMPTS 4096
/* Ids acknowledged lately, to recognise a replay (DESIGN 2). */
#define LIMIT_SEEN 65536
/* The memory they stand in: a header and 16 bytes for each. */
#define LIMIT_SEEN_BYTES (64 + LIMIT_SEEN * 16)
/* Bytes of a bufferId: the connector's are some 40. */
#define LIMIT_BUFFER_ID 256
/* Of one that is too long, so that its event is refused: still acknowledged, so
 * that the connector's replay goes on. */
#define LIMIT_BUFFER_ID_REFUSED 4096
/*
 * Moments of events that one gateway remembers, the last ones: a common event
 * has two or three, so those of some 200 events, an hour of a busy chat.  They
 * take 20 KiB, which a gateway without events does not have.
 */
#define LIMIT_STAGES 512
/* Sessions remembered without open events, least recently used out: placement
 * alone depends on them. */
#define LIMIT_SESSIONS 65536
/* Bytes of a session key: the parts of CONTRACT 5 at their longest. */
#define LIMIT_SESSION_KEY 1024

#endif
