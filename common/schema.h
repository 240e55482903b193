/* SPDX-License-Identifier: ISC */
/*
 * The names of what relayd tells operators (relayd-control(5)).  The number
 * after the slash is the version: within one, members are only added.
 */
#ifndef SCHEMA_H
#define SCHEMA_H

#define SCHEMA_STATUS	   "relayd.status/1"	      /* the reply to status */
#define SCHEMA_CONTROL	   "relayd.control/1"	      /* all other replies */
#define SCHEMA_STATE	   "relayd.state/1"	      /* the file state.json */
#define SCHEMA_CONFIG	   "relayd.config/1"	      /* the file config.json */
#define SCHEMA_CREDENTIALS "relayauthd.credentials/1" /* on auth.sock */

#endif
