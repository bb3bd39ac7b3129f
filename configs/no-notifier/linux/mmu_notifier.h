/* SPDX-License-Identifier: GPL-2.0 */
/*
 * scripts/no-notifier.sh puts this before the kernel's own <linux/mmu_notifier.h> to see what is
 * left of a file, without CONFIG_MMU_NOTIFIER, when all of its calls are deleted. The range is
 * filled in only where the file itself reads it (READS_RANGE).
 */
#include_next <linux/mmu_notifier.h>

#undef mmu_notifier_range_init
#undef mmu_notifier_range_init_owner
#ifdef READS_RANGE
#define mmu_notifier_range_init(range, event, flags, mm, from, to) \
	((range)->start = (from), (range)->end = (to))
#else
#define mmu_notifier_range_init(range, ...) ((void)(range))
#endif
#define mmu_notifier_range_init_owner(range, event, flags, mm, from, to, owner) \
	mmu_notifier_range_init(range, event, flags, mm, from, to)
#define mmu_notifier_invalidate_range_start(range) ((void)0)
#define mmu_notifier_invalidate_range_start_nonblock(range) 0
#define mmu_notifier_invalidate_range_end(range) ((void)0)
#define mmu_notifier_arch_invalidate_secondary_tlbs(mm, start, end) ((void)0)
#define mmu_notifier_clear_flush_young(mm, start, end) false
#define mmu_notifier_clear_young(mm, start, end) false
#define mmu_notifier_test_young(mm, address) false
#define mmu_notifier_release(mm) ((void)0)
#define mmu_notifier_subscriptions_init(mm) ((void)0)
#define mmu_notifier_subscriptions_destroy(mm) ((void)0)
