/* The TLS images of the loaded modules.
 *
 * A parked thread needs them between two runs, when whoever waits for its run may hold the lock of
 * dl_iterate_phdr. So whoever makes a reusable thread collects them for it, on a thread of its own choice,
 * and they are copies, which last when a module is unloaded. They are shared by all threads made until the
 * next module with TLS is loaded. A thread that is older than such a module cannot tell which of its blocks
 * are that module's (libc enters some into the thread's DTV only when they are asked for by way of it), and
 * ends after its run.
 *
 * Which modules there are libc keeps in lists of slots that can be read without a lock: each has the number
 * of the load or unload that it last changed with, its generation (elf/dl-tls.c, "CONCURRENCY NOTES"). */
#define _GNU_SOURCE
#include "libc/tls_images.h"

#include "base/fork.h"
#include "libc/libc.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>

struct image {
    bool known; /* the rest is valid */
    uintptr_t generation;
    void *initial; /* NULL for libc's own modules, which are left alone */
    size_t initial_size, size;
};

struct kt__images {
    size_t users; /* threads, and `current`; guarded by the engine's lock */
    size_t count;
    struct image *of; /* by number of the module, as in a DTV */
};

static struct kt__images *current; /* guarded by the engine's lock */

/* ---- What is loaded ------------------------------------------------------------------------------- */

static const struct kt__slot *slot_of(size_t module)
{
    const struct kt__slots *slots = *kt__libc.slots;
    while (slots && module >= slots->length) {
        module -= slots->length;
        slots = atomic_load_explicit(&slots->next, memory_order_acquire);
    }
    return slots ? &slots->slot[module] : NULL;
}

static bool is_loaded(const struct kt__slot *slot)
{
    return atomic_load_explicit(&slot->module, memory_order_relaxed) != NULL;
}

static bool has(const struct kt__images *images, size_t module, const struct kt__slot *slot)
{
    return module < images->count && images->of[module].known &&
           images->of[module].generation == atomic_load_explicit(&slot->generation, memory_order_relaxed);
}

/* Modules are numbered from 1: slot 0 says nothing. */
static bool has_all(const struct kt__images *images)
{
    size_t module = 0;
    for (const struct kt__slots *slots = *kt__libc.slots; slots;
         slots = atomic_load_explicit(&slots->next, memory_order_acquire)) {
        for (size_t i = 0; i < slots->length; i++, module++) {
            if (module > 0 && is_loaded(&slots->slot[i]) && !has(images, module, &slots->slot[i])) {
                return false;
            }
        }
    }
    return true;
}

/* ---- Collecting ----------------------------------------------------------------------------------- */

static void free_images(struct kt__images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        free(images->of[i].initial);
    }
    free(images->of);
    free(images);
}

static bool make_room(struct kt__images *images, size_t count)
{
    if (count <= images->count) {
        return true;
    }
    struct image *larger = realloc(images->of, count * sizeof *larger);
    if (!larger) {
        return false;
    }
    memset(larger + images->count, 0, (count - images->count) * sizeof *larger);
    images->of = larger;
    images->count = count;
    return true;
}

/* libc and the dynamic linker keep malloc's caches, the locale tables and so on in TLS of theirs. */
static bool belongs_to_libc(const struct dl_phdr_info *module)
{
    return module->dlpi_addr == kt__libc.own_modules[0] || module->dlpi_addr == kt__libc.own_modules[1];
}

static bool copy(struct image *image, const struct dl_phdr_info *module)
{
    for (size_t i = 0; i < module->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &module->dlpi_phdr[i];
        if (segment->p_type != PT_TLS) {
            continue;
        }
        image->size = segment->p_memsz;
        image->initial_size = segment->p_filesz;
        image->initial = malloc(image->initial_size ? image->initial_size : 1);
        if (!image->initial) {
            return false;
        }
        memcpy(image->initial, (const void *)(uintptr_t)(module->dlpi_addr + segment->p_vaddr),
               image->initial_size);
    }
    return true;
}

/* Not 0 to stop: for want of memory. */
static int add_image(struct dl_phdr_info *module, size_t size, void *argument)
{
    struct kt__images *images = argument;
    size_t number = module->dlpi_tls_modid;
    const struct kt__slot *slot = number ? slot_of(number) : NULL;
    (void)size;
    if (!slot || !is_loaded(slot)) {
        return 0; /* it has no TLS, or is just being loaded, and its image may not be relocated yet */
    }
    if (!make_room(images, number + 1)) {
        return 1;
    }
    struct image *image = &images->of[number];
    image->generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
    image->known = belongs_to_libc(module) || copy(image, module);
    return !image->known;
}

static struct kt__images *collect(void)
{
    struct kt__images *images = calloc(1, sizeof *images);
    if (images && dl_iterate_phdr(add_image, images) != 0) {
        free_images(images);
        return NULL;
    }
    return images;
}

/* ---- Sharing -------------------------------------------------------------------------------------- */

static struct kt__images *share_current(void)
{
    kt__lock();
    struct kt__images *images = current && has_all(current) ? current : NULL;
    if (images) {
        images->users++;
    }
    kt__unlock();
    return images;
}

static void make_current(struct kt__images *images)
{
    kt__lock();
    kt__images_drop(current);
    current = images;
    images->users = 1;
    kt__unlock();
}

struct kt__images *kt__images_take(void)
{
    struct kt__images *images = share_current();
    if (images || !kt__try_lock_modules()) {
        return images;
    }
    images = collect();
    kt__unlock_modules();
    if (!images) {
        return NULL;
    }
    make_current(images);
    return share_current();
}

void kt__images_drop(struct kt__images *images)
{
    if (images && --images->users == 0) {
        free_images(images);
    }
}

/* ---- Restoring ------------------------------------------------------------------------------------ */

/* The DTV of glibc: entry 0 counts the entries, each of which is a block's address and what to free;
 * (void *)-1 stands for a block that this thread has not touched (sysdeps/generic/dl-dtv.h). */
struct dtv_entry {
    void *block;
    void *to_free;
};

static void restore(const struct image *image, char *block)
{
    if (!image->initial || !block || block == (char *)-1) {
        return;
    }
    memcpy(block, image->initial, image->initial_size);
    memset(block + image->initial_size, 0, image->size - image->initial_size);
}

bool kt__images_restore(const struct kt__images *images)
{
    const struct dtv_entry *dtv;
    if (!images || !has_all(images)) {
        return false;
    }
    memcpy(&dtv, (char *)pthread_self() + kt__libc.dtv_offset, sizeof dtv);
    size_t entries = (size_t)(uintptr_t)dtv[-1].block;
    for (size_t module = 1; module < images->count && module <= entries; module++) {
        restore(&images->of[module], dtv[module].block);
    }
    return true;
}
