/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a host on Bochs starts with, in the place of the VGA BIOS: the system BIOS calls it when
 * ACPI tables and PCI are set up. Kernel and initramfs are in memory already; all that is left is
 * to enter the kernel by PVH. Macros: ROM (where this is), ENTRY and START_INFO (addresses).
 */
	.code16
	.globl	_start
_start:
	.word	0xaa55
	.byte	1			/* length in 512 bytes */
	cli
	cld
	inb	$0x92, %al		/* A20 on, no reset */
	orb	$2, %al
	andb	$0xfe, %al
	outb	%al, $0x92
	lgdtl	%cs:gdt_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$8, $ROM + flat

	.code32
flat:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$START_INFO, %ebx
	movl	$ENTRY, %eax
	jmp	*%eax

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* code, 4 GiB */
	.quad	0x00cf93000000ffff	/* data, 4 GiB */
gdt_pointer:
	.word	. - gdt - 1
	.long	ROM + gdt
