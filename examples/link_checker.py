"""Checks the links of a web site, starting at one of its pages.

    python link_checker.py http://localhost:8000/

Pages of the site are read and their links followed; links to elsewhere are only tried. The handler itself puts what it
finds into the queue, so nobody knows in advance how much there is to do: leaving the pool waits until all is done.
"""

import sys
import threading
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urldefrag, urljoin, urlsplit
from urllib.request import urlopen

import headrace
from headrace.listeners import ProgressListener


class Link(NamedTuple):
    url: str
    page: str  # where it was found


class LinksOf(HTMLParser):
    """The targets of a page's links and images."""

    def __init__(self, text):
        super().__init__()
        self.targets = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.targets += [value for name, value in attributes if name in ("href", "src") and value]


def host_of(link):
    return urlsplit(link.url).netloc


def judge(link, error, attempt):
    """What is to become of a link that failed. A page that is not there will not be there in a second either."""
    if isinstance(error, HTTPError) and error.code < 500:
        return headrace.Dead
    return headrace.Retry(attempts=3, delay=0.2)


def check_site(start, consumers=8):
    """Check all links that can be reached from *start*; return how many there are, and the dead letters."""
    queue = headrace.Queue()  # without a bound: a consumer that puts must never have to wait for consumers
    seen = set()
    seen_lock = threading.Lock()

    def found(url, page):
        url = urldefrag(urljoin(page, url)).url
        with seen_lock:
            if url in seen or not url.startswith(("http://", "https://")):
                return
            seen.add(url)
        queue.put(Link(url, page))

    def check(link):
        try:
            answer = urlopen(link.url, timeout=10)
        except HTTPError as error:
            error.close()  # the connection; the error is kept
            raise
        with answer:
            if host_of(link) == urlsplit(start).netloc and answer.headers.get_content_type() == "text/html":
                text = answer.read().decode(answer.headers.get_content_charset() or "utf-8", "replace")
                for target in LinksOf(text).targets:
                    found(target, answer.url)

    # At most two requests at a time go to the same host: links that have to wait for that leave the consumers free.
    with headrace.ConsumerPool(
        queue, check, consumers, on_error=judge, key=host_of, per_key=2, listeners=[ProgressListener()], name="links"
    ):
        found(start, start)
    return len(seen), list(queue.dead)


if __name__ == "__main__":
    links, broken = check_site(sys.argv[1])
    for letter in broken:
        print(f"{letter.item.url} (on {letter.item.page}): {letter.error}, tried {letter.attempts}x")
    print(f"{links} links, {len(broken)} broken")
    sys.exit(1 if broken else 0)
