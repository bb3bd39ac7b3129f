// SPDX-License-Identifier: GPL-2.0
/*
 * What make planted loads into the kernels of the other stages: bugs on purpose, one of each class. Each test is named
 * after the kind of report (scripts/mmtrack/splats.py) that it is to cause, and passes as far as KUnit can tell.
 * kunit.filter_glob=planted.NAME picks one. The order matters: a report of KASAN turns lockdep off.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static DEFINE_MUTEX(planted_a);
static DEFINE_MUTEX(planted_b);

static void lockdep(struct kunit *test)
{
	mutex_lock(&planted_a);
	mutex_lock(&planted_b);
	mutex_unlock(&planted_b);
	mutex_unlock(&planted_a);

	mutex_lock(&planted_b);
	mutex_lock(&planted_a);
	mutex_unlock(&planted_a);
	mutex_unlock(&planted_b);
}

static DEFINE_SPINLOCK(planted_lock);

static void sleep(struct kunit *test)
{
	spin_lock(&planted_lock);
	might_sleep();
	spin_unlock(&planted_lock);
}

static void warning(struct kunit *test)
{
	WARN(1, "planted\n");
}

static unsigned long planted_counter;

static int planted_racer(void *unused)
{
	while (!kthread_should_stop()) {
		for (int i = 0; i < 1000; i++) {
			planted_counter++;
			barrier();
		}
		cond_resched();
	}
	return 0;
}

static void kcsan(struct kunit *test)
{
	struct task_struct *racers[2];

	for (int i = 0; i < ARRAY_SIZE(racers); i++) {
		racers[i] = kthread_run(planted_racer, NULL, "planted/%d", i);
		KUNIT_ASSERT_FALSE(test, IS_ERR(racers[i]));
	}
	msleep(4000);
	for (int i = 0; i < ARRAY_SIZE(racers); i++)
		kthread_stop(racers[i]);
}

static void kasan(struct kunit *test)
{
	char *freed = kzalloc(64, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, freed);
	kfree(freed);
	OPTIMIZER_HIDE_VAR(freed);
	kunit_info(test, "read %d\n", READ_ONCE(freed[8]));
}

static struct kunit_case planted_cases[] = {
	KUNIT_CASE(lockdep),
	KUNIT_CASE(sleep),
	KUNIT_CASE(warning),
	KUNIT_CASE_SLOW(kcsan),
	KUNIT_CASE(kasan),
	{}
};

static struct kunit_suite planted_suite = {
	.name = "planted",
	.test_cases = planted_cases,
};
kunit_test_suite(planted_suite);

MODULE_DESCRIPTION("Bugs on purpose, which the workbench must notice");
MODULE_LICENSE("GPL");
