/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Arrivals until somebody accepts them: who accepts knows its connection's ends, and so the arrival. */

struct pending {
	u64 arrival;
	u64 time;
	u64 listener;
};

/*
 * By the connection's ends. Most are accepted at once: they lie in `recent`, which stays in the CPUs' caches, and who
 * takes a place that is taken sends its holder to the hash. To have them all there took a quarter of what all of
 * our programs take: each new entry is one that was not used for longest, and so in no cache.
 */
#define RECENT_BITS 12
struct recent {
	u64 key; /* 0: nobody's */
	struct pending value;
};
BPF_ARRAY(recent, struct recent, 1 << RECENT_BITS);
BPF_TABLE("lru_hash", u64, struct pending, pending, 131072);
#define BUSY (~0ULL) /* somebody writes here, or reads, just now */

/* The same of unix clients, which have no name: by the client's socket, from its connect on. */
BPF_TABLE("lru_hash", u64, struct pending, connecting, 16384);

static __always_inline struct recent *place_of(u64 key)
{
	int place = key * 0x9e3779b97f4a7c15ULL >> (64 - RECENT_BITS);
	return recent.lookup(&place);
}

static __always_inline void remember(u64 key, struct pending *value)
{
	struct recent *place = place_of(key);
	u64 holder = place ? place->key : BUSY;
	if (holder == BUSY)
		goto in_hash;
	if (holder) {
		/* First into the hash, then away from here: its accept must find it all the time. */
		struct pending other = place->value;
		pending.update(&holder, &other);
	}
	if (__sync_val_compare_and_swap(&place->key, holder, BUSY) != holder)
		goto in_hash;
	place->value = *value;
	__sync_lock_test_and_set(&place->key, key);
	return;
in_hash:
	pending.update(&key, value);
}

/* Whether it is there; it is not any more afterwards. */
static __always_inline int recall(u64 key, struct pending *value)
{
	struct recent *place = place_of(key);
	if (place && place->key == key && __sync_val_compare_and_swap(&place->key, key, BUSY) == key) {
		*value = place->value;
		__sync_lock_test_and_set(&place->key, 0);
		return 1;
	}
	struct pending *found = pending.lookup(&key);
	if (!found)
		return 0;
	*value = *found;
	pending.delete(&key);
	return 1;
}
