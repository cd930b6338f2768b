/* The initial values of thread-local variables. */
#ifndef KT_TLS_IMAGES_H
#define KT_TLS_IMAGES_H

#include <stdbool.h>

/* Copies of the TLS images of the modules that are loaded at one time. */
struct kt__images;

/* The images of the modules that are loaded now, for a thread about to be made. NULL where they cannot be
 * copied at this time. */
struct kt__images *kt__images_take(void);

/* Drops one use of the images. The caller holds the engine's lock. NULL is ignored. */
void kt__images_drop(struct kt__images *images);

/* Gives every thread-local variable of the calling thread its initial value, except those of libc, which
 * continue to describe the same thread. The destructors of the variables must have run. Returns false without
 * images, and when a module with thread-local variables was loaded since the images were taken. Takes no
 * locks. */
bool kt__images_restore(const struct kt__images *images);

#endif
