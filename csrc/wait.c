/* Waiting: the gate, the GIL, signals and forks together. */
#include "core.h"

static void
wake_thread(hr_waiter *waiter)
{
    hr_unpark(&waiter->parker);
}

static hr_waiter *
waiter_new(void)
{
    /* On the heap, not the stack: a daemon thread that wakes while the interpreter goes down never comes
     * back from taking the GIL (before Python 3.14 it ends there), and the gate still points to it. */
    hr_waiter *waiter = malloc(sizeof(hr_waiter));
    if (waiter == NULL || hr_parker_init(&waiter->parker) < 0) {
        free(waiter);
        PyErr_NoMemory();
        return NULL;
    }
    waiter->line = NULL;
    waiter->wake = wake_thread;
    waiter->prompt = true;
    waiter->stands_for = 1;
    waiter->all = false;
    return waiter;
}

/* The end of a call that may have slept: give back what its waits used. However it ended, by a time-out or an
 * error too, it may have been on the errand: let the next go. */
void
hr_turn_end(hr_queue *queue, hr_turn *turn)
{
    if (turn->waiter != NULL) {
        hr_parker_destroy(&turn->waiter->parker);
        free(turn->waiter);
        turn->waiter = NULL;
        hr_changed(queue, false);
    }
}

/* Forget the threads that a fork left behind. Where waiters are touched, so that nobody else pays; and by the
 * process's number, so that it holds in every at-fork handler. (It would stop being right where a grandchild
 * gets the number of a grandparent that is gone, and nobody used the queue in between.) */
void
hr_check_fork(hr_queue *queue)
{
    long process = hr_process();
    if (queue->process != process) {
        queue->process = process;
        hr_gate_forget(&queue->gate);
    }
}

/* Make the turn's waiter ready to sleep (again). Returns whether it has slept before, -1 on error. */
static int
prepare(hr_turn *turn)
{
    if (turn->waiter == NULL) {
        turn->waiter = waiter_new();
        return turn->waiter == NULL ? -1 : 0;
    }
    hr_parker_destroy(&turn->waiter->parker);
    if (hr_parker_init(&turn->waiter->parker) < 0) {
        free(turn->waiter);
        turn->waiter = NULL;
        PyErr_NoMemory();
        return -1;
    }
    return 1;
}

/* Sleep in `line` until woken, until the turn's deadline, or until a signal came.
 *
 * Returns 1 when the time is up, 0 when the caller should look again, -1 with the exception of a signal
 * handler. The queue's lock is let go of while asleep; after an error the wake-up, if it had come, has
 * been passed on. */
int
hr_wait(hr_queue *queue, hr_line *line, hr_turn *turn)
{
    int again = prepare(turn);
    if (again < 0) {
        hr_changed(queue, false);
        return -1;
    }
    hr_waiter *waiter = turn->waiter;
    hr_check_fork(queue);
    hr_gate_enter(&queue->gate, line, waiter, again);
    hr_changed(queue, line == &queue->gate.putters);

    PyThreadState *thread = PyEval_SaveThread();
    hr_park_result result = hr_park(&waiter->parker, turn->deadline_ns);
    PyEval_RestoreThread(thread);

    hr_gate_leave(&queue->gate, waiter);
    if (result == HR_INTERRUPTED) {
        /* A handler runs next, and may itself wait for what another waiter should do. */
        hr_changed(queue, false);
    }
    /* Before anything is taken: a handler that raises now costs no item. */
    if (PyErr_CheckSignals() < 0) {
        hr_changed(queue, false);
        return -1;
    }
    return result == HR_TIMED_OUT;
}

void
hr_wake_next(hr_queue *queue, bool after_put)
{
    hr_check_fork(queue);
    hr_gate_wake_next(&queue->gate, queue->items.count > 0, queue->items.count < queue->limit,
                      after_put);
}

/* The queue has changed for good (shut down, opened, another bound): let everybody look. */
void
hr_wake_everybody(hr_queue *queue)
{
    hr_check_fork(queue);
    hr_gate_wake_all(&queue->gate, &queue->gate.getters);
    hr_gate_wake_all(&queue->gate, &queue->gate.putters);
    hr_gate_wake_all(&queue->gate, &queue->gate.joiners);
}
