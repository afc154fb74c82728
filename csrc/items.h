/* The items of a queue: a double-ended list of pointers in blocks. No Python.h.
 *
 * A block is an array that is filled from its start and emptied from either end, so adding or taking an
 * item moves one pointer, whether ten items wait or ten million: nothing is ever copied or rehashed.
 * Blocks grow with the number of waiting items up to HR_BLOCK_BYTES, so a small queue is small,
 * and large blocks are mapped from the system and given back to it as soon
 * as they are empty, wherever the rest of the heap has grown to. The cost is 8.01 to 9.7 bytes an item.
 *
 * Invariants (the owner's lock is held):
 *   count == 0 or the item at head is the oldest and tail[-1] is the newest.
 *   head is in first, tail is in last; head < head_end whenever count > 0.
 *   At most one emptied block is kept as `spare`, against thrashing at a block's edge.
 */
#ifndef HEADRACE_ITEMS_H
#define HEADRACE_ITEMS_H

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define HR_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define HR_NOINLINE __attribute__((noinline, unused))
#else
#define HR_LIKELY(condition) (condition)
#define HR_NOINLINE
#endif

#define HR_BLOCK_BYTES 65536
#define HR_SMALLEST_BLOCK 60 /* slots: 512 bytes with the header */

typedef struct hr_block {
    struct hr_block *next;
    struct hr_block *previous;
    size_t capacity; /* slots */
    void *reserved;  /* keeps the slots aligned to half a cache line */
    void *slots[];
} hr_block;

#define HR_LARGEST_BLOCK ((HR_BLOCK_BYTES - sizeof(hr_block)) / sizeof(void *))

typedef struct {
    void **head;     /* the next item to take from the front */
    void **head_end; /* the end of the first block */
    void **tail;     /* the next free slot */
    void **tail_end; /* the end of the last block */
    ptrdiff_t count;
    hr_block *first;
    hr_block *last;
    hr_block *spare;
} hr_items;

static inline hr_block *
hr_block_new(size_t capacity)
{
    size_t size = sizeof(hr_block) + capacity * sizeof(void *);
    hr_block *block;
#ifdef __linux__
    if (capacity == HR_LARGEST_BLOCK) {
        block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        block = block == MAP_FAILED ? NULL : block;
    }
    else
#endif
        block = malloc(size);
    if (block != NULL) {
        block->next = block->previous = NULL;
        block->capacity = capacity;
    }
    return block;
}

static inline void
hr_block_free(hr_block *block)
{
#ifdef __linux__
    if (block != NULL && block->capacity == HR_LARGEST_BLOCK) {
        munmap(block, HR_BLOCK_BYTES);
        return;
    }
#endif
    free(block);
}

/* Keep the larger of an emptied block and the spare one, free the other. */
static inline void
hr_items_retire(hr_items *items, hr_block *block)
{
    if (items->spare == NULL || items->spare->capacity < block->capacity) {
        hr_block *smaller = items->spare;
        items->spare = block;
        block = smaller;
    }
    hr_block_free(block);
}

/* Append a block after the last one. Returns 0, or -1 without memory, with nothing changed. */
static inline int
hr_items_grow(hr_items *items)
{
    hr_block *block = items->spare;
    if (block != NULL) {
        items->spare = NULL;
        block->next = NULL;
    }
    else {
        /* A fifth of what waits: of 8 bytes a slot, no more than 1.6 an item lie unused. */
        size_t capacity = (size_t)items->count / 5;
        capacity = capacity < HR_SMALLEST_BLOCK ? HR_SMALLEST_BLOCK : capacity;
        capacity = capacity > HR_LARGEST_BLOCK ? HR_LARGEST_BLOCK : capacity;
        block = hr_block_new(capacity);
        if (block == NULL) {
            return -1;
        }
    }
    block->previous = items->last;
    if (items->last != NULL) {
        items->last->next = block;
    }
    else {
        items->first = block;
        items->head = block->slots;
        items->head_end = block->slots + block->capacity;
    }
    items->last = block;
    items->tail = block->slots;
    items->tail_end = block->slots + block->capacity;
    return 0;
}

/* Make sure that one item can be pushed. Returns 0, or -1 without memory. */
static inline int
hr_items_reserve(hr_items *items)
{
    return items->tail != items->tail_end ? 0 : hr_items_grow(items);
}

/* Add an item at the end; a slot must be there (hr_items_reserve). */
static inline void
hr_items_push(hr_items *items, void *item)
{
    assert(items->tail != items->tail_end);
    *items->tail++ = item;
    items->count++;
}

/* Put an item back before all others. Returns 0, or -1 without memory, with nothing changed.
 *
 * A block that is put before the first one is filled from its end. It stays right when it is the last one left and is
 * emptied from its end: head and tail meet inside it, before head_end, and the next push goes there. */
static HR_NOINLINE int
hr_items_push_front(hr_items *items, void *item)
{
    if (items->count == 0) {
        if (hr_items_reserve(items) < 0) {
            return -1;
        }
        hr_items_push(items, item);
        return 0;
    }
    if (items->head == items->first->slots) {
        hr_block *block = hr_block_new(HR_SMALLEST_BLOCK);
        if (block == NULL) {
            return -1;
        }
        block->next = items->first;
        items->first->previous = block;
        items->first = block;
        items->head = items->head_end = block->slots + block->capacity;
    }
    *--items->head = item;
    items->count++;
    return 0;
}

/* The first block has been emptied from its front: go on to the next, or start over in this one. */
static HR_NOINLINE void
hr_items_leave_first(hr_items *items)
{
    hr_block *block = items->first;
    if (block->next == NULL) {
        assert(items->count == 0);
        items->head = items->tail = block->slots;
        return;
    }
    items->first = block->next;
    items->first->previous = NULL;
    items->head = items->first->slots;
    items->head_end = items->head + items->first->capacity;
    hr_items_retire(items, block);
}

/* Take the oldest item; there must be one. */
static inline void *
hr_items_take_first(hr_items *items)
{
    assert(items->count > 0);
    void *item = *items->head++;
    items->count--;
    if (items->head == items->head_end) {
        hr_items_leave_first(items);
    }
    return item;
}

/* The last block has been emptied from its end: go back to the one before it. */
static inline void
hr_items_leave_last(hr_items *items)
{
    hr_block *block = items->last;
    items->last = block->previous;
    items->last->next = NULL;
    items->tail = items->tail_end = items->last->slots + items->last->capacity;
    hr_items_retire(items, block);
}

/* Take the newest item; there must be one. */
static inline void *
hr_items_take_last(hr_items *items)
{
    assert(items->count > 0);
    if (items->tail == items->last->slots) {
        hr_items_leave_last(items);
    }
    items->count--;
    return *--items->tail;
}

static inline void *
hr_items_first(const hr_items *items)
{
    return *items->head;
}

static inline void *
hr_items_last(const hr_items *items)
{
    return items->tail != items->last->slots ? items->tail[-1]
                                             : items->last->previous->slots[items->last->previous->capacity - 1];
}

/* Call visit(item, argument) for each item, oldest first, until one returns other than 0. */
static inline int
hr_items_each(const hr_items *items, int (*visit)(void *item, void *argument), void *argument)
{
    void **slot = items->head;
    for (hr_block *block = items->first; block != NULL; block = block->next) {
        void **end = block == items->last ? items->tail : block->slots + block->capacity;
        for (; slot != end; slot++) {
            int stop = visit(*slot, argument);
            if (stop) {
                return stop;
            }
        }
        slot = block->next == NULL ? NULL : block->next->slots;
    }
    return 0;
}

/* Bytes that the blocks take. */
static inline size_t
hr_items_bytes(const hr_items *items)
{
    size_t bytes = 0;
    for (hr_block *block = items->first; block != NULL; block = block->next) {
        bytes += sizeof(hr_block) + block->capacity * sizeof(void *);
    }
    if (items->spare != NULL) {
        bytes += sizeof(hr_block) + items->spare->capacity * sizeof(void *);
    }
    return bytes;
}

/* Free the blocks. The items must have been taken out, or moved elsewhere with their references. */
static inline void
hr_items_free(hr_items *items)
{
    for (hr_block *block = items->first; block != NULL;) {
        hr_block *next = block->next;
        hr_block_free(block);
        block = next;
    }
    hr_block_free(items->spare);
    memset(items, 0, sizeof(*items));
}

#endif
