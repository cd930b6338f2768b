/* The settings of the preloaded library, from the environment. */
#define _GNU_SOURCE
#include "preload/preload.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static struct kt__preload preload;

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static void find_next(struct kt__next *next)
{
    *(void **)&next->create = dlsym(RTLD_NEXT, "pthread_create");
    *(void **)&next->join = dlsym(RTLD_NEXT, "pthread_join");
    *(void **)&next->tryjoin = dlsym(RTLD_NEXT, "pthread_tryjoin_np");
    *(void **)&next->timedjoin = dlsym(RTLD_NEXT, "pthread_timedjoin_np");
    *(void **)&next->clockjoin = dlsym(RTLD_NEXT, "pthread_clockjoin_np");
    *(void **)&next->detach = dlsym(RTLD_NEXT, "pthread_detach");
    *(void **)&next->cancel = dlsym(RTLD_NEXT, "pthread_cancel");
    *(void **)&next->exit = dlsym(RTLD_NEXT, "pthread_exit");
    *(void **)&next->getattr = dlsym(RTLD_NEXT, "pthread_getattr_np");
}

static int32_t backend_of(const char *name)
{
    return strcmp(name, "pthread") == 0  ? KT_BACKEND_PTHREAD
           : strcmp(name, "clone3") == 0 ? KT_BACKEND_CLONE3
                                         : KT_BACKEND_CLONE;
}

static void read_settings(void)
{
    preload.backend = backend_of(setting("KTHREADS_EXEC_BACKEND"));
    preload.options = strcmp(setting("KTHREADS_EXEC_REUSE"), "1") == 0 ? KT_OPTION_REUSE : 0;
    preload.main_thread = pthread_self(); /* a process has no other thread before its first pthread_create */
    find_next(&preload.next);
    kt__lives_open(setting("KTHREADS_EXEC_STATISTICS"));
}

const struct kt__preload *kt__preload(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_settings);
    return &preload;
}

/* Takes this library's path out of the list in LD_PRELOAD, whose separators are colons and spaces. */
static void leave_list(const char *own)
{
    char *list = strdup(setting("LD_PRELOAD")), *kept = calloc(1, strlen(setting("LD_PRELOAD")) + 1);
    char *rest = NULL;
    for (char *path = list ? strtok_r(list, ": ", &rest) : NULL; path && kept;
         path = strtok_r(NULL, ": ", &rest)) {
        if (strcmp(path, own) != 0) {
            strcat(strcat(kept, kept[0] ? ":" : ""), path);
        }
    }
    if (kept && kept[0]) {
        setenv("LD_PRELOAD", kept, 1);
    } else {
        unsetenv("LD_PRELOAD");
    }
    free(kept);
    free(list);
}

/* Programs that this one executes get an environment without the library. */
static void leave_environment(void)
{
    static const char *const names[] = {"KTHREADS_EXEC_BACKEND", "KTHREADS_EXEC_REUSE",
                                        "KTHREADS_EXEC_STATISTICS", "KTHREADS_EXEC_CHILDREN"};
    Dl_info self;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    if (dladdr(&preload, &self) && self.dli_fname) {
        leave_list(self.dli_fname);
    }
}

static __attribute__((constructor)) void begin(void)
{
    kt__preload();
    if (strcmp(setting("KTHREADS_EXEC_CHILDREN"), "0") == 0) {
        leave_environment();
    }
}
