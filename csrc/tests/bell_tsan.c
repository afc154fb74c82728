/* The bell under ThreadSanitizer, which knows nothing of futexes: what orders the data is the word alone.
 *
 * First a ping-pong over two bells, of plain data that nothing else guards. Then a line of tickets behind a mutex, which
 * producers add to and consumers take from; each ticket rings for one, and no sleep has a time-out. A lost wake-up
 * hangs the run, which alarm() turns into a failure.
 */
#include "bell/bell.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROUNDS = 20000, PRODUCERS = 4, CONSUMERS = 4, TICKETS = 20000 };

static hr_bell *bells; /* in shared memory, as they are used */

static void
check(bool holds, const char *promise)
{
    if (!holds) {
        fprintf(stderr, "bell_tsan: broken: %s\n", promise);
        exit(1);
    }
}

/* ---- ping-pong ---- */

static int ball; /* whose turn it is touches it */

static void
wait_for_change(hr_bell *bell, uint32_t *seen)
{
    while (hr_bell_read(bell) == *seen) {
        check(hr_bell_sleep(bell, *seen, HR_NEVER) != HR_BELL_FAILED, "a sleep does not fail");
    }
    *seen = hr_bell_read(bell);
}

static void *
pong(void *unused)
{
    uint32_t seen = 0;
    for (int round = 0; round < ROUNDS; round++) {
        wait_for_change(&bells[0], &seen);
        check(ball == 2 * round + 1, "what was changed before the ring is seen after it");
        ball++;
        hr_bell_ring(&bells[1], 1);
    }
    return unused;
}

static void
ping_pong(void)
{
    uint32_t seen = 0;
    pthread_t other;
    pthread_create(&other, NULL, pong, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        ball++;
        hr_bell_ring(&bells[0], 1);
        wait_for_change(&bells[1], &seen);
        check(ball == 2 * round + 2, "what was changed before the ring is seen after it");
    }
    pthread_join(other, NULL);
}

/* ---- tickets ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int waiting, taken;
static bool ended;

static void *
produce(void *unused)
{
    for (int ticket = 0; ticket < TICKETS; ticket++) {
        pthread_mutex_lock(&lock);
        waiting++;
        pthread_mutex_unlock(&lock);
        hr_bell_ring(&bells[2], 1);
    }
    return unused;
}

static void *
consume(void *unused)
{
    for (bool at_end = false; !at_end;) {
        uint32_t seen = hr_bell_read(&bells[2]);
        pthread_mutex_lock(&lock);
        bool got = waiting > 0;
        waiting -= got;
        taken += got;
        at_end = ended && !got;
        pthread_mutex_unlock(&lock);
        if (!got && !at_end) {
            check(hr_bell_sleep(&bells[2], seen, HR_NEVER) != HR_BELL_FAILED, "a sleep does not fail");
        }
    }
    return unused;
}

static void
tickets(void)
{
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++) {
        pthread_create(&consumers[i], NULL, consume, NULL);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_create(&producers[i], NULL, produce, NULL);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], NULL);
    }
    pthread_mutex_lock(&lock);
    ended = true;
    pthread_mutex_unlock(&lock);
    hr_bell_ring(&bells[2], HR_BELL_ALL);
    for (int i = 0; i < CONSUMERS; i++) {
        pthread_join(consumers[i], NULL);
    }
    check(taken == PRODUCERS * TICKETS, "every ticket is taken");
    check(hr_bell_read(&bells[2]) == PRODUCERS * TICKETS + 1, "no ring is lost");
}

int
main(void)
{
    alarm(300);
    bells = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(bells != MAP_FAILED, "memory");
    ping_pong();
    check(hr_bell_sleep(&bells[3], 0, hr_now_ns() + 1000000) == HR_BELL_TIMED_OUT, "a sleep ends in time");
    check(hr_bell_sleep(&bells[3], 1, HR_NEVER) == HR_BELL_RUNG, "a ring before the sleep is not lost");
    tickets();
    printf("bell_tsan: %d rounds and %d tickets, none lost\n", ROUNDS, taken);
    return 0;
}
