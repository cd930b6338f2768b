/* launcher/: a program of its own, without libc, which executes another one. The child executes it from a
 * sealed memfd before the program of a container, for two reasons. Nothing of the starter's memory and
 * command line is left in the init, which the launcher becomes. And /proc/self/exe, while the program is
 * looked up in a root that an enemy has written, is the launcher and not the starter's own executable file
 * (CVE-2019-5736).
 *
 * Its first argument is its name and its second one the options below, as hexadecimal numbers with a space
 * after each. Then come the paths of which it executes the first that can be executed, and the arguments of
 * the program. */
#ifndef KT_LAUNCHER_H
#define KT_LAUNCHER_H

enum kt__launch_option {
    KT_LAUNCH_INIT,    /* 1: fork, and stay as the init */
    KT_LAUNCH_CHANNEL, /* 1 + the descriptor to report a failure on, as a kt_failure; 0 for standard error, on
                          which the launcher writes its name and the reason */
    KT_LAUNCH_PLACE,   /* its place */
    KT_LAUNCH_FILTER,  /* 1 + a descriptor of the filter of system calls; 0 for none */
    KT_LAUNCH_MASK,    /* of the signals that the program blocks */
    KT_LAUNCH_PATHS,   /* the number of paths */
    KT_LAUNCH_OPTIONS
};

#endif
