// oneTBB, for the harness of `kthreads bench` (csrc/bench/shim.c). Compiled where kthreads runs; needs its
// headers.
#include <cerrno>
#include <cstdint>
#include <new>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

namespace
{
using oneapi::tbb::global_control;

struct Pool {
    global_control limit;
    oneapi::tbb::task_arena arena;

    explicit Pool(unsigned threads)
        : limit(global_control::max_allowed_parallelism, threads < 2 ? 2 : threads),
          arena(static_cast<int>(threads))
    {
    }
};
} // namespace

extern "C" int kt_shim_tbb_open(void **state, std::uint32_t threads)
{
    *state = new (std::nothrow) Pool(threads);
    return *state ? 0 : -ENOMEM;
}

extern "C" void kt_shim_tbb_region(void *state, void (*body)(void *, std::uint32_t), void *argument,
                                   std::uint32_t threads)
{
    static_cast<Pool *>(state)->arena.execute([=] {
        oneapi::tbb::parallel_for(
            std::uint32_t(0), threads, [=](std::uint32_t number) { body(argument, number); },
            oneapi::tbb::simple_partitioner());
    });
}

extern "C" void kt_shim_tbb_task(void *state, void (*function)(void *), void *argument)
{
    static_cast<Pool *>(state)->arena.enqueue([=] { function(argument); });
}

extern "C" void kt_shim_tbb_close(void *state)
{
    delete static_cast<Pool *>(state);
}
