/* SPDX-License-Identifier: ISC */
/* The environment of processes of ours that read foreign bytes: where relayd
 * has its secrets from variables, who types may have them, too. */
#ifndef ENV_WIPE_H
#define ENV_WIPE_H

/* Overwrite the values of all variables but those that libraries still look
 * at; in /proc/PID/environ too.  They are empty from then on. */
void env_wipe(void);

#endif
