/* The TLS image of each loaded module, found once for each state of the list of modules. */
#define _GNU_SOURCE
#include "images.h"

#include "cpu.h"
#include "fork.h"
#include "thread.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>

struct image {
    size_t module; /* index into a DTV */
    const void *initial;
    size_t initial_size, size;
};

struct images {
    unsigned long long adds, subs; /* of dl_iterate_phdr, when they were collected */
    size_t count, room;
    struct image *all;
};

static struct images images; /* guarded by the engine's lock */

/* libc and the dynamic linker keep malloc's caches, the locale tables and so on in TLS of theirs. */
static bool belongs_to_libc(const struct dl_phdr_info *module)
{
    return module->dlpi_addr == kt__libc.own_modules[0] || module->dlpi_addr == kt__libc.own_modules[1];
}

static void add_image(struct images *into, const struct dl_phdr_info *module, const ElfW(Phdr) * segment)
{
    if (into->count == into->room) {
        size_t room = into->room ? 2 * into->room : 16;
        struct image *larger = realloc(into->all, room * sizeof *larger);
        if (!larger) {
            return;
        }
        into->all = larger;
        into->room = room;
    }
    into->all[into->count++] =
        (struct image){.module = module->dlpi_tls_modid,
                       .initial = (const void *)(uintptr_t)(module->dlpi_addr + segment->p_vaddr),
                       .initial_size = segment->p_filesz,
                       .size = segment->p_memsz};
}

static int is_current(struct dl_phdr_info *module, size_t size, void *argument)
{
    const struct images *known = argument;
    (void)size;
    return module->dlpi_adds == known->adds && module->dlpi_subs == known->subs ? 1 : 2;
}

static int collect(struct dl_phdr_info *module, size_t size, void *argument)
{
    struct images *into = argument;
    (void)size;
    into->adds = module->dlpi_adds;
    into->subs = module->dlpi_subs;
    if (!module->dlpi_tls_modid || belongs_to_libc(module)) {
        return 0;
    }
    for (size_t i = 0; i < module->dlpi_phnum; i++) {
        if (module->dlpi_phdr[i].p_type == PT_TLS) {
            add_image(into, module, &module->dlpi_phdr[i]);
        }
    }
    return 0;
}

/* The DTV of glibc: entry 0 counts the entries, each of which is a block's address and what to free;
 * (void *)-1 stands for a block that this thread has not touched (sysdeps/generic/dl-dtv.h). */
struct dtv_entry {
    void *block;
    void *to_free;
};

static void restore(const struct image *image, const struct dtv_entry *dtv)
{
    size_t entries = (size_t)(uintptr_t)dtv[-1].block;
    if (image->module > entries) {
        return;
    }
    char *block = dtv[image->module].block;
    if (block == (char *)-1 || !block) {
        return;
    }
    memcpy(block, image->initial, image->initial_size);
    memset(block + image->initial_size, 0, image->size - image->initial_size);
}

void kt__restore_images(void)
{
    const struct dtv_entry *dtv;
    /* dl_iterate_phdr takes a lock that fork does not look after: no child may find it held. */
    kt__lock();
    if (dl_iterate_phdr(is_current, &images) != 1) {
        images.count = 0;
        dl_iterate_phdr(collect, &images);
    }
    memcpy(&dtv, (char *)pthread_self() + kt__libc.dtv_offset, sizeof dtv);
    for (size_t i = 0; i < images.count; i++) {
        restore(&images.all[i], dtv);
    }
    kt__unlock();
}
