/* long kt__spawn(long number, long a, long b, long c, long d, long e)
 *
 * Issues a clone or clone3 system call. The caller returns with the kernel's answer. The child finds two
 * words on its new stack, a function and its argument. It calls the function with the argument and ends. The
 * function's stack is aligned as after any call.
 *
 *   C argument   rdi     rsi  rdx  rcx  r8   r9
 *   system call  rax     rdi  rsi  rdx  r10  r8 */
        .text
        .globl  kt__spawn
        .hidden kt__spawn
        .type   kt__spawn, @function
kt__spawn:
        .cfi_startproc
        endbr64                     /* a landing pad for indirect calls (CET) */
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %r10
        movq    %r9, %r8
        syscall
        testq   %rax, %rax
        jz      .Lchild
        ret
.Lchild:
        .cfi_undefined rip          /* unwinders and debuggers stop here: this frame has no caller */
        xorl    %ebp, %ebp          /* the same for tools that follow frame pointers */
        popq    %rax
        popq    %rdi
        call    *%rax
        movl    $60, %eax           /* exit(0) ends this thread only; the kernel clears its word */
        xorl    %edi, %edi
        syscall
        ud2
        .cfi_endproc
        .size   kt__spawn, .-kt__spawn

        .section .note.GNU-stack, "", @progbits

        .section .note.gnu.property, "a" /* compatible with IBT (endbr64) and SHSTK (no return in the child) */
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000002, 4, 3, 0
