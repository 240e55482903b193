/* SPDX-License-Identifier: ISC */
/* The metrics there are.  No label tells of a chat or of a person. */
#include <inttypes.h>
#include <stdio.h>

#include "gwtext.h"
#include "metrics.h"

static void
put_version(struct metric_sample *s)
{
	metrics_put(s, "version", SPAN_LIT(VERSION), "1");
}

/* Whether nothing newer than what is lived by was refused. */
static void
put_reloaded(struct metric_sample *s)
{
	struct obj *o = &s->part[METRIC_CONFIG];

	if (field_raw(o, "taken").p != NULL)
		metrics_put(s, NULL, (struct span){NULL, 0},
		    field_int(o, "refused_at", -1) == -1 ? "1" : "0");
}

/* One-hot: 1 for the state it is in, 0 for the others. */
static void
put_state(struct metric_sample *s)
{
	struct span state = field_str(&s->part[METRIC_GATEWAY], "state");
	int i, is = gwtext_index(state);

	for (i = 0; i < GWTEXT_STATES; i++)
		metrics_put(
		    s, "state", span_str(gwtext_state(i)), i == is ? "1" : "0");
	if (is == -1 && state.p != NULL)
		metrics_put(s, "state", state, "1");
}

/* The number that says why it ended: of WebSocket or of HTTP. */
static void
put_code(struct metric_sample *s)
{
	struct obj *o = &s->part[s->metric->part];
	int64_t code = field_int(o, "code", -1);
	int64_t status = field_int(o, "http_status", -1);
	char text[32];

	if (field_raw(o, "at").p == NULL)
		return;
	if (code >= 0)
		snprintf(text, sizeof(text), "%" PRId64, code);
	else if (status >= 0)
		snprintf(text, sizeof(text), "http_%" PRId64, status);
	else
		snprintf(text, sizeof(text), "none");
	metrics_put(s, "code", span_str(text), "1");
}

static void
put_skipped(struct metric_sample *s)
{
	struct span elem,
	    all = field_raw(&s->part[METRIC_GATEWAY], "identities");
	struct obj *o = s->part + METRIC_PARTS;
	char number[16];
	size_t pos = 0;
	int n = 0;

	while (json_each(all, &pos, &elem) == 1)
		if (obj_parse(o, elem) == 0 &&
		    field_str(o, "skipped").p != NULL)
			n++;
	snprintf(number, sizeof(number), "%d", n);
	metrics_put(s, NULL, (struct span){NULL, 0}, number);
}

static void
put_running(struct metric_sample *s)
{
	metrics_put(s, NULL, (struct span){NULL, 0},
	    span_eq(field_str(&s->part[METRIC_PROCESS], "state"),
		SPAN_LIT("running"))
		? "1"
		: "0");
}

/* How many layers were asked for and do not hold. */
static void
put_lacking(struct metric_sample *s)
{
	struct obj *o = s->part + METRIC_PARTS;
	char number[16];
	int at, n = 0;

	if (obj_sub(o, &s->part[METRIC_PROCESS], "layers") == -1)
		return;
	for (at = json_first(&o->doc, JSON_ROOT); at != -1;
	     at = json_next(&o->doc, at))
		n += span_eq(json_str_raw(&o->doc, at), SPAN_LIT("lacking"));
	snprintf(number, sizeof(number), "%d", n);
	metrics_put(s, NULL, (struct span){NULL, 0}, number);
}

/* clang-format off */
#define OWN(name, counter, member, help) \
	{name, help, counter, METRIC_OWN, METRIC_INT, NULL, NULL, NULL, \
	    offsetof(struct metrics_own, member), NULL}
#define GAUGE(name, part, how, key, help) \
	{name, help, 0, METRIC_##part, METRIC_##how, key, NULL, NULL, 0, NULL}
#define COUNT(name, part, key, help) \
	{name, help, 1, METRIC_##part, METRIC_INT, key, NULL, NULL, 0, NULL}
#define COUNT_AS(name, key, label, help) \
	{name, help, 1, METRIC_COUNTERS, METRIC_INT, key, NULL, label, 0, NULL}
#define AGENTS(name, how, of, help) \
	{name, help, 0, METRIC_GATEWAY, METRIC_##how, "agents", of, NULL, 0, NULL}
#define LABEL(name, part, key, of, help) \
	{name, help, 0, METRIC_##part, METRIC_LABEL, key, of, NULL, 0, NULL}
#define PUT(name, part, put, help) \
	{name, help, 0, METRIC_##part, METRIC_PUT, NULL, NULL, NULL, 0, put}

const struct metric metrics_table[] = {
    OWN("relayd_up", 0, up, "Whether relayd answered with its status."),
    LABEL("relayd_build_info", TOP, "version", "version",
	"The version of relayd."),
    GAUGE("relayd_start_timestamp_seconds", TOP, INT, "started",
	"When the engine started, which counts from then on."),
    PUT("relayd_config_last_reload_successful", CONFIG, put_reloaded,
	"Whether the last start or reload took its configuration."),
    GAUGE("relayd_config_last_reload_success_timestamp_seconds", CONFIG, INT,
	"taken", "When the configuration was taken that relayd lives by."),
    GAUGE("relayd_config_last_reload_refused_timestamp_seconds", CONFIG, INT,
	"refused_at", "When a newer one was refused, while one is."),

    /* The link. */
    PUT("relayd_gateway_state", GATEWAY, put_state,
	"1 for the state the gateway is in, 0 for the others."),
    GAUGE("relayd_gateway_state_timestamp_seconds", GATEWAY, INT, "since",
	"When that state began."),
    GAUGE("relayd_gateway_switched_off", GATEWAY, BOOL, "switched_off",
	"Whether an operator disabled it."),
    GAUGE("relayd_gateway_attempts", GATEWAY, INT, "attempt",
	"Dials since the last healthy connection."),
    GAUGE("relayd_gateway_next_attempt_seconds", GATEWAY, SECONDS,
	"next_attempt_in_s", "Time until the next dial, while one is planned."),
    GAUGE("relayd_gateway_idle_in_seconds", GATEWAY, SECONDS, "idle_in_s",
	"Time until the link goes idle for want of an agent."),
    GAUGE("relayd_gateway_last_handshake_timestamp_seconds", GATEWAY, INT,
	"last_handshake_at", "When a connection came up last."),
    GAUGE("relayd_gateway_last_pong_timestamp_seconds", GATEWAY, INT,
	"last_pong_at", "When the connector answered a ping last."),
    GAUGE("relayd_gateway_last_heard_timestamp_seconds", GATEWAY, INT,
	"last_heard_at", "When anything came from the connector last."),
    GAUGE("relayd_gateway_last_event_timestamp_seconds", GATEWAY, INT,
	"last_inbound_at", "When an event came from the connector last."),
    GAUGE("relayd_gateway_last_close_timestamp_seconds", CLOSE, INT, "at",
	"When a connection, or an attempt at one, ended last."),
    PUT("relayd_gateway_last_close", CLOSE, put_code,
	"1, with the code that it ended with: of WebSocket, http_ and a status, "
	"or none."),
    GAUGE("relayd_gateway_last_failure_timestamp_seconds", FAILURE, INT, "at",
	"When a dial or a connection failed last."),
    LABEL("relayd_gateway_last_failure", FAILURE, "phase", "phase",
	"1, with the phase in which it failed."),
    GAUGE("relayd_gateway_ping_seconds", GATEWAY, MS, "rtt_ms",
	"How long the last ping took."),
    GAUGE("relayd_gateway_clock_skew_seconds", GATEWAY, INT, "clock_skew_s",
	"How far the connector's clock is ahead of ours."),
    COUNT("relayd_gateway_dials_total", COUNTERS, "dials", "Dials begun."),
    COUNT("relayd_gateway_handshakes_total", COUNTERS, "handshakes",
	"Connections that came up."),
    COUNT("relayd_gateway_losses_total", COUNTERS, "losses",
	"Connections that were lost."),

    /* What came from the connector. */
    COUNT("relayd_gateway_received_bytes_total", COUNTERS, "bytes_in",
	"Bytes from the connector."),
    COUNT("relayd_gateway_received_lines_total", COUNTERS, "lines_in",
	"Lines from the connector."),
    COUNT("relayd_gateway_bad_lines_total", COUNTERS, "lines_bad",
	"Lines from the connector that could not be read."),
    COUNT("relayd_gateway_unknown_frames_total", COUNTERS, "unknown_frames",
	"Frames of a type that this version does not know."),
    COUNT("relayd_gateway_events_total", COUNTERS, "events_in",
	"Events and forwarded requests from the connector."),
    COUNT("relayd_gateway_events_replayed_total", COUNTERS, "replays",
	"Events that were known already."),
    COUNT("relayd_gateway_events_refused_total", COUNTERS, "events_left",
	"Events not taken because too much waited for agents."),
    COUNT("relayd_gateway_forwards_dropped_total", COUNTERS,
	"forwards_dropped",
	"Forwarded webhooks that were acknowledged and given to nobody."),
    COUNT("relayd_gateway_acks_total", COUNTERS, "acks_out",
	"Acknowledgements sent to the connector."),
    COUNT("relayd_gateway_interrupts_total", COUNTERS, "interrupts",
	"Interrupts, of the connector, of agents and of operators."),

    /* Agents. */
    AGENTS("relayd_gateway_agents", LEN, NULL, "Agents attached."),
    AGENTS("relayd_gateway_agents_unacknowledged_events", SUM,
	"unacknowledged", "Events that agents have and did not acknowledge."),
    AGENTS("relayd_gateway_agents_queued_events", SUM, "queued",
	"Events that wait for an agent's window."),
    AGENTS("relayd_gateway_agents_sessions", SUM, "sessions",
	"Conversations that go to an agent."),
    AGENTS("relayd_gateway_agents_outstanding_requests", SUM, "outstanding",
	"Requests of agents without a result."),
    AGENTS("relayd_gateway_agents_oldest_event_seconds", MAX, "oldest_s",
	"How long an agent has had the oldest event that it did not "
	"acknowledge."),
    COUNT("relayd_gateway_events_delivered_total", COUNTERS, "delivered",
	"Events given to agents, redeliveries included."),
    COUNT("relayd_gateway_events_redelivered_total", COUNTERS, "redelivered",
	"Events given to agents that had been given before."),
    COUNT("relayd_gateway_events_acknowledged_total", COUNTERS, "agent_acks",
	"Events acknowledged by agents."),
    COUNT("relayd_gateway_events_suspected_total", COUNTERS, "suspects",
	"Events in flight when an agent ended or let its time pass."),
    COUNT("relayd_gateway_agent_bad_lines_total", COUNTERS,
	"agent_lines_bad", "Lines from agents that could not be read."),
    COUNT("relayd_gateway_requests_total", COUNTERS, "outbound",
	"Actions sent for agents and operators."),
    COUNT_AS("relayd_gateway_results_total", "outbound_ok", "result=\"ok\"",
	"Results of these: ok, failed, or ambiguous when nobody knows."),
    COUNT_AS("relayd_gateway_results_total", "outbound_failed",
	"result=\"failed\"", NULL),
    COUNT_AS("relayd_gateway_results_total", "outbound_ambiguous",
	"result=\"ambiguous\"", NULL),

    /* What waits. */
    GAUGE("relayd_gateway_waiting_events", QUEUE, INT, "events",
	"Events that no agent has acknowledged."),
    GAUGE("relayd_gateway_waiting_bytes", QUEUE, INT, "bytes",
	"Bytes of these events."),
    GAUGE("relayd_gateway_waiting_oldest_seconds", QUEUE, SECONDS, "oldest_s",
	"Age of the oldest of these events, 0 when there is none."),
    GAUGE("relayd_gateway_hushed", QUEUE, BOOL, "hushed",
	"Whether the connector is asked to keep what comes."),
    GAUGE("relayd_gateway_paused", QUEUE, BOOL, "paused",
	"Whether so many events wait that the link is not read."),
    GAUGE("relayd_gateway_journal_bytes", JOURNAL, INT, "bytes",
	"Bytes of the journal in use, those of the quarantine included."),
    GAUGE("relayd_gateway_journal_capacity_bytes", JOURNAL, INT,
	"capacity_bytes", "Bytes of the journal."),
    GAUGE("relayd_gateway_journal_outlives_engine", JOURNAL, BOOL,
	"outlives_engine", "Whether events outlive relayd's engine."),
    GAUGE("relayd_gateway_quarantine_events", JOURNAL, INT, "aside",
	"Events that were put aside since agents do not survive them."),
    GAUGE("relayd_gateway_quarantine_bytes", JOURNAL, INT, "aside_bytes",
	"Bytes of these events."),
    COUNT("relayd_gateway_quarantined_total", COUNTERS, "aside",
	"Events put aside."),
    COUNT("relayd_gateway_requeued_total", COUNTERS, "requeued",
	"Events put aside that an operator had delivered again."),
    COUNT("relayd_gateway_dropped_total", COUNTERS, "dropped",
	"Events put aside that an operator gave up."),
    COUNT("relayd_gateway_journal_recovered_total", COUNTERS, "recovered",
	"Events found in the journal when the engine started."),
    COUNT("relayd_gateway_journal_torn_total", COUNTERS, "torn",
	"Records found there that were damaged, and left out."),

    /* Credentials: what relay-authd tells. */
    GAUGE("relayauthd_credential_usable", CREDENTIAL, BOOL, "usable",
	"Whether tokens can be minted with the gateway's credential."),
    GAUGE("relayauthd_credential_worked", CREDENTIAL, BOOL, "worked",
	"Whether a handshake ever succeeded with it."),
    LABEL("relayauthd_credential_source", CREDENTIAL, "source", "source",
	"1, with where the credential comes from."),
    GAUGE("relayauthd_credential_timestamp_seconds", CREDENTIAL, AGE, "age_s",
	"When the credential was taken."),
    GAUGE("relayauthd_credential_revoked_timestamp_seconds", REVOKED, INT,
	"at", "When the credential was found to be revoked, while it is."),
    COUNT("relayauthd_tokens_minted_total", CREDENTIAL, "minted",
	"Tokens minted with the credential."),
    COUNT("relayauthd_refusals_total", CREDENTIAL, "refusals",
	"What the connector refused of exchanges and links; see relay-ctl(8)."),
    GAUGE("relayauthd_last_refusal_timestamp_seconds", CREDENTIAL, INT,
	"refused_at", "When the last of these was."),
    GAUGE("relayauthd_identities", GATEWAY, LEN, "identities",
	"Bots that the gateway stands for."),
    PUT("relayauthd_identities_skipped", GATEWAY, put_skipped,
	"Of these, those that the connector would not provision."),

    /* Processes. */
    PUT("relayd_process_running", PROCESS, put_running,
	"Whether the process runs, or is being restarted."),
    COUNT("relayd_process_restarts_total", PROCESS, "restarts",
	"Restarts since the supervisor started."),
    GAUGE("relayd_process_start_timestamp_seconds", PROCESS, INT, "since",
	"When the process started."),
    GAUGE("relayd_process_memory_bytes", PROCESS, KIB, "pss_kb",
	"Its memory, shared pages shared out."),
    PUT("relayd_process_layers_lacking", PROCESS, put_lacking,
	"Layers of confinement that were asked for and do not hold."),

    /* The program that writes this. */
    PUT("relayd_serve_build_info", OWN, put_version,
	"The version of relay-ctl."),
    OWN("relayd_serve_requests_total", 1, requests,
	"Requests over HTTP, this one included."),
    OWN("relayd_serve_status_requests_total", 1, asked,
	"Times relayd was asked for its status."),
    OWN("relayd_serve_status_failures_total", 1, failed,
	"Times it did not answer with it."),
    OWN("relayd_serve_event_clients", 0, clients,
	"Clients that follow /events."),
    OWN("relayd_serve_event_clients_dropped_total", 1, dropped,
	"Clients of /events that were dropped since they read too slowly."),
};
/* clang-format on */

const size_t metrics_count = sizeof(metrics_table) / sizeof(metrics_table[0]);
