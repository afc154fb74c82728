/* The consistency of a queue, checked after every change in debug builds. */
#include "core.h"

#ifndef NDEBUG

#include <stdio.h>

static void
require(bool holds, const char *invariant)
{
    if (!holds) {
        fprintf(stderr, "headrace: broken invariant: %s\n", invariant);
        abort();
    }
}

static void
check_items(const hr_items *items)
{
    ptrdiff_t held = 0;
    for (hr_block *block = items->first; block != NULL; block = block->next) {
        void **start = block == items->first ? items->head : block->slots;
        void **end = block == items->last ? items->tail : block->slots + block->capacity;
        held += end - start;
        require(block->next == NULL || block->next->previous == block, "blocks are linked both ways");
        require((block->next == NULL) == (block == items->last), "the last block has no next one");
    }
    require(held == items->count, "the count is the number of items in the blocks");
}

static void
check_line(const hr_line *line)
{
    ptrdiff_t count = 0;
    for (hr_waiter *waiter = line->first; waiter != NULL; waiter = waiter->next) {
        require(waiter->line == line, "a waiter knows the line it stands in");
        require((waiter->next == NULL) == (waiter == line->last), "the last waiter has no next one");
        count++;
    }
    require(count == line->count, "a line counts its waiters");
}

static void
check_gate(hr_queue *queue)
{
    hr_gate *gate = &queue->gate;
    bool getter_could = queue->items.count > 0 && gate->getters.first != NULL;
    bool putter_could = queue->items.count < queue->limit && gate->putters.first != NULL;
    check_line(&gate->getters);
    check_line(&gate->putters);
    check_line(&gate->joiners);
    require(gate->errand != NULL || !(getter_could || putter_could),
            "nobody sleeps who has something to do while no errand is out");
}

void
hr_check(hr_queue *queue)
{
    if (queue->process != hr_process()) {
        return; /* the waiters of the parent are still in the lines: see hr_check_fork */
    }
    if (queue->kind != HR_PRIORITY) {
        check_items(&queue->items);
    }
    require(queue->items.count >= 0 && (queue->items.count == 0 || !queue->opened),
            "an opened queue has its items in its container");
    require(queue->limit == (queue->is_shutdown || queue->opened ? 0 : queue->bound),
            "the limit follows from the bound and the state");
    check_gate(queue);
}

#endif
