/* The initial values of thread-local variables. */
#ifndef KT_IMAGES_H
#define KT_IMAGES_H

/* Gives every thread-local variable of the calling thread its initial value, but for those of libc
 * itself, which go on describing the same thread. Their destructors must have run. */
void kt__restore_images(void);

#endif
