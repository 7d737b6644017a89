/* SPDX-License-Identifier: GPL-2.0-only */
/* What an access to guest memory wants: bits of second-level faults and of guest page walks. */
#ifndef MMU_ACCESS_H
#define MMU_ACCESS_H

#define ACCESS_READ	0x1
#define ACCESS_WRITE	0x2
#define ACCESS_EXEC	0x4
#define ACCESS_USER	0x8	/* walks: CPL 3 */
#define ACCESS_IMPLICIT	0x10	/* walks: the CPU's own, of descriptor tables: AC is no excuse */

#endif
