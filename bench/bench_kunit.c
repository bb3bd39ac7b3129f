// SPDX-License-Identifier: GPL-2.0-only
/*
 * What operations on page tables cost. make bench compiles this file in the mm/tests of the base and of the
 * series; bench/README.md says how to do that on a machine of your own.
 *
 * A value is a difference of the time stamp counter: instructions under QEMU's -icount shift=0, cycles on a real
 * machine; on UML it is nanoseconds. Each line "BENCH group|what|how|units: values" has a value a round.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/hugetlb.h>
#include <linux/leafops.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/shmem_fs.h>
#include <linux/swapops.h>
#include <linux/syscalls.h>
#include <linux/trace_events.h>
#include <linux/userfaultfd_k.h>
#include <linux/vmalloc.h>
#include <asm/pgalloc.h>

#include "mm_kunit.h"

#if __has_include(<linux/as_dirty_helpers.h>)
#define SERIES 1
#include <linux/as_dirty_helpers.h>
#else
#define SERIES 0
#endif

#define ROUNDS 5
#define LEN(npages) ((unsigned long)(npages) << PAGE_SHIFT)
#define MIB(n) ((unsigned long)(n) << (20 - PAGE_SHIFT))

static u64 now(void)
{
#ifdef CONFIG_UML
	return ktime_get_ns();
#else
	return rdtsc_ordered();
#endif
}

static void report(const char *group, const char *what, const char *how, unsigned long units, const u64 *value)
{
	char line[24 * ROUNDS];
	int i, n = 0;

	for (i = 0; i < ROUNDS; i++)
		n += scnprintf(line + n, sizeof(line) - n, " %llu", value[i]);
	pr_info("BENCH %s|%s|%s|%lu:%s\n", group, what, how, units, line);
}

/* The first time is for the caches. */
#define BENCH(group, what, how, units, prepare, measured)		\
do {									\
	u64 value[ROUNDS];						\
	int round;							\
									\
	for (round = -1; round < ROUNDS; round++) {			\
		u64 began, took;					\
									\
		prepare;						\
		began = now();						\
		measured;						\
		took = now() - began;					\
		if (round >= 0)						\
			value[round] = took;				\
	}								\
	report(group, what, how, units, value);				\
} while (0)

/* Dirty tracking of the mapping of a device. */

#if SERIES
#define protect(mapping, first, n) apply_as_wrprotect(mapping, first, n)
#define clean(mapping, first, n, bitmap, start, end) apply_as_clean(mapping, first, n, 0, bitmap, start, end)
#else
#define protect(mapping, first, n) wp_shared_mapping_range(mapping, first, n)
#define clean(mapping, first, n, bitmap, start, end) \
	clean_record_shared_mapping_range(mapping, first, n, 0, bitmap, start, end)
#endif

static int dev_mmap(struct file *file, struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP);
	return 0;
}

static const struct file_operations dev_fops = {
	.fop_flags = FOP_UNSIGNED_OFFSET,
	.mmap = dev_mmap,
};

struct dev {
	struct kunit *test;
	struct file *file;
	unsigned long npages;
	unsigned int nr_vmas;
	unsigned long addr[64];
	unsigned long *bitmap;
	pte_t *kind;	/* every "every"th entry is the first, the others are the second */
	unsigned int every;
	unsigned long i;
};

static int fill_one(pte_t *ptep, unsigned long addr, void *data)
{
	struct dev *d = data;

	set_pte(ptep, d->kind[d->i++ % d->every != 0]);
	return 0;
}

static unsigned long part(struct dev *d)
{
	return d->npages / d->nr_vmas;
}

static void fill(struct dev *d, pte_t *kind, unsigned int every)
{
	unsigned int n;

	d->kind = kind;
	d->every = every;
	d->i = 0;
	for (n = 0; n < d->nr_vmas; n++)
		KUNIT_ASSERT_EQ(d->test, 0, apply_to_page_range(current->mm, d->addr[n], LEN(part(d)), fill_one, d));
	flush_tlb_mm(current->mm);
	bitmap_zero(d->bitmap, d->npages);
}

static void map_dev(struct dev *d, unsigned long npages, unsigned int nr_vmas)
{
	unsigned int n;

	d->npages = npages;
	d->nr_vmas = nr_vmas;
	for (n = 0; n < nr_vmas; n++)
		d->addr[n] = mm_kunit_map(d->test, d->file, n * part(d), part(d), MAP_SHARED)->vm_start;
	d->bitmap = kvcalloc(BITS_TO_LONGS(npages), sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(d->test, d->bitmap);
}

static void unmap_dev(struct dev *d)
{
	static pte_t none[2];
	unsigned int n;

	fill(d, none, 1);
	for (n = 0; n < d->nr_vmas; n++)
		KUNIT_ASSERT_EQ(d->test, 0, vm_munmap(d->addr[n], LEN(part(d))));
	kvfree(d->bitmap);
}

/* The limit: the loads and the atomic updates that there must be, and a lock for each page table. */
static __always_inline void bare(struct dev *d, bool cleans)
{
	struct mm_struct *mm = current->mm;
	unsigned long index, addr, end, next;
	unsigned int n;

	for (n = 0; n < d->nr_vmas; n++) {
		struct vm_area_struct *vma = find_vma(mm, d->addr[n]);

		index = n * part(d);
		end = d->addr[n] + LEN(part(d));
		for (addr = d->addr[n]; addr < end; addr = next) {
			pte_t *first, *ptep, *last;
			spinlock_t *ptl;

			next = pmd_addr_end(addr, end);
			first = pte_offset_map_lock(mm, mm_kunit_pmd(mm, addr), addr, &ptl);
			last = first + (next - addr) / PAGE_SIZE;
			for (ptep = first; ptep < last; ptep++) {
				pte_t pte = ptep_get(ptep);

				if (likely(!(cleans ? pte_dirty(pte) : pte_write(pte)) || !pte_present(pte)))
					continue;
				if (cleans) {
					pte = ptep_modify_prot_start(vma, addr, ptep);
					ptep_modify_prot_commit(vma, addr, ptep, pte, pte_mkclean(pte));
					__set_bit(index + (ptep - first), d->bitmap);
				} else {
					ptep_set_wrprotect(mm, addr, ptep);
				}
			}
			index += last - first;
			pte_unmap_unlock(first, ptl);
		}
	}
}

static void scans(struct dev *d, const char *how, pte_t *kind, unsigned int every, bool cleans)
{
	const char *what = cleans ? "clean" : "wrprotect";
	struct address_space *mapping = d->file->f_mapping;
	pgoff_t start, end;
	char text[64];

	snprintf(text, sizeof(text), "%s, %s", what, how);
	mmap_read_lock(current->mm);
	if (cleans)
		BENCH("dirty", text, "call", d->npages, fill(d, kind, every); start = 0; end = 0,
		      clean(mapping, 0, d->npages, d->bitmap, &start, &end));
	else
		BENCH("dirty", text, "call", d->npages, fill(d, kind, every),
		      protect(mapping, 0, d->npages));
	if (cleans)
		BENCH("dirty", text, "bare loop", d->npages, fill(d, kind, every), bare(d, true));
	else
		BENCH("dirty", text, "bare loop", d->npages, fill(d, kind, every), bare(d, false));
	mmap_read_unlock(current->mm);
}

static void bench_dirty(struct kunit *test)
{
	static const unsigned long sizes[] = { 1, 16, 512, MIB(16), MIB(256), MIB(1024), MIB(4096) };
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	struct dev *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	pte_t writable, none[2] = {}, ro[2], clean_[2], dirty[2], few[2];
	char text[64];
	int i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_NOT_NULL(test, d);
	d->test = test;
	d->file = mm_kunit_file(test, &dev_fops, NULL);
	writable = pte_mkyoung(pte_mkwrite_novma(pte_mkspecial(pfn_pte(page_to_pfn(page), PAGE_SHARED))));
	clean_[0] = clean_[1] = pte_mkclean(writable);
	ro[0] = ro[1] = pte_wrprotect(pte_mkclean(writable));
	dirty[0] = dirty[1] = pte_mkdirty(writable);
	few[0] = dirty[0];
	few[1] = clean_[0];

	map_dev(d, MIB(64), 1);
	scans(d, "none", none, 1, true);
	scans(d, "clean", clean_, 1, true);
	scans(d, "read-only", ro, 1, true);
	scans(d, "all dirty", dirty, 1, true);
	scans(d, "1% dirty", few, 101, true);
	scans(d, "none", none, 1, false);
	scans(d, "read-only", ro, 1, false);
	scans(d, "all writable", clean_, 1, false);
	unmap_dev(d);

	map_dev(d, MIB(64), 64);
	scans(d, "clean, 64 VMAs", clean_, 1, true);
	scans(d, "all dirty, 64 VMAs", dirty, 1, true);
	unmap_dev(d);

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (IS_ENABLED(CONFIG_UML) && sizes[i] > MIB(256))
			break;
		map_dev(d, sizes[i], 1);
		snprintf(text, sizeof(text), "clean, %lu pages", sizes[i]);
		scans(d, text, clean_, 1, true);
		unmap_dev(d);
	}
	__free_page(page);
}

#if SERIES && defined(CONFIG_TRANSPARENT_HUGEPAGE) && !defined(CONFIG_UML)
static void fill_huge(struct dev *d, unsigned long addr, pmd_t pmd)
{
	struct mm_struct *mm = current->mm;
	unsigned long end = addr + LEN(d->npages);

	for (; addr < end; addr += PMD_SIZE)
		set_pmd(mm_kunit_pmd(mm, addr), pmd);
	flush_tlb_mm(mm);
	bitmap_zero(d->bitmap, d->npages);
}

static int nothing(pte_t *ptep, unsigned long addr, void *data)
{
	return 0;
}
#endif

/* The same ranges by huge entries, which mainline leaves out. */
static void bench_dirty_huge(struct kunit *test)
{
#if SERIES && defined(CONFIG_TRANSPARENT_HUGEPAGE) && !defined(CONFIG_UML)
	struct dev *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	pgoff_t start = 0, end = 0;
	unsigned long addr, at;
	pmd_t pmd;

	KUNIT_ASSERT_NOT_NULL(test, d);
	d->test = test;
	d->file = mm_kunit_file(test, &dev_fops, NULL);
	map_dev(d, MIB(1026), 1);
	d->npages = MIB(1024);
	addr = ALIGN(d->addr[0], PMD_SIZE);
	/* tables to take the place of */
	KUNIT_ASSERT_EQ(test, 0, apply_to_page_range(current->mm, addr, LEN(d->npages), nothing, NULL));
	mmap_write_lock(current->mm);
	for (at = addr; at < addr + LEN(d->npages); at += PMD_SIZE) {
		pte_free(current->mm, pmd_pgtable(*mm_kunit_pmd(current->mm, at)));
		mm_dec_nr_ptes(current->mm);
	}
	pmd = pmd_mkhuge(pmd_mkspecial(pfn_pmd(0, PAGE_SHARED)));
	pmd = pmd_mkyoung(pmd_mkwrite_novma(pmd));
	BENCH("dirty", "clean, clean, huge", "call", d->npages, fill_huge(d, addr, pmd_mkclean(pmd)),
	      clean(d->file->f_mapping, (addr - d->addr[0]) >> PAGE_SHIFT, d->npages, d->bitmap, &start, &end));
	BENCH("dirty", "clean, all dirty, huge", "call", d->npages, fill_huge(d, addr, pmd_mkdirty(pmd)),
	      clean(d->file->f_mapping, (addr - d->addr[0]) >> PAGE_SHIFT, d->npages, d->bitmap, &start, &end));
	BENCH("dirty", "wrprotect, all writable, huge", "call", d->npages, fill_huge(d, addr, pmd),
	      protect(d->file->f_mapping, (addr - d->addr[0]) >> PAGE_SHIFT, d->npages));
	fill_huge(d, addr, __pmd(0));
	mmap_write_unlock(current->mm);
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(d->addr[0], LEN(MIB(1026))));
	kvfree(d->bitmap);
#else
	kunit_skip(test, "only with huge entries, and the series");
#endif
}

#ifndef CONFIG_UML

static unsigned long scratch;

static unsigned long map(struct kunit *test, struct file *file, unsigned long npages, unsigned long flags)
{
	unsigned long addr;

	/* vm_mmap() knows nothing of MAP_HUGETLB */
	if (flags & MAP_HUGETLB)
		addr = ksys_mmap_pgoff(0, LEN(npages), PROT_READ | PROT_WRITE, flags, -1, 0);
	else
		addr = vm_mmap(file, 0, LEN(npages), PROT_READ | PROT_WRITE, flags, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	return addr;
}

static void unmap(struct kunit *test, unsigned long addr, unsigned long npages)
{
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, LEN(npages)));
}

static void touch(struct kunit *test, unsigned long addr, unsigned long npages)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		KUNIT_ASSERT_EQ(test, 0, put_user(1, (u8 __user *)(addr + LEN(i))));
}

static struct file *shmem(struct kunit *test, unsigned long npages)
{
	struct file *file = shmem_kernel_file_setup("bench", LEN(npages), EMPTY_VMA_FLAGS);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mm_kunit_fput, file));
	return file;
}

static void mprotect(struct kunit *test, unsigned long addr, unsigned long npages, unsigned long prot)
{
	KUNIT_ASSERT_EQ(test, 0, do_mprotect_pkey(addr, LEN(npages), prot, -1));
}

/* What notifiers hear, with and without the flushes of the TLB. */
static atomic_long_t nr_starts, nr_flushes;

static int count_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	atomic_long_inc(&nr_starts);
	return 0;
}

static void count_flush(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	atomic_long_inc(&nr_flushes);
}

static const struct mmu_notifier_ops start_ops = { .invalidate_range_start = count_start };
static const struct mmu_notifier_ops flush_ops = { .arch_invalidate_secondary_tlbs = count_flush };

/* Exclusive access for a device, which has a notifier as all have. */

#ifdef CONFIG_DEVICE_PRIVATE
static void take_in_loop(struct kunit *test, unsigned long addr, unsigned long npages)
{
	unsigned long i;

	mmap_read_lock(current->mm);
	for (i = 0; i < npages; i++) {
		struct folio *folio;
		struct page *page = make_device_exclusive(current->mm, addr + LEN(i), test, &folio);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
		folio_unlock(folio);
		folio_put(folio);
	}
	mmap_read_unlock(current->mm);
}

static void take_range(struct kunit *test, unsigned long addr, unsigned long npages, struct page **pages)
{
#if SERIES
	mmap_read_lock(current->mm);
	KUNIT_ASSERT_EQ(test, npages,
			make_device_exclusive_range(current->mm, addr, addr + LEN(npages), pages, test));
	mmap_read_unlock(current->mm);
	release_device_exclusive_range(pages, npages);
#endif
}

static void exclusive(struct kunit *test, const char *kind, unsigned long npages, unsigned int order, bool range)
{
	const unsigned long size = ALIGN(LEN(npages), PMD_SIZE) + PMD_SIZE;
	struct page **pages = kvcalloc(npages, sizeof(*pages), GFP_KERNEL);
	const char *how = range ? "range" : "loop";
	unsigned long base, addr, before_starts, before_flushes;
	u64 starts[ROUNDS], flushes[ROUNDS];
	char text[64];
	int i;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	snprintf(text, sizeof(text), "%s, %lu pages", kind, npages);
	/* this order and no other, which PMD_ORDER in "inherit" would be */
	WRITE_ONCE(huge_anon_orders_inherit, 0);
	WRITE_ONCE(huge_anon_orders_madvise, order ? BIT(order) : 0);
	base = map(test, NULL, size >> PAGE_SHIFT, MAP_PRIVATE | MAP_ANONYMOUS);
	addr = ALIGN(base, PMD_SIZE);
	if (order)
		do_madvise(current->mm, base, size, MADV_HUGEPAGE);

#define FRESH do_madvise(current->mm, base, size, MADV_DONTNEED); touch(test, addr, npages); lru_add_drain_all()
#define TAKE do { if (range) take_range(test, addr, npages, pages); else take_in_loop(test, addr, npages); } while (0)
	BENCH("exclusive", text, how, npages, FRESH, TAKE);
	snprintf(text, sizeof(text), "%s, %lu pages, back", kind, npages);
	BENCH("exclusive", text, how, npages, FRESH; TAKE, touch(test, addr, npages));
	snprintf(text, sizeof(text), "%s, %lu pages, again", kind, npages);
	BENCH("exclusive", text, how, npages, FRESH; TAKE, TAKE);
	snprintf(text, sizeof(text), "%s, %lu pages", kind, npages);
	for (i = 0; i < ROUNDS; i++) {
		FRESH;
		before_starts = atomic_long_read(&nr_starts);
		before_flushes = atomic_long_read(&nr_flushes);
		TAKE;
		starts[i] = atomic_long_read(&nr_starts) - before_starts;
		flushes[i] = atomic_long_read(&nr_flushes) - before_flushes;
	}
	report("exclusive notifiers", text, how, npages, starts);
	report("exclusive flushes", text, how, npages, flushes);
	unmap(test, base, size >> PAGE_SHIFT);
	kvfree(pages);
}
#endif

static void bench_exclusive(struct kunit *test)
{
#ifdef CONFIG_DEVICE_PRIVATE
	struct mmu_notifier starts = { .ops = &start_ops }, flushes = { .ops = &flush_ops };
	const unsigned long orders = READ_ONCE(huge_anon_orders_madvise);
	const unsigned long inherit = READ_ONCE(huge_anon_orders_inherit);
	int range;

	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	KUNIT_ASSERT_EQ(test, 0, mmu_notifier_register(&starts, current->mm));
	KUNIT_ASSERT_EQ(test, 0, mmu_notifier_register(&flushes, current->mm));
	for (range = false; range <= SERIES; range++) {
		exclusive(test, "base pages", 1, 0, range);
		exclusive(test, "base pages", 16, 0, range);
		exclusive(test, "base pages", 512, 0, range);
		exclusive(test, "base pages", MIB(64), 0, range);
		exclusive(test, "64 KiB folios", 512, 4, range);
		exclusive(test, "THP", 512, HPAGE_PMD_ORDER, range);
		exclusive(test, "THP", MIB(64), HPAGE_PMD_ORDER, range);
	}
	WRITE_ONCE(huge_anon_orders_madvise, orders);
	WRITE_ONCE(huge_anon_orders_inherit, inherit);
	mmu_notifier_unregister(&flushes, current->mm);
	mmu_notifier_unregister(&starts, current->mm);
#else
	kunit_skip(test, "needs CONFIG_DEVICE_PRIVATE");
#endif
}

/* What userfaultfd protects and is not there. */

static void uffd_wp(struct kunit *test, struct file *uffd, unsigned long addr, unsigned long npages, bool on)
{
	struct uffdio_writeprotect wp = { .range = { .start = addr, .len = LEN(npages) }, .mode = on };

	KUNIT_ASSERT_EQ(test, 0, mm_kunit_ioctl(uffd, scratch, UFFDIO_WRITEPROTECT, &wp, sizeof(wp)));
}

/* mremap() has ended that. */
static void register_again(struct kunit *test, struct file *uffd, unsigned long addr, unsigned long npages)
{
	struct uffdio_register reg = {
		.range = { .start = addr, .len = LEN(npages) }, .mode = UFFDIO_REGISTER_MODE_WP,
	};

	KUNIT_ASSERT_EQ(test, 0, mm_kunit_ioctl(uffd, scratch, UFFDIO_REGISTER, &reg, sizeof(reg)));
}

static void pagemap_scan(struct kunit *test, struct file *file, unsigned long addr, unsigned long npages,
			 u64 flags, u64 category)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = flags, .start = addr, .end = addr + LEN(npages),
		.vec = scratch + 512, .vec_len = 64, .category_mask = category, .return_mask = category,
	};

	KUNIT_ASSERT_GE(test, mm_kunit_ioctl(file, scratch, PAGEMAP_SCAN, &arg, sizeof(arg)), 0);
}

#if SERIES
#define is_marker(pte) pte_swp_uffd_wp_special(pte)
#else
#define is_marker(pte) pte_is_uffd_wp_marker(pte)
#endif

static noinline unsigned long count_markers(const pte_t *pte, unsigned long n)
{
	unsigned long i, found = 0;

	for (i = 0; i < n; i++)
		found += is_marker(READ_ONCE(pte[i]));
	return found;
}

static noinline unsigned long count_nothing(const pte_t *pte, unsigned long n)
{
	unsigned long i, found = 0;

	for (i = 0; i < n; i++)
		found += pte_val(READ_ONCE(pte[i])) & 1;
	return found;
}

static void bench_uffd_test(struct kunit *test)
{
	const struct {
		const char *name;
		pte_t pte;
	} kinds[] = {
		{ "none", __pte(0) },
		{ "present", pfn_pte(page_to_pfn(ZERO_PAGE(0)), PAGE_READONLY) },
		{ "swap", swp_entry_to_pte(swp_entry(0, 12345)) },
		{ "uffd-wp marker", make_pte_marker(PTE_MARKER_UFFD_WP) },
		{ "guard marker", make_pte_marker(PTE_MARKER_GUARD) },
	};
	pte_t *ptes = kunit_kmalloc_array(test, 4096, sizeof(*ptes), GFP_KERNEL);
	unsigned long found = 0;
	int i, j;

	KUNIT_ASSERT_NOT_NULL(test, ptes);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (j = 0; j < 4096; j++)
			ptes[j] = kinds[i].pte;
		BENCH("uffd-wp test", kinds[i].name, "call", 4096, , found += count_markers(ptes, 4096));
		BENCH("uffd-wp test", kinds[i].name, "bare loop", 4096, , found += count_nothing(ptes, 4096));
	}
	kunit_info(test, "%lu", found);
}

static void uffd(struct kunit *test, const char *kind, struct file *file, unsigned long flags, unsigned long npages,
		 unsigned long units)
{
	unsigned long addr = map(test, file, npages, flags), end = addr;
	struct mm_kunit_child *child;
	struct mm_kunit_proc *proc;
	struct file *uffd;

	uffd = mm_kunit_uffd(test, scratch, addr, LEN(npages), UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED |
			     UFFD_FEATURE_WP_HUGETLBFS_SHMEM, UFFDIO_REGISTER_MODE_WP);
	proc = mm_kunit_open_proc(test, "pagemap", O_RDONLY);
#define ARM uffd_wp(test, uffd, addr, npages, true)
#define DISARM uffd_wp(test, uffd, addr, npages, false)
	BENCH(kind, "UFFDIO_WRITEPROTECT", "call", units, DISARM, ARM);
	BENCH(kind, "the same, again", "call", units, ARM, ARM);
	BENCH(kind, "unprotect", "call", units, ARM, DISARM);
	BENCH(kind, "PAGEMAP_SCAN, written", "call", units, ARM,
	      pagemap_scan(test, proc->file, addr, npages, 0, PAGE_IS_WRITTEN));
	BENCH(kind, "PAGEMAP_SCAN, written and present", "call", units, ARM,
	      pagemap_scan(test, proc->file, addr, npages, 0, PAGE_IS_WRITTEN | PAGE_IS_PRESENT));
	BENCH(kind, "PAGEMAP_SCAN, protects", "call", units, DISARM,
	      pagemap_scan(test, proc->file, addr, npages, PM_SCAN_WP_MATCHING, PAGE_IS_WRITTEN));
	mm_kunit_close_proc(proc);
	BENCH(kind, "fork", "call", units, ARM; lru_add_drain_all(),
	      child = mm_kunit_fork(test); barrier(); mm_kunit_end_child(test, child));
	end = map(test, file, npages, flags);
	unmap(test, end, npages);
	BENCH(kind, "mremap", "call", units, register_again(test, uffd, addr, npages); ARM,
	      KUNIT_ASSERT_EQ(test, end, ksys_mremap(addr, LEN(npages), LEN(npages),
						 MREMAP_MAYMOVE | MREMAP_FIXED, end)); swap(addr, end));
	BENCH(kind, "MADV_DONTNEED", "call", units, register_again(test, uffd, addr, npages); ARM,
	      do_madvise(current->mm, addr, LEN(npages), MADV_DONTNEED));
	unmap(test, addr, npages);
	BENCH(kind, "munmap", "call", units,
	      addr = map(test, file, npages, flags); register_again(test, uffd, addr, npages); ARM,
	      unmap(test, addr, npages));
#undef ARM
#undef DISARM
}

static void bench_uffd(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	scratch = mm_kunit_scratch(test);
	uffd(test, "uffd-wp, 1 GiB of shmem", shmem(test, MIB(1024)), MAP_SHARED, MIB(1024), MIB(1024));
}

static void bench_uffd_hugetlb(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	scratch = mm_kunit_scratch(test);
	uffd(test, "uffd-wp, 1 GiB of hugetlb", NULL, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE,
	     MIB(1024), 512);
}

/* Who invalidates: nobody listens, one does, and the trace events are on. */
static void bench_notifier(struct kunit *test)
{
	static const char * const hows[] = { "no notifier", "a notifier", "a notifier and trace events" };
	struct mmu_notifier starts = { .ops = &start_ops };
	unsigned long npages, addr;
	char text[64];
	int how;

	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	scratch = mm_kunit_scratch(test);
	for (how = 0; how < 2 + SERIES; how++) {
		if (how == 1)
			KUNIT_ASSERT_EQ(test, 0, mmu_notifier_register(&starts, current->mm));
#ifdef CONFIG_EVENT_TRACING
		if (how == 2)
			KUNIT_ASSERT_EQ(test, 0, trace_set_clr_event("mmu_notifier", NULL, 1));
#endif
		for (npages = 1; npages <= 512; npages += 511) {
			snprintf(text, sizeof(text), "munmap, %lu pages, %s", npages, hows[how]);
			BENCH("notifier", text, "call", npages,
			      addr = map(test, NULL, npages, MAP_PRIVATE | MAP_ANONYMOUS); touch(test, addr, npages),
			      unmap(test, addr, npages));
			addr = map(test, NULL, npages, MAP_PRIVATE | MAP_ANONYMOUS);
			touch(test, addr, npages);
			snprintf(text, sizeof(text), "mprotect, %lu pages, %s", npages, hows[how]);
			BENCH("notifier", text, "call", npages,
			      mprotect(test, addr, npages, PROT_READ | PROT_WRITE);
			      touch(test, addr, npages),
			      mprotect(test, addr, npages, PROT_READ));
			unmap(test, addr, npages);
		}
	}
#ifdef CONFIG_EVENT_TRACING
	if (SERIES)
		trace_set_clr_event("mmu_notifier", NULL, 0);
#endif
	mmu_notifier_unregister(&starts, current->mm);
}

/* PAGEMAP_SCAN that protects what was written, alone and with a subscriber to the mm. */

static struct {
	unsigned long starts, bytes;
} told;

static int tell(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	told.starts++;
	told.bytes += range->end - range->start;
	return 0;
}

static const struct mmu_notifier_ops tell_ops = { .invalidate_range_start = tell };

static void scan_wp(struct kunit *test, struct file *file, unsigned long addr, unsigned long npages, unsigned long vec)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = PM_SCAN_WP_MATCHING, .start = addr, .end = addr + LEN(npages),
		.vec = vec, .vec_len = vec ? npages : 0,
		.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
	};

	memset(&told, 0, sizeof(told));
	KUNIT_ASSERT_GE(test, mm_kunit_ioctl(file, scratch, PAGEMAP_SCAN, &arg, sizeof(arg)), 0);
}

static void bench_pagemap_scan(struct kunit *test)
{
	static const struct {
		const char *what;
		unsigned long every; /* which pages are written to before, 0: none */
		bool vec;
	} kinds[] = {
		{ "all written", 1, false },
		{ "all written, vec", 1, true },
		{ "half written, vec", 2, true },
		{ "1/64 written, vec", 64, true },
		{ "nothing written", 0, false },
		{ "nothing written, vec", 0, true },
	};
	const unsigned long npages = MIB(64);
	struct mmu_notifier mn = { .ops = &tell_ops };
	unsigned long addr, vec, i;
	struct mm_kunit_proc *proc;
	int kind, with;

	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	scratch = mm_kunit_scratch(test);
	vec = map(test, NULL, (npages * sizeof(struct page_region)) >> PAGE_SHIFT, MAP_SHARED | MAP_ANONYMOUS);
	touch(test, vec, (npages * sizeof(struct page_region)) >> PAGE_SHIFT);
	addr = map(test, NULL, npages, MAP_PRIVATE | MAP_ANONYMOUS);
	mm_kunit_uffd(test, scratch, addr, LEN(npages), UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
		      UFFDIO_REGISTER_MODE_WP);
	touch(test, addr, npages);
	proc = mm_kunit_open_proc(test, "pagemap", O_RDONLY);
	for (with = 0; with < 2; with++) {
		const char *how = with ? "a subscriber" : "no subscriber";

		if (with)
			KUNIT_ASSERT_EQ(test, 0, mmu_notifier_register(&mn, current->mm));
		for (kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
			const unsigned long every = kinds[kind].every;
			u64 starts[ROUNDS], kib[ROUNDS];

			BENCH("PAGEMAP_SCAN protects, 64 MiB", kinds[kind].what, how, npages,
			      scan_wp(test, proc->file, addr, npages, 0);
			      for (i = 0; every && i < npages; i += every)
				      touch(test, addr + LEN(i), 1),
			      scan_wp(test, proc->file, addr, npages, kinds[kind].vec ? vec : 0));
			if (!with)
				continue;
			for (i = 0; i < ROUNDS; i++) {
				starts[i] = told.starts;
				kib[i] = told.bytes >> 10;
			}
			report("PAGEMAP_SCAN notifiers, starts", kinds[kind].what, how, 1, starts);
			report("PAGEMAP_SCAN notifiers, KiB", kinds[kind].what, how, 1, kib);
		}
	}
	mmu_notifier_unregister(&mn, current->mm);
	mm_kunit_close_proc(proc);
	unmap(test, addr, npages);
}

/* What the series has no business with: ordinary memory. */
static void ordinary(struct kunit *test, const char *kind, struct file *file, unsigned long flags)
{
	const unsigned long npages = 4096;
	struct mm_kunit_child *child;
	struct mm_kunit_proc *proc;
	unsigned long addr, other;

	BENCH(kind, "write fault", "call", npages, addr = map(test, file, npages, flags),
	      touch(test, addr, npages); barrier(); unmap(test, addr, npages));
	addr = map(test, file, npages, flags);
	other = map(test, file, npages, flags);
	unmap(test, other, npages);
	touch(test, addr, npages);
	BENCH(kind, "fork", "call", npages, touch(test, addr, npages); lru_add_drain_all(),
	      child = mm_kunit_fork(test); barrier(); mm_kunit_end_child(test, child));
	BENCH(kind, "mprotect, read", "call", npages,
	      mprotect(test, addr, npages, PROT_READ | PROT_WRITE); touch(test, addr, npages),
	      mprotect(test, addr, npages, PROT_READ));
	BENCH(kind, "mprotect, write", "call", npages, mprotect(test, addr, npages, PROT_READ),
	      mprotect(test, addr, npages, PROT_READ | PROT_WRITE));
	BENCH(kind, "mremap", "call", npages, ,
	      KUNIT_ASSERT_EQ(test, other, ksys_mremap(addr, LEN(npages), LEN(npages),
						 MREMAP_MAYMOVE | MREMAP_FIXED, other)); swap(addr, other));
	proc = mm_kunit_open_proc(test, "pagemap", O_RDONLY);
	BENCH(kind, "PAGEMAP_SCAN", "call", npages, ,
	      pagemap_scan(test, proc->file, addr, npages, 0, PAGE_IS_PRESENT));
	mm_kunit_close_proc(proc);
	unmap(test, addr, npages);
	BENCH(kind, "munmap", "call", npages, addr = map(test, file, npages, flags); touch(test, addr, npages),
	      unmap(test, addr, npages));
}

static void bench_ordinary(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	scratch = mm_kunit_scratch(test);
	ordinary(test, "ordinary, anonymous", NULL, MAP_PRIVATE | MAP_ANONYMOUS);
	ordinary(test, "ordinary, shmem", shmem(test, 4096), MAP_SHARED);
}
#endif /* !CONFIG_UML */

static struct kunit_case bench_cases[] = {
	KUNIT_CASE_SLOW(bench_dirty),
	KUNIT_CASE_SLOW(bench_dirty_huge),
#ifndef CONFIG_UML
	KUNIT_CASE_SLOW(bench_exclusive),
	KUNIT_CASE_SLOW(bench_uffd_test),
	KUNIT_CASE_SLOW(bench_uffd),
	KUNIT_CASE_SLOW(bench_uffd_hugetlb),
	KUNIT_CASE_SLOW(bench_notifier),
	KUNIT_CASE_SLOW(bench_pagemap_scan),
	KUNIT_CASE_SLOW(bench_ordinary),
#endif
	{}
};

static struct kunit_suite bench_suite = {
	.name = "bench",
	.test_cases = bench_cases,
};

kunit_test_suite(bench_suite);

MODULE_DESCRIPTION("Costs of what the series changes");
MODULE_LICENSE("GPL");
