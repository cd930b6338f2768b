/* Which sanitizer this code was compiled for. */
#ifndef KT_SANITIZER_H
#define KT_SANITIZER_H

/* ThreadSanitizer knows only the threads that pthread_create makes: a thread made by clone would crash it. */
#ifdef __SANITIZE_THREAD__
#define KT_THREAD_SANITIZER 1
#else
#define KT_THREAD_SANITIZER 0
#endif

/* AddressSanitizer keeps its state of a thread under a pthread key, and the key's destructor deletes it. So a
 * thread that has run its destructors cannot run again. */
#ifdef __SANITIZE_ADDRESS__
#define KT_ADDRESS_SANITIZER 1
#else
#define KT_ADDRESS_SANITIZER 0
#endif

#endif
