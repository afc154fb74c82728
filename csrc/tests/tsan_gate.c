/* The gate, the parker and the items under ThreadSanitizer: a bounded queue as in put.c, get.c and wait.c,
 * with a pthread mutex in the GIL's place.
 *
 * Threads put, get, time out and are interrupted at random, and one consumer is no thread but an event
 * loop's callback (a waiter whose wake() only schedules a look). Every item must arrive once, and the run
 * must end: a lost wake-up hangs it, which alarm() turns into a failure.
 */
#include "gate.h"
#include "items.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { PRODUCERS = 4, CONSUMERS = 4, ITEMS = 20000, LIMIT = 3 };

typedef struct {
    pthread_mutex_t lock;
    hr_items items;
    hr_gate gate;
    bool is_shutdown;
} channel;

static channel queue = {.lock = PTHREAD_MUTEX_INITIALIZER};
static char seen[PRODUCERS * ITEMS + 1];
static _Atomic long taken;

static void
check(bool holds, const char *promise)
{
    if (!holds) {
        fprintf(stderr, "tsan_gate: broken: %s\n", promise);
        exit(1);
    }
}

/* The invariant of gate.h, (2): who has something to do is on its way, or an errand is out. */
static void
check_gate(void)
{
    bool getter_could = queue.items.count > 0 && queue.gate.getters.first != NULL;
    bool putter_could = queue.items.count < LIMIT && queue.gate.putters.first != NULL;
    check(queue.gate.errand != NULL || !(getter_could || putter_could),
          "nobody sleeps who has something to do while no errand is out");
}

static void
changed(bool after_put)
{
    if (queue.gate.may_wake) {
        hr_gate_wake_next(&queue.gate, queue.items.count > 0, queue.items.count < LIMIT, after_put);
    }
    check_gate();
}

static void
wake_thread(hr_waiter *waiter)
{
    hr_unpark(&waiter->parker);
}

/* As hr_wait: with the lock held before and after. Returns whether the time was up. */
static bool
sleep_in(hr_line *line, hr_waiter *waiter, bool again, int64_t deadline_ns)
{
    hr_parker_init(&waiter->parker);
    hr_gate_enter(&queue.gate, line, waiter, again);
    changed(line == &queue.gate.putters);
    pthread_mutex_unlock(&queue.lock);
    hr_park_result result = hr_park(&waiter->parker, deadline_ns);
    pthread_mutex_lock(&queue.lock);
    hr_gate_leave(&queue.gate, waiter);
    return result == HR_TIMED_OUT;
}

static hr_waiter *
new_waiter(void)
{
    hr_waiter *waiter = calloc(1, sizeof(hr_waiter));
    waiter->wake = wake_thread;
    waiter->prompt = true;
    return waiter;
}

static bool
put(uintptr_t item, int64_t deadline_ns)
{
    hr_waiter *waiter = NULL;
    bool timed_out = false;
    pthread_mutex_lock(&queue.lock);
    while (queue.items.count >= LIMIT && !timed_out) {
        bool again = waiter != NULL;
        waiter = again ? waiter : new_waiter();
        timed_out = sleep_in(&queue.gate.putters, waiter, again, deadline_ns);
    }
    bool done = queue.items.count < LIMIT;
    if (done) {
        check(hr_items_reserve(&queue.items) == 0, "memory");
        hr_items_push(&queue.items, (void *)item);
    }
    changed(done);
    pthread_mutex_unlock(&queue.lock);
    free(waiter);
    return done;
}

/* 0: nothing came in time; UINTPTR_MAX: shut down and drained. */
static uintptr_t
get(int64_t deadline_ns)
{
    hr_waiter *waiter = NULL;
    bool timed_out = false;
    pthread_mutex_lock(&queue.lock);
    while (queue.items.count == 0 && !queue.is_shutdown && !timed_out) {
        bool again = waiter != NULL;
        waiter = again ? waiter : new_waiter();
        timed_out = sleep_in(&queue.gate.getters, waiter, again, deadline_ns);
    }
    uintptr_t item = queue.items.count > 0 ? (uintptr_t)hr_items_take_first(&queue.items)
                     : queue.is_shutdown   ? UINTPTR_MAX
                                           : 0;
    if (item != 0 && item != UINTPTR_MAX) {
        check(!seen[item], "no item comes twice");
        seen[item] = 1;
        taken++;
    }
    changed(false);
    pthread_mutex_unlock(&queue.lock);
    free(waiter);
    return item;
}

static int64_t
some_deadline(unsigned *random)
{
    /* One call in four is impatient, so that time-outs meet wake-ups. */
    return rand_r(random) % 4 ? HR_NEVER : hr_now_ns() + rand_r(random) % 20000;
}

static void *
produce(void *number)
{
    unsigned random = 1 + (unsigned)(uintptr_t)number;
    uintptr_t first = 1 + (uintptr_t)number * ITEMS;
    for (uintptr_t item = first; item < first + ITEMS;) {
        item += put(item, some_deadline(&random));
    }
    return NULL;
}

static void *
consume(void *number)
{
    unsigned random = 100 + (unsigned)(uintptr_t)number;
    while (get(some_deadline(&random)) != UINTPTR_MAX) {
    }
    return NULL;
}

/* -- a consumer that is an event loop: woken by a callback through a pipe, and slow to come back -------- */

typedef struct {
    hr_waiter waiter;
    int wakeups[2];
} loop_consumer;

static void
schedule(hr_waiter *waiter)
{
    char byte = 1;
    check(write(((loop_consumer *)waiter)->wakeups[1], &byte, 1) == 1, "a callback is scheduled");
}

static void *
consume_in_loop(void *argument)
{
    loop_consumer *loop = argument;
    for (;;) {
        uintptr_t item = get(0);
        if (item == UINTPTR_MAX) {
            return NULL;
        }
        if (item != 0) {
            continue;
        }
        pthread_mutex_lock(&queue.lock);
        bool wait = queue.items.count == 0 && !queue.is_shutdown;
        if (wait) {
            hr_gate_enter(&queue.gate, &queue.gate.getters, &loop->waiter, false);
        }
        pthread_mutex_unlock(&queue.lock);
        char byte;
        check(!wait || read(loop->wakeups[0], &byte, 1) == 1, "a callback runs");
    }
}

static void
shut_down(void)
{
    pthread_mutex_lock(&queue.lock);
    queue.is_shutdown = true;
    hr_gate_wake_all(&queue.gate, &queue.gate.getters);
    hr_gate_wake_all(&queue.gate, &queue.gate.putters);
    pthread_mutex_unlock(&queue.lock);
}

int
main(void)
{
    alarm(300);
    pthread_t producers[PRODUCERS], consumers[CONSUMERS], looping;
    loop_consumer loop = {.waiter = {.wake = schedule, .prompt = false}};
    check(pipe(loop.wakeups) == 0, "a pipe");
    pthread_create(&looping, NULL, consume_in_loop, &loop);
    for (uintptr_t i = 0; i < CONSUMERS; i++) {
        pthread_create(&consumers[i], NULL, consume, (void *)i);
    }
    for (uintptr_t i = 0; i < PRODUCERS; i++) {
        pthread_create(&producers[i], NULL, produce, (void *)i);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], NULL);
    }
    shut_down();
    for (int i = 0; i < CONSUMERS; i++) {
        pthread_join(consumers[i], NULL);
    }
    pthread_join(looping, NULL);
    check(taken == PRODUCERS * ITEMS, "every item comes");
    hr_items_free(&queue.items);
    printf("tsan_gate: %ld items, each once\n", (long)taken);
    return 0;
}
