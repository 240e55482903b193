#!/bin/sh
# SPDX-License-Identifier: ISC
#
# A program for relay-ctl:
#
#	relay-ctl agent --exec examples/agent.sh
#
# It is run once for every message.  The event is on standard input, the
# message's text in RELAY_TEXT; what it prints is the reply, and if it prints
# nothing there is none.  It ends with status 0 when the message is dealt with;
# with another status, the message comes again later.
#
# The text was written by a stranger: quote it, and give it to no eval.

case ${RELAY_TEXT-} in
/help*)
	printf '%s\n' 'I know /time, /event and /help.'
	;;
/time*)
	date -u '+It is %H:%M:%S UTC.'
	;;
/event*)
	# The whole event, a line of JSON (jq would pick it apart).
	cat
	;;
'')
	# No text: a picture, perhaps.
	;;
*)
	printf 'You said: %s\n' "$RELAY_TEXT"
	;;
esac
