"""What queues and summaries show of themselves in a notebook."""

import re
from html.parser import HTMLParser

import pytest

import headrace
from headrace.backends.memory.html import queue_html
from headrace.consumers.html import summary_html
from headrace.consumers.summary import ConsumerSummary, Summary
from headrace.html import meter, table


class Balanced(HTMLParser):
    """Fails on a tag that is not closed, or closed where it was not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def cells(html: str) -> dict[str, list[str]]:
    """The text of each row, by that of its first cell."""
    Balanced(html)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]
    return {re.sub("<.*?>", "", row[0]): [re.sub("<.*?>", "", cell).strip() for cell in row[1:]] for row in rows}


def test_a_table_escapes_whatever_is_in_it() -> None:
    html = table("<b>&", [("<script>", '"it\'s" <i>')], header=("<u>", 1))
    assert not re.search(r"<(b|script|i|u)>", html)
    assert "<caption>&lt;b&gt;&amp;</caption>" in html
    assert "&quot;it&#x27;s&quot; &lt;i&gt;" in html
    Balanced(html)


def test_a_table_shows_each_kind_of_value_as_people_read_it() -> None:
    html = table("t", [("row", 1234567, 1234.5, 0.012345, True, False, None, "text")])
    assert cells(html)["row"] == ["1,234,567", "1,234", "0.0123", "yes", "no", "", "text"]
    assert html.count("text-align: right") == 3


def test_a_queue_shows_how_full_it_is_and_what_went_through() -> None:
    queue: headrace.Queue[int] = headrace.Queue(maxsize=10)
    queue.put_many(range(4))
    queue.get()
    html = queue_html(queue)
    shown = cells(html)
    assert "<caption>Queue</caption>" in html
    assert '<meter min="0" max="10" value="3">' in html
    assert shown["waiting"] == ["3 of 10"]
    assert shown["unfinished"] == shown["put in all"] == ["4"]
    assert shown["taken in all"] == ["1"]
    assert shown["leased"] == ["1"]
    assert list(shown) == ["waiting", "leased", "unfinished", "put in all", "taken in all"]


def test_a_queue_shows_what_is_delayed_leased_and_dead_if_anything_is() -> None:
    queue: headrace.Queue[int] = headrace.Queue()
    queue.put_many(range(6))
    queue.lease().retry(delay=100)
    queue.lease().fail(ValueError("bad"))
    queue.lease().fail(ValueError("bad"))
    lease = queue.lease()
    shown = cells(queue_html(queue))
    assert [shown[name] for name in ("waiting", "delayed", "leased", "dead")] == [
        ["2, without a bound"],
        ["1"],
        ["1"],
        ["2"],
    ]
    lease.done()


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_each_kind_of_queue_shows_itself_in_a_notebook(kind: str) -> None:
    assert f"<caption>{kind}</caption>" in getattr(headrace, kind)()._repr_html_()


def test_a_queue_says_that_it_has_no_bound_or_is_shut_down() -> None:
    queue: headrace.LifoQueue[int] = headrace.LifoQueue()
    queue.put_many(range(1500))
    queue.shutdown(immediate=True)
    shown = cells(queue_html(queue))
    assert shown["waiting"] == ["0, without a bound"]
    assert shown["dropped"] == ["1,500"]
    assert shown["shut down"] == ["yes"]


def test_a_summary_shows_each_consumer_and_of_many_the_range() -> None:
    few = Summary(10, 1, 0.5, tuple(ConsumerSummary(f"Consumer-{n}", n) for n in (4, 6)))
    assert cells(summary_html(few)) == {
        "items": ["10"],
        "failed": ["1"],
        "seconds": ["0.5"],
        "items a second": ["20"],
        "consumers": ["2"],
        "Consumer-4": ["4"],
        "Consumer-6": ["6"],
    }
    many = Summary(100, 0, 1, tuple(ConsumerSummary(f"Consumer-{n}", n) for n in range(1, 21)))
    assert cells(summary_html(many))["items each"] == ["1 to 20"]


def test_a_run_shows_itself_in_a_notebook() -> None:
    summary = headrace.consume(range(5), id, consumers=2)
    assert cells(summary._repr_html_())["items"] == ["5"]


def test_a_meter_says_in_words_what_it_draws() -> None:
    assert meter(3, 1000) == '<meter min="0" max="1000" value="3"></meter> 3 of 1,000'
