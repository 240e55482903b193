# SPDX-License-Identifier: ISC
# Completion of relay-ctl's command line in bash.  What there is, is read from
# `relay-ctl help`, and gateways' names from the running relayd.
# shellcheck shell=bash

# Seconds that a shell waits for relay-ctl: one that hangs offers nothing.
_RELAY_CTL_WAIT=1

# Run the relay-ctl that is being typed: its words, without a terminal.
_relay_ctl_run() {
	timeout "$_RELAY_CTL_WAIT" "$@" </dev/null 2>/dev/null
}

# Offer those words that go on from what is typed.  (compgen -W would expand
# them as the shell does, and some come from elsewhere.)
_relay_ctl_offer() {
	local word

	for word in "$@"; do
		[[ $word == "$cur"* ]] && COMPREPLY+=("$before$word")
	done
}

# Offer paths; -d: directories alone.
_relay_ctl_paths() {
	compopt -o filenames 2>/dev/null
	mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen "$1" -- "$cur")
}

_relay_ctl_gateways() {
	local line

	while IFS= read -r line; do
		[[ $line =~ ^relayd_gateway_agents\{gateway=\"([a-z0-9_-]+)\"\} ]] &&
			_relay_ctl_offer "${BASH_REMATCH[1]}"
	done < <(_relay_ctl_run "$ctl" ${rundir:+-r "$rundir"} status --metrics)
}

# Read help, of a command or of all: commands, the words that can stand in a
# place, options with what each takes, and the places of a command.
_relay_ctl_help() {
	local line name

	while IFS= read -r line; do
		if [[ $line =~ ^\ \ (-(.),|\ \ \ )\ --([a-z-]+)\ ([A-Z][^ ]*)? ]]; then
			name=${BASH_REMATCH[3]}
			takes[--$name]=${BASH_REMATCH[4]}
			[[ -n ${BASH_REMATCH[2]} ]] &&
				takes[-${BASH_REMATCH[2]}]=${BASH_REMATCH[4]}
		elif [[ $line =~ ^\ \ ([a-z]+)\  ]]; then
			commands+=("${BASH_REMATCH[1]}")
		elif [[ $line =~ ^([A-Z_]+):\ (.*) ]]; then
			words[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
		elif [[ $line == "usage: "*" [--json] "* ]]; then
			usage=${line#*" [--json] "}
		fi
	done < <(_relay_ctl_run "$ctl" help ${1:+"$1"})
}

# What usage shows to stand in the n-th place, options left out.
_relay_ctl_place() {
	local n=$1 token tokens=() value=

	read -ra tokens <<<"$usage"
	for token in "${tokens[@]:1}"; do
		token=${token//[][]/}
		if [[ -n $value ]]; then
			value=
		elif [[ $token == -* ]]; then
			value=${takes[$token]-}
		elif ((n-- == 0)); then
			place=$token
			return
		fi
	done
}

# Offer what can stand where help has this: FILE, GATEWAY, BUFFERID|all, ...
_relay_ctl_stand() {
	local one list=() known=()

	IFS='|' read -ra list <<<"${1%%[][,.]*}"
	for one in "${list[@]}"; do
		case $one in
		GATEWAY) _relay_ctl_gateways ;;
		COMMAND) _relay_ctl_offer "${commands[@]}" ;;
		FILE) _relay_ctl_paths -f ;;
		RUNDIR | STATEDIR) _relay_ctl_paths -d ;;
		PROGRAM) _relay_ctl_paths -c ;;
		[a-z]*) _relay_ctl_offer "$one" ;;
		*)
			# One of several, of which some are there already.
			[[ $1 == *,* && $cur == *,* ]] &&
				before=${cur%,*}, cur=${cur##*,}
			read -ra known <<<"${words[$one]-}"
			_relay_ctl_offer "${known[@]}"
			;;
		esac
	done
}

# Go over what stands before: the command, how many of its places are taken,
# and what the word that is typed is the value of.
_relay_ctl_read() {
	local i word

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ -n $value ]]; then
			[[ $word == "=" ]] && continue
			[[ $option == -r || $option == --run-dir ]] &&
				rundir=${word/#\~\//"$HOME/"}
			[[ $option == --exec ]] && rest=1
			value=
		elif [[ $word == -r?* ]]; then
			rundir=${word#-r}
		elif [[ $word == -?* ]]; then
			option=$word
			value=${takes[$word]-}
		elif [[ -z $command ]]; then
			command=$word
			_relay_ctl_help "$command"
		else
			((taken++))
		fi
	done
}

_relay_ctl() {
	local ctl=${1/#\~\//"$HOME/"} cur=${COMP_WORDS[COMP_CWORD]}
	local command='' option='' value='' rundir='' usage='' place='' before=''
	local taken=0 rest=0 commands=()
	local -A takes=() words=()

	COMPREPLY=()
	[[ $cur == "=" ]] && cur=
	_relay_ctl_help
	_relay_ctl_read
	if ((rest)); then
		_relay_ctl_paths -f
	elif [[ -n $value ]]; then
		_relay_ctl_stand "$value"
	elif [[ $cur == -* ]]; then
		_relay_ctl_offer "${!takes[@]}"
	elif [[ -z $command ]]; then
		_relay_ctl_offer "${commands[@]}"
	else
		_relay_ctl_place "$taken"
		_relay_ctl_stand "$place"
	fi
}

complete -F _relay_ctl relay-ctl
