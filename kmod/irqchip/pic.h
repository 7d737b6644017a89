/* SPDX-License-Identifier: GPL-2.0-only */
/* The pair of 8259A interrupt controllers of a PC: state machine only. */
#ifndef IRQCHIP_PIC_H
#define IRQCHIP_PIC_H

#include "env.h"

#define PIC_PINS	16	/* of both chips; pin 2 is the cascade */

/**
 * struct pic - both chips
 * @chip: master and slave, as KVM_GET_IRQCHIP shows them
 * @output: the master's INT line
 * @acked: pins whose service ended since the caller last cleared this; from bit 8 on the slave's
 */
struct pic {
	struct kvm_pic_state chip[2];
	bool output;
	u16 acked;
};

void pic_reset(struct pic *pic);
int pic_set_line(struct pic *pic, unsigned int pin, bool level);
int pic_take(struct pic *pic);
void pic_write(struct pic *pic, unsigned int port, u8 value);
u8 pic_read(struct pic *pic, unsigned int port);
void pic_load(struct pic *pic, int which, const struct kvm_pic_state *state);

#endif
