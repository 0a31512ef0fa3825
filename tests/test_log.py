"""Log lines: whole, in order, and written when nobody waits for it."""

import asyncio
import json

from app.log import configure_logging, logger


def said(capfd):
    return [json.loads(line)["event"] for line in capfd.readouterr().out.splitlines()]


def test_what_an_event_loop_says_in_one_turn_is_written_together_at_its_end(capfd):
    configure_logging(gathered=True)
    log, seen = logger("test"), []

    async def turn():
        log.info("one.said")
        log.warning("two.said", text="a\nb")
        seen.append(said(capfd))
        await asyncio.sleep(0)
        seen.append(said(capfd))

    asyncio.run(turn())
    assert seen == [[], ["one.said", "two.said"]]


def test_what_is_said_outside_of_a_loop_is_written_at_once(capfd):
    configure_logging(gathered=True)
    logger("test").info("one.said")
    assert said(capfd) == ["one.said"]
