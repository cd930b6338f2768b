/* Copies of the TLS images of the loaded modules.
 *
 * A parked thread needs the images between two runs. At that time a thread that waits for its run may hold
 * the lock of dl_iterate_phdr, so the parked thread cannot take it. Instead the starter of a reusable thread
 * collects the images before. They are copies, so they remain valid when a module is unloaded. All threads
 * made until the next module with TLS is loaded share them. A thread that is older than such a module cannot
 * tell which of its TLS blocks belong to that module: libc enters some blocks into the thread's DTV only when
 * they are accessed through it. So the thread ends after its run.
 *
 * libc keeps the modules in lists of slots that can be read without a lock. Each slot has a generation: the
 * number of the load or unload that changed it last (elf/dl-tls.c, "CONCURRENCY NOTES"). */
#define _GNU_SOURCE
#include "libc/tls_images.h"

#include "base/fork.h"
#include "libc/libc.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>

struct image {
    bool known; /* the other fields are valid */
    uintptr_t generation;
    void *initial; /* NULL for libc's own modules, which are not reset */
    size_t initial_size, size;
};

struct kt__images {
    size_t
        users; /* the number of threads that use it, plus one for `current`; guarded by the engine's lock */
    size_t count;
    struct image *by_module; /* indexed by the module's number, as a DTV is */
};

static struct kt__images *current; /* guarded by the engine's lock */

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

static bool has_image(const struct kt__images *images, size_t module, const struct kt__slot *slot)
{
    return module < images->count && images->by_module[module].known &&
           images->by_module[module].generation ==
               atomic_load_explicit(&slot->generation, memory_order_relaxed);
}

/* Modules are numbered from 1: slot 0 has no meaning. */
static bool has_all(const struct kt__images *images)
{
    size_t module = 0;
    for (const struct kt__slots *slots = *kt__libc.slots; slots;
         slots = atomic_load_explicit(&slots->next, memory_order_acquire)) {
        for (size_t i = 0; i < slots->length; i++, module++) {
            if (module > 0 && is_loaded(&slots->slot[i]) && !has_image(images, module, &slots->slot[i])) {
                return false;
            }
        }
    }
    return true;
}

static void free_images(struct kt__images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        free(images->by_module[i].initial);
    }
    free(images->by_module);
    free(images);
}

static bool make_room(struct kt__images *images, size_t count)
{
    if (count <= images->count) {
        return true;
    }
    struct image *larger = realloc(images->by_module, count * sizeof *larger);
    if (!larger) {
        return false;
    }
    memset(larger + images->count, 0, (count - images->count) * sizeof *larger);
    images->by_module = larger;
    images->count = count;
    return true;
}

/* libc and the dynamic linker keep malloc's caches, the locale tables and more in TLS of their own. */
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

/* A callback of dl_iterate_phdr. Returns 1, which stops the iteration, when memory is short. */
static int add_image(struct dl_phdr_info *module, size_t size, void *argument)
{
    struct kt__images *images = argument;
    size_t number = module->dlpi_tls_modid;
    const struct kt__slot *slot = number ? slot_of(number) : NULL;
    (void)size;
    if (!slot || !is_loaded(slot)) {
        return 0; /* the module has no TLS, or is being loaded, when its image may not be relocated yet */
    }
    if (!make_room(images, number + 1)) {
        return 1;
    }
    struct image *image = &images->by_module[number];
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

/* The DTV of glibc (sysdeps/generic/dl-dtv.h). Entry 0 holds the number of entries. Each other entry holds
 * the address of a TLS block and the pointer to free; (void *)-1 is a block that this thread has not used
 * yet. */
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
        restore(&images->by_module[module], dtv[module].block);
    }
    return true;
}
