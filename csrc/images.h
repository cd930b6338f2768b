/* The initial values of thread-local variables. */
#ifndef KT_IMAGES_H
#define KT_IMAGES_H

/* Gives every thread-local variable of the calling thread its initial value, but for those of libc
 * itself, which go on describing the same thread. Their destructors must have run. */
void kt__restore_images(void);

/* In a forked child: whoever held the lock of the images is gone. */
void kt__forget_images(void);

#endif
