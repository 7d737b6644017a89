// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction's bytes are followed by breakpoints. A trampoline loads all registers and jumps
 * there; whatever trap comes is a signal, whose frame holds all registers; the handler copies them
 * and makes the frame return to C.
 */
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "native.h"

u64 native_gs_base, native_fs_base;

struct native_state native_current;
u64 native_host_rsp;
u64 native_data_segment;
struct {
	u32 offset;
	u16 selector;
} __attribute__((packed)) native_target;

int native_trapped; /* vector; 3 if the code ran to its end */
static volatile bool native_running;

extern const char native_resume[], native_exit[];
void native_enter(void);

/* Offsets are those of struct native_state: gpr 0, rip 128, rflags 136, vector 144. */
asm(".pushsection .text\n"
    "native_enter:\n"
    "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
    "	mov %rsp, native_host_rsp(%rip)\n"
    "	mov native_data_segment(%rip), %eax\n"
    "	mov %eax, %ds\n	mov %eax, %es\n"
    "	lea native_current(%rip), %rax\n"
    "	vmovdqu 144(%rax), %ymm0\n	vmovdqu 176(%rax), %ymm1\n"
    "	vmovdqu 208(%rax), %ymm2\n	vmovdqu 240(%rax), %ymm3\n"
    "	vmovdqu 272(%rax), %ymm4\n	vmovdqu 304(%rax), %ymm5\n"
    "	vmovdqu 336(%rax), %ymm6\n	vmovdqu 368(%rax), %ymm7\n"
    "	vmovdqu 400(%rax), %ymm8\n	vmovdqu 432(%rax), %ymm9\n"
    "	vmovdqu 464(%rax), %ymm10\n	vmovdqu 496(%rax), %ymm11\n"
    "	vmovdqu 528(%rax), %ymm12\n	vmovdqu 560(%rax), %ymm13\n"
    "	vmovdqu 592(%rax), %ymm14\n	vmovdqu 624(%rax), %ymm15\n"
    "	pushq 136(%rax)\n	popfq\n"
    "	mov 8(%rax), %rcx\n	mov 16(%rax), %rdx\n"
    "	mov 24(%rax), %rbx\n	mov 32(%rax), %rsp\n"
    "	mov 40(%rax), %rbp\n	mov 48(%rax), %rsi\n	mov 56(%rax), %rdi\n"
    "	mov 64(%rax), %r8\n	mov 72(%rax), %r9\n"
    "	mov 80(%rax), %r10\n	mov 88(%rax), %r11\n"
    "	mov 96(%rax), %r12\n	mov 104(%rax), %r13\n"
    "	mov 112(%rax), %r14\n	mov 120(%rax), %r15\n"
    "	mov 0(%rax), %rax\n"
    "	ljmp *native_target(%rip)\n"
    /* where code that completed jumps, from whatever mode; its registers are still live */
    "native_exit:\n"
    "	mov %rax, native_current+0(%rip)\n	mov %rsp, native_current+32(%rip)\n"
    "	mov native_host_rsp(%rip), %rsp\n"
    "	pushfq\n	popq native_current+136(%rip)\n"
    "	lea native_current(%rip), %rax\n"
    "	mov %rcx, 8(%rax)\n	mov %rdx, 16(%rax)\n	mov %rbx, 24(%rax)\n"
    "	mov %rbp, 40(%rax)\n	mov %rsi, 48(%rax)\n	mov %rdi, 56(%rax)\n"
    "	mov %r8, 64(%rax)\n	mov %r9, 72(%rax)\n"
    "	mov %r10, 80(%rax)\n	mov %r11, 88(%rax)\n"
    "	mov %r12, 96(%rax)\n	mov %r13, 104(%rax)\n"
    "	mov %r14, 112(%rax)\n	mov %r15, 120(%rax)\n"
    "	vmovdqu %ymm0, 144(%rax)\n	vmovdqu %ymm1, 176(%rax)\n"
    "	vmovdqu %ymm2, 208(%rax)\n	vmovdqu %ymm3, 240(%rax)\n"
    "	vmovdqu %ymm4, 272(%rax)\n	vmovdqu %ymm5, 304(%rax)\n"
    "	vmovdqu %ymm6, 336(%rax)\n	vmovdqu %ymm7, 368(%rax)\n"
    "	vmovdqu %ymm8, 400(%rax)\n	vmovdqu %ymm9, 432(%rax)\n"
    "	vmovdqu %ymm10, 464(%rax)\n	vmovdqu %ymm11, 496(%rax)\n"
    "	vmovdqu %ymm12, 528(%rax)\n	vmovdqu %ymm13, 560(%rax)\n"
    "	vmovdqu %ymm14, 592(%rax)\n	vmovdqu %ymm15, 624(%rax)\n"
    "	movl $3, native_trapped(%rip)\n"
    "native_resume:\n"
    "	xor %eax, %eax\n	mov %eax, %ds\n	mov %eax, %es\n"
    "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
    "	vzeroupper\n	cld\n"
    "	ret\n"
    ".popsection");

static const int order[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* YMM upper halves follow the legacy area and the XSAVE header. */
#define XSAVE_YMM 576

static void save_vectors(const u8 *frame)
{
	const u64 *header = (const u64 *)(frame + 512);
	unsigned int i;

	for (i = 0; i < 16; i++) {
		memcpy(native_current.vector[i], frame + 160 + 16 * i, 16);
		if (header[0] & 4)
			memcpy(native_current.vector[i] + 16, frame + XSAVE_YMM + 16 * i, 16);
		else
			memset(native_current.vector[i] + 16, 0, 16);
	}
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *gregs = uc->uc_mcontext.gregs;
	unsigned int i;

	(void)info;
	if (!native_running) {
		signal(number, SIG_DFL);
		/* our own mistake: run into it again without a handler */
		return;
	}
	for (i = 0; i < 16; i++)
		native_current.gpr[i] = gregs[order[i]];
	native_current.rip = gregs[REG_RIP];
	native_current.rflags = gregs[REG_EFL];
	native_trapped = gregs[REG_TRAPNO];
	native_current.error = gregs[REG_ERR];
	native_current.cr2 = gregs[REG_CR2];
	save_vectors((const u8 *)uc->uc_mcontext.fpregs);
	gregs[REG_RIP] = (greg_t)native_resume;
	gregs[REG_RSP] = native_host_rsp;
	gregs[REG_EFL] = 0x202;
	gregs[REG_CSGSFS] = (gregs[REG_CSGSFS] & ~0xffffull) | 0x33;
}

static bool add_ldt(unsigned int entry, bool code)
{
	struct user_desc desc = {
		.entry_number = entry,
		.base_addr = NATIVE_BASE16,
		.limit = 0xffff,
		.seg_32bit = 0,
		.contents = code ? MODIFY_LDT_CONTENTS_CODE : MODIFY_LDT_CONTENTS_DATA,
		.useable = 1,
	};

	return syscall(SYS_modify_ldt, 1, &desc, sizeof(desc)) == 0;
}

static bool have_16;

bool native_init(void)
{
	static const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS };
	struct sigaction action = { .sa_sigaction = on_signal,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t stack = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	unsigned int i;
	u8 *data;

	if (mmap((void *)NATIVE_CODE, NATIVE_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, flags,
		 -1, 0) == MAP_FAILED)
		return false;
	data = mmap((void *)NATIVE_DATA, NATIVE_DATA_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (data == MAP_FAILED)
		return false;
	memset((void *)NATIVE_CODE, 0xcc, NATIVE_CODE_SIZE);
	for (i = NATIVE_WRITABLE; i < NATIVE_DATA_SIZE; i++)
		data[i] = i * 37 + (i >> 8);
	mprotect(data + NATIVE_WRITABLE, NATIVE_DATA_SIZE - NATIVE_WRITABLE, PROT_READ);
	native_gs_base = NATIVE_DATA + 0x800;
	syscall(SYS_arch_prctl, ARCH_SET_GS, native_gs_base);
	syscall(SYS_arch_prctl, ARCH_GET_FS, &native_fs_base);
	sigaltstack(&stack, NULL);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	have_16 = add_ldt(0, true) && add_ldt(1, false);
	return true;
}

bool native_has_mode(enum native_mode mode)
{
	return mode != NATIVE_16 || have_16;
}

u16 native_cs(enum native_mode mode)
{
	return mode == NATIVE_64 ? 0x33 : mode == NATIVE_32 ? 0x23 : 0x7;
}

/* Data segments of 32-bit code are flat, of 16-bit code 64 KiB from its base; SS is always flat. */
u16 native_ds(enum native_mode mode)
{
	return mode == NATIVE_64 ? 0 : mode == NATIVE_32 ? 0x2b : 0xf;
}

/*
 * A jump to native_exit, behind the instruction. Its length; 64-bit code uses FF 25, others a far
 * jump.
 */
static void put_exit(enum native_mode mode, u8 *code)
{
	u64 target = (u64)native_exit;

	if (mode == NATIVE_64) {
		memcpy(code, "\xff\x25\0\0\0\0", 6);
		memcpy(code + 6, &target, 8);
		return;
	}
	if (mode == NATIVE_16)
		*code++ = 0x66;
	*code++ = 0xea;
	memcpy(code, &target, 4);
	memcpy(code + 4, "\x33\0", 2);
}

void native_run(enum native_mode mode, struct native_state *state, unsigned int length)
{
	u64 end = state->rip + length;
	u8 *code = (u8 *)(end + (mode == NATIVE_16 ? NATIVE_BASE16 : 0));

	put_exit(mode, code);
	native_current = *state;
	native_current.error = native_current.cr2 = 0;
	native_target.offset = state->rip;
	native_target.selector = native_cs(mode);
	native_data_segment = native_ds(mode);
	native_current.rip = end;
	native_trapped = -1;
	native_running = true;
	native_enter();
	native_running = false;
	native_current.trap = native_trapped;
	/* RIP behind the breakpoint that a jump landed on */
	if (native_trapped == 3 && native_current.rip != end)
		native_current.rip--;
	memset(code, 0xcc, NATIVE_EXIT_SIZE);
	*state = native_current;
}
