# SPDX-License-Identifier: ISC
"""Waiting for things to happen: each wait has a deadline and says what it
had seen when it passes."""

import asyncio
import concurrent.futures

DEFAULT_TIMEOUT_S = 10


class Waits:
    """The waiting half of the face; predicates run in the loop's thread, so
    they may look at anything without a lock."""

    def wait_for(self, predicate, timeout=DEFAULT_TIMEOUT_S, what="condition"):
        """The first true value of predicate(), or TimeoutError."""
        async def wait():
            return await asyncio.wait_for(self.state.until(predicate), timeout)
        try:
            return self._submit(wait(), timeout + 5)
        except (asyncio.TimeoutError, concurrent.futures.TimeoutError):
            raise TimeoutError(f"waited {timeout} s for {what}\n"
                               f"{self.status()}") from None

    def wait_connected(self, gateway=None, timeout=DEFAULT_TIMEOUT_S):
        """Wait for an admitted connection; returns the link."""
        found = self.gateway(gateway)
        return self.wait_for(lambda: found.link, timeout, "a connection")

    def wait_handshaken(self, gateway=None, platforms=1,
                        timeout=DEFAULT_TIMEOUT_S):
        """Wait until so many hellos were answered; returns the link."""
        found = self.gateway(gateway)

        def done():
            link = found.link
            return link if link and len(link.described) >= platforms else None
        return self.wait_for(done, timeout, "a handshake")

    def wait_acked(self, buffer_id, gateway=None, timeout=DEFAULT_TIMEOUT_S):
        """Wait for the ack of one bufferId (in order, so of all before it)."""
        buffer = self.gateway(gateway).buffer
        self.wait_for(lambda: buffer.is_acked(buffer_id), timeout,
                      f"the ack of {buffer_id!r}")

    def wait_all_acked(self, gateway=None, timeout=DEFAULT_TIMEOUT_S):
        buffer = self.gateway(gateway).buffer
        self.wait_for(lambda: not buffer.entries, timeout, "all acks")

    def wait_delivered(self, count, timeout=DEFAULT_TIMEOUT_S):
        """Wait until so many buffered entries have been sent in all."""
        self.wait_counter("delivered", count, timeout)

    def wait_counter(self, name, count, timeout=DEFAULT_TIMEOUT_S):
        counters = self.state.counters
        self.wait_for(lambda: counters[name] >= count, timeout,
                      f"{count} {name}")

    def wait_outbound(self, predicate=lambda record: True, start=0,
                      timeout=DEFAULT_TIMEOUT_S):
        """Wait for an Outbound record from index `start` on."""
        position = start
        records = self.state.outbounds

        def found():
            nonlocal position
            while position < len(records):
                position += 1
                if predicate(records[position - 1]):
                    return records[position - 1]
            return None
        return self.wait_for(found, timeout, "an outbound")

    def wait_text(self, chat_id, text, timeout=DEFAULT_TIMEOUT_S):
        """Wait for an outbound to a chat that has this text in it."""
        return self.wait_outbound(
            lambda r: r.chat_id == chat_id
            and text in str(r.action.get("content")), timeout=timeout)

    def wait_closed(self, link=None, timeout=DEFAULT_TIMEOUT_S):
        """Wait for a link's end (default: the newest); (code, reason, by)."""
        link = link or self.state.links[-1]
        self.wait_for(lambda: not link.open, timeout, "the end of a link")
        return link.closed

    def wait_idle(self, gateway=None, timeout=DEFAULT_TIMEOUT_S):
        """Wait until the gateway was told that live delivery has stopped."""
        found = self.gateway(gateway)
        self.wait_for(lambda: found.asleep, timeout, "going_idle")

    def wait_dials(self, count, timeout=DEFAULT_TIMEOUT_S):
        """Wait until so many dials were decided, in all."""
        dials = self.state.dials
        self.wait_for(lambda: sum(bool(d.outcome) for d in dials) >= count,
                      timeout, f"{count} dials")

    def wait_interrupt(self, session_key=None, timeout=DEFAULT_TIMEOUT_S):
        """Wait for an interrupt frame (of that session)."""
        def found():
            for frame in self.state.interrupts:
                if session_key in (None, frame["session_key"]):
                    return frame
            return None
        return self.wait_for(found, timeout, "an interrupt")

    def wait_violation(self, rule=None, timeout=DEFAULT_TIMEOUT_S):
        """Wait for a violation (of that rule); for tests of strictness."""
        def found():
            for violation in self.state.violations:
                if rule in (None, violation.rule):
                    return violation
            return None
        return self.wait_for(found, timeout, "a violation")

    def wait_asked(self, name, count=1, timeout=DEFAULT_TIMEOUT_S):
        """Wait until a route was asked so often; the last body."""
        http = self.state.http
        self.wait_for(lambda: http.count(name) >= count, timeout,
                      f"{count} requests of {name}")
        return http.asked(name)[-1]

    def wait_policy(self, platform, expected, gateway=None,
                    timeout=DEFAULT_TIMEOUT_S):
        """Wait until a relevance policy is as expected."""
        found = self.gateway(gateway)
        self.wait_for(lambda: found.policy(platform) == expected, timeout,
                      f"the policy {expected} of {platform}")
