/* The initial values of thread-local variables. */
#ifndef KT_IMAGES_H
#define KT_IMAGES_H

#include <stdbool.h>

/* Copies of the TLS images of the modules that are loaded at one time. */
struct kt__images;

/* Those of now, for a thread about to be made; NULL where they cannot be had just now. */
struct kt__images *kt__images_take(void);

/* The lock must be held. NULL is ignored. */
void kt__images_drop(struct kt__images *images);

/* Gives every thread-local variable of the calling thread its initial value, but for those of libc itself,
 * which go on describing the same thread. Their destructors must have run. False when that cannot be done:
 * without images, or when a module with thread-local variables was loaded since they were taken. Takes no
 * locks. */
bool kt__images_restore(const struct kt__images *images);

#endif
