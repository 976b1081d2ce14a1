#include "base/late.h"

#include "auth/late_libraries.h"
#include "server/late_gnutls.h"
#include "tests/lib/unit.h"

double cbrt(double x);
void late_test_absent(void);
void late_test_unknown(void);

#define OF_MATH(X) X(cbrt) X(hypot)
LATE_LIBRARY(math, "libm.so.6", OF_MATH);
#define ABSENT(X) X(late_test_absent)
LATE_LIBRARY(absent, "libberth-has-none-of-this.so.0", ABSENT);
#define UNKNOWN(X) X(expm1) X(late_test_unknown)
LATE_LIBRARY(unknown, "libm.so.6", UNKNOWN);

static void call_root(void *arg)
{
	volatile double x = 27;

	(void)arg;
	x = cbrt(x);
}

static void test_loads(void **state)
{
	volatile double x = 27;
	struct err e = { 0 };

	(void)state;
	assert_true(unit_aborts(call_root, NULL));
	assert_ok(late_load(&late_math, &e), &e);
	assert_int_equal((int)(cbrt(x) + 0.5), 3);
	assert_ok(late_load(&late_math, &e), &e);
}

static void test_absent(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_err(late_load(&late_absent, &e), ERR_IO, &e, "libberth-has-none-of-this.so.0");
	assert_err(late_load(&late_unknown, &e), ERR_IO, &e, "late_test_unknown");
	assert_err(late_load(&late_unknown, &e), ERR_IO, &e, "late_test_unknown");
}

/* Each has all that we have in its list. */
static void test_ours(void **state)
{
	struct late *const libraries[] = { &late_curl, &late_ldap, &late_gnutls };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
		assert_ok(late_load(libraries[i], &e), &e);
}

int main(void)
{
	unit_case("functions work once their library is there, and abort before", test_loads);
	unit_case("a library, or a function of one, that is not there", test_absent);
	unit_case("what berthd loads", test_ours);
	return unit_run();
}
