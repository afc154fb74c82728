"""Sends the lines of a file to a server, in batches, and loses none when that is slow or down.

    python log_shipper.py http://localhost:9000/lines undelivered.log < /var/log/syslog

A slow server makes the queue full, and then no more is read. A batch that could not be sent is tried again, later and
later, while others go on. What has failed six times is written to undelivered.log.
"""

import sys
import time
from itertools import islice
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import headrace

LINES = 100  # in a batch
LATER = 50  # batches that may wait for another attempt before nothing more is read


def batches_of(lines):
    """Lists of lines, the last one shorter."""
    lines = iter(lines)
    while batch := list(islice(lines, LINES)):
        yield batch


def ship(lines, url, undelivered, retry):
    """Send all *lines* to *url*; write to the file *undelivered* what could not be sent. Returns the pool's summary."""

    def send(batch):
        request = Request(url, b"".join(batch), {"Content-Type": "text/plain"})
        try:
            with urlopen(request, timeout=30) as answer:
                answer.read()
        except HTTPError as error:
            error.close()  # the connection; the error is kept
            raise

    def told(event):
        print(f"{event.kind}: {len(event.item)} lines, attempt {event.attempt}: {event.error}", file=sys.stderr)

    told.kinds = frozenset({"retried", "dead"})

    queue = headrace.Queue(maxsize=20)
    pool = headrace.ConsumerPool(
        queue, send, consumers=4, retry=retry, on_error="dead", listeners=[told], name="shipper"
    )
    with pool:
        for batch in batches_of(lines):
            queue.put(batch)  # waits while twenty batches do
            # Those that wait for another attempt are not in the queue: it is for us to say how many are too many.
            while queue.stats().delayed > LATER:
                time.sleep(0.1)
    with open(undelivered, "ab") as file:
        for letter in queue.dead:
            file.writelines(letter.item)
    return pool.summary()


if __name__ == "__main__":
    print(ship(sys.stdin.buffer, sys.argv[1], sys.argv[2], headrace.Retry(attempts=6, delay=0.5, max_delay=30)))
