/* long kt__spawn(long number, long a, long b, long c, long d, long e)
 *
 * Issues a clone or clone3 system call. The caller returns with the kernel's answer. The child finds two
 * words on its new stack, a function and its argument. It calls the function with the argument and ends.
 *
 *   C argument   x0     x1  x2  x3  x4  x5
 *   system call  x8     x0  x1  x2  x3  x4 */
        .text
        .globl  kt__spawn
        .hidden kt__spawn
        .type   kt__spawn, %function
kt__spawn:
        .cfi_startproc
        hint    #34                 /* bti c: a landing pad for indirect calls */
        mov     x8, x0
        mov     x0, x1
        mov     x1, x2
        mov     x2, x3
        mov     x3, x4
        mov     x4, x5
        svc     #0
        cbz     x0, .Lchild
        ret
.Lchild:
        .cfi_undefined x30          /* unwinders and debuggers stop here: this frame has no caller */
        mov     x29, #0             /* the same for tools that follow frame pointers */
        mov     x30, #0
        ldp     x1, x0, [sp], #16
        blr     x1
        mov     x8, #93             /* exit(0) ends this thread only; the kernel clears its word */
        mov     x0, #0
        svc     #0
        brk     #0
        .cfi_endproc
        .size   kt__spawn, .-kt__spawn

        .section .note.GNU-stack, "", %progbits

        .section .note.gnu.property, "a" /* compatible with BTI: it has the landing pad */
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000000, 4, 1, 0
