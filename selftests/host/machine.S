/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The firmware, and all there is, of the small machine that QEMU runs in the guest of make
 * programs: writes a sequence to its memory for ever, from which a lost, stale or torn page is
 * seen. In round n it writes a word in each 512 bytes from 1 MiB to the end: n in its lower half,
 * the number of the page in its upper half. So at any moment all words before the one it is at are
 * of round n, and all behind it of round n - 1. Before it overwrites a word it looks itself.
 *
 * At 0x1000 it says: the round, which word was wrong, what it read there, what it had written.
 */
#define STATE	0x1000
#define MEMORY	0x100000
#define END	0x1000000
#define STEP	512

	.text
rom:
	.org	0xf000
	.code32
start:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	/* in round 0 it does not look */
	xorl	%edx, %edx
	movl	%edx, STATE
	movl	%edx, STATE + 4
round:
	movl	$MEMORY, %edi
word:
	/* of which page: ebx is what the word shall be, ecx what it was a round ago */
	movl	%edi, %ebx
	shrl	$12, %ebx
	shll	$16, %ebx
	movl	%ebx, %ecx
	movw	%dx, %bx
	testl	%edx, %edx
	jz	write
	leal	-1(%edx), %eax
	movw	%ax, %cx
	cmpl	%ecx, (%edi)
	jne	wrong
write:
	movl	%ebx, (%edi)
	addl	$STEP, %edi
	cmpl	$END, %edi
	jb	word
	incl	%edx
	movl	%edx, STATE
	jmp	round
wrong:
	movl	(%edi), %eax
	movl	%eax, STATE + 8
	movl	%ecx, STATE + 12
	movl	%edi, STATE + 4
stop:
	hlt
	jmp	stop

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9a000000ffff
	.quad	0x00cf92000000ffff
gdt_end:
gdt_at:
	.word	gdt_end - gdt - 1
	.long	gdt

	/* the CPU begins in real mode, 16 bytes before the end of the ROM */
	.code16
real:
	cli
	lgdtl	%cs:(gdt_at - rom)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$8, $start

	.org	0xfff0
	jmp	real
	.org	0x10000
