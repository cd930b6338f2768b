/* How a check fails: it returns the line of what did not hold. */
#ifndef EXPECT_H
#define EXPECT_H

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            return __LINE__;                                                                                 \
        }                                                                                                    \
    } while (0)

#endif
