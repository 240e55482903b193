/* SPDX-License-Identifier: ISC */
/*
 * An agent in C, with libc alone: it echoes.
 *
 *	cc -o agent agent.c && ./agent /run/relayd/agent/main.sock
 *
 * Ids and texts are handed on as they stand in the JSON, escapes included: so
 * no string needs to be decoded.  What an agent does with a text it must
 * decode, of course.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPACE " \t\r\n"

/* A value as it stands in the line. */
struct value {
	const char *p;
	int len; /* 0: there is none */
};

/* The end of the value, or member's name, that begins at p.  What relayd sends
 * is valid JSON, so strings and braces end. */
static const char *
end_of(const char *p)
{
	int depth = 0;

	for (;; p++) {
		if (*p == '"')
			while (*++p != '"')
				p += *p == '\\';
		else if (*p == '{' || *p == '[')
			depth++;
		else if (depth > 0 && (*p == '}' || *p == ']'))
			depth--;
		else if (depth == 0 && strchr(SPACE ":,}]", *p) != NULL)
			return p;
	}
}

/* The value of an object's member. */
static struct value
member(struct value object, const char *name)
{
	struct value none = {"", 0}, v;
	size_t len = strlen(name);
	const char *p, *key, *end;

	if (object.len == 0 || *object.p != '{')
		return none;
	p = object.p + 1;
	for (p += strspn(p, SPACE); *p == '"'; p += strspn(p, SPACE ",")) {
		key = p + 1;
		end = end_of(p);
		v.p = end + strspn(end, SPACE ":");
		p = end_of(v.p);
		v.len = (int)(p - v.p);
		if ((size_t)(end - key) == len + 1 &&
		    memcmp(key, name, len) == 0)
			return v;
	}
	return none;
}

static int
is(struct value v, const char *text)
{
	return (size_t)v.len == strlen(text) &&
	    memcmp(v.p, text, strlen(text)) == 0;
}

/* Answer an event, with its bufferId as the request's id. */
static void
reply(FILE *out, struct value event, struct value id)
{
	struct value source = member(event, "source");
	struct value chat = member(source, "chat_id");
	struct value thread = member(source, "thread_id");
	struct value text = member(event, "text");

	if (text.len <= 2 || *text.p != '"') /* a picture, perhaps */
		return;
	fprintf(out,
	    "{\"type\":\"outbound\",\"requestId\":%.*s,"
	    "\"action\":{\"op\":\"send\",\"chat_id\":%.*s,"
	    "\"content\":\"You said: %.*s",
	    id.len, id.p, chat.len, chat.p, text.len - 1, text.p + 1);
	if (thread.len > 0 && *thread.p == '"')
		fprintf(out, ",\"metadata\":{\"thread_id\":%.*s}", thread.len,
		    thread.p);
	fprintf(out, "}}\n");
}

static void
handle(FILE *out, struct value line)
{
	struct value type = member(line, "type");
	struct value id = member(line, "bufferId");
	struct value result = member(line, "result");

	if (is(type, "\"inbound\"")) {
		reply(out, member(line, "event"), id);
		/* Taken: relayd need not deliver it again. */
		fprintf(out, "{\"type\":\"inbound_ack\",\"bufferId\":%.*s}\n",
		    id.len, id.p);
	} else if (is(type, "\"error\"") || is(type, "\"link\"") ||
	    (is(type, "\"outbound_result\"") &&
		!is(member(result, "success"), "true")))
		fprintf(stderr, "%.*s\n", line.len, line.p);
}

/* Talk to relayd until the connection ends. */
static void
serve(int fd)
{
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (in == NULL || out == NULL)
		err(1, "fdopen");
	fprintf(out,
	    "{\"type\":\"hello\",\"agent\":\"echo\",\"window\":16,"
	    "\"interactions\":\"event\"}\n");
	/* A line without its newline was cut. */
	while (fflush(out) == 0 && (n = getline(&line, &room, in)) > 0 &&
	    line[n - 1] == '\n') {
		line[n - 1] = '\0';
		handle(out, (struct value){line, (int)n - 1});
	}
	free(line);
	fclose(in);
	fclose(out);
}

int
main(int argc, char *argv[])
{
	const char *path = argc > 1 ? argv[1] : "/run/relayd/agent/main.sock";
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		errx(1, "%s: too long for a socket's path", path);
	strcpy(sun.sun_path, path);
	signal(SIGPIPE, SIG_IGN);
	for (;; sleep(1)) { /* relayd is gone for a moment, or not there yet */
		if ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
			err(1, "socket");
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
			serve(fd);
		else {
			warn("%s", path);
			close(fd);
		}
	}
}
