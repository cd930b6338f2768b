/* Which sanitizer this was compiled for. */
#ifndef KT_SANITIZER_H
#define KT_SANITIZER_H

/* ThreadSanitizer learns of threads from pthread_create alone: clone would make it crash. */
#ifdef __SANITIZE_THREAD__
#define KT_THREAD_SANITIZER 1
#else
#define KT_THREAD_SANITIZER 0
#endif

/* AddressSanitizer keeps its view of a thread under a key, whose destructor ends it: a thread that has run
 * its destructors cannot go on. */
#ifdef __SANITIZE_ADDRESS__
#define KT_ADDRESS_SANITIZER 1
#else
#define KT_ADDRESS_SANITIZER 0
#endif

#endif
