/*
 * unit - cmocka with the headers that it wants before it, in an order that no formatter changes.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka.h of Debian 12 includes nothing itself. */
#include <cmocka.h>
