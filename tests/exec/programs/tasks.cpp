// Tasks of oneTBB, and what they add up to.
#include <cstdio>

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_reduce.h>

int main()
{
    auto range = oneapi::tbb::blocked_range<long>(0, 1000000);
    long sum = oneapi::tbb::parallel_reduce(
        range, 0L,
        [](const auto &part, long before) {
            for (long i = part.begin(); i != part.end(); ++i) {
                before += i % 7;
            }
            return before;
        },
        [](long a, long b) { return a + b; });
    std::printf("%ld\n", sum);
}
