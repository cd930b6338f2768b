/* preload/: a library for LD_PRELOAD, by which the threads of any program are the engine's. It takes the
 * place of pthread_create(3) and of what else must know such threads. It may use thread/ and what is below.
 *
 * This file: the statistics that the library leaves in a file, which all processes of the program map. cffi
 * reads this file after api.h. The reader makes the file, of zeros but for `magic` and `capacity`. */

enum {
    KT_STATISTICS_MAGIC = 0x6b747331,
    KT_STATISTICS_HEAD = 64 /* bytes from the beginning of the file to the first life */
};

/* What a thread was left to libc for. */
enum kt_handed {
    KT_HANDED_NOT = 0,
    KT_HANDED_BACKEND = 1,        /* the backend is pthread */
    KT_HANDED_LIBC = 2,           /* the engine does not understand this libc */
    KT_HANDED_DETACHED_STACK = 3, /* detached, on the caller's stack: its owner cannot know when it is free */
    KT_HANDED_SMALL_STACK = 4,    /* the caller's stack has no room for the thread's descriptor */
    KT_HANDED_CPUS = 5,           /* an affinity with a CPU beyond KT_PRELOAD_CPUS */
    KT_HANDED_UNCHECKED = 6 /* the engine could not check this libc, as the program has used up all keys */
};

enum { KT_PRELOAD_CPUS = 1024 };

/* The life of a thread. Times are ns of CLOCK_MONOTONIC, and 0 for what has not happened. */
typedef struct kt_life {
    int64_t create_ns; /* the call that makes it */
    int64_t begin_ns;  /* the thread's first instruction after libc has set it up */
    int64_t end_ns;    /* its start routine has returned, called pthread_exit or was cancelled */
    int64_t join_ns;   /* the call of the join that succeeded */
    int64_t joined_ns; /* that join's return */
    uint64_t flags;    /* of clone; 0 for a thread of libc */
    uint64_t stack_size;
    uint64_t ident;   /* pthread_self() */
    uint64_t routine; /* the start routine and its argument */
    uint64_t argument;
    int32_t pid;
    int32_t tid;
    uint32_t image; /* which of the images below has made it */
    int32_t error;  /* what pthread_create has returned */
    uint8_t handed; /* enum kt_handed */
    uint8_t detached;
    uint8_t reused;
    uint8_t own_stack; /* the stack is the caller's */
    uint8_t unused[4];
} kt_life;

typedef struct kt_statistics {
    uint32_t magic;
    uint32_t capacity; /* lives for which the file has room */
    uint32_t threads;  /* threads asked for, also those for which it has none */
    uint32_t images;   /* programs executed and children forked */
} kt_statistics;
