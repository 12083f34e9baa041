//! Where the program begins, before its C library: the mappings of its text are divided there (`memory::BLOCK`).
//!
//! The C library's start touches windows of 64 KiB all over the text, 1.1 MiB, and since Linux 6.18 a fault brings in a whole folio of the page
//! cache: a file written in one piece is resident in full with the first instruction. That counts as the peak, in the door as well, which
//! begins with an exec. `build.rs` makes this the entry and gives it a small mapping of its own.
//!
//! Programs whose linker does not know that, and other processors, divide when the C library is ready.

// The first byte of the program and the last of its text are linker symbols; registers are as the kernel leaves them: the stack pointer at
// the count of arguments. `keepalive` wants to be quick and is over at once, so it is left as it is.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
core::arch::global_asm!(
    ".pushsection .text.watchd_entry, \"ax\", @progbits",
    ".globl watchd_entry",
    ".type watchd_entry, @function",
    "watchd_entry:",
    "  cmp qword ptr [rsp], 2",
    "  jb 2f",
    "  mov rax, [rsp + 16]",
    // As much of the word as a page surely holds: byte by byte, up to the first that differs.
    "  cmp byte ptr [rax], 'k'",
    "  jne 2f",
    "  cmp byte ptr [rax + 1], 'e'",
    "  jne 2f",
    "  cmp byte ptr [rax + 2], 'e'",
    "  je 4f",
    "2:",
    "  mov r12, rdx",
    "  lea rbx, [rip + __ehdr_start]",
    "  lea rbp, [rip + etext]",
    "  and rbx, -{twice}",
    "  add rbx, {block}",
    "3:",
    "  lea rax, [rbx + {block}]",
    "  cmp rax, rbp",
    "  ja 5f",
    "  mov eax, {madvise}",
    "  mov rdi, rbx",
    "  mov esi, {block}",
    "  mov edx, {advice}",
    "  syscall",
    "  add rbx, {twice}",
    "  jmp 3b",
    "5:",
    "  mov byte ptr [rip + {divided}], 1",
    "  mov rdx, r12",
    "  xor ebp, ebp",
    "4:",
    "  jmp _start",
    ".popsection",
    divided = sym super::memory::IS_DIVIDED,
    block = const super::memory::BLOCK,
    twice = const 2 * super::memory::BLOCK,
    madvise = const libc::SYS_madvise,
    advice = const libc::MADV_DONTDUMP,
);
