/* SPDX-License-Identifier: ISC */
/* control.sock and status.sock: one JSON object per line, both ways. */
#ifndef CONTROL_H
#define CONTROL_H

#include "engine.h"

struct control;

struct control *control_new(struct engine *e);
void control_free(struct control *c);
/* A listening socket from the supervisor; ours from now on.  A second one of
 * a kind replaces the first. */
int control_listen(struct control *c, enum listener_kind kind, int fd);

/* From the engine's core_io and pipes. */
void control_state_changed(struct control *c, struct engine_gw *eg);
void control_send_result(
    struct control *c, uint64_t cookie, int theirs, struct span result);
/* What was asked of a link was done; or not, and why. */
void control_wish_done(struct control *c, uint64_t cookie, const char *error);
void control_tap(struct control *c, struct engine_gw *eg, enum tap_dir dir,
    struct span line);
void control_stage(
    struct control *c, struct engine_gw *eg, const struct stage_step *step);
void
control_reloaded(struct control *c, uint32_t corr, int ok, struct span text);
/* The supervisor's answer about the log level. */
void control_leveled(
    struct control *c, uint32_t corr, int level, int configured, int json);
/* A gateway is leaving: taps on it end. */
void control_gateway_gone(struct control *c, struct engine_gw *eg);
/* Stopping: clients are told and closed. */
void control_stop(struct control *c);

#endif
