/* Loads and stores of one word that several threads may do at the same time. No order is asked for: what is stored here
 * is a number, or points to what never changes. */
#ifndef NNJPEG_ATOMICS_H
#define NNJPEG_ATOMICS_H

#if defined(__GNUC__)
#define NJ_LOAD(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define NJ_STORE(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELAXED)
#else /* Microsoft's C: aligned words are whole, and volatile keeps each access */
#define NJ_LOAD(word) (word)
#define NJ_STORE(word, value) ((word) = (value))
#endif

#endif
