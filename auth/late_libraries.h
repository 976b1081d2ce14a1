/*
 * late_libraries - libcurl, which fetch.c calls, and libldap, which directory.c calls: few configurations need them.
 *
 * Sequence  late_load of one (base/late.h) -> what its own header declares.
 */
#pragma once

#include "base/late.h"

extern struct late late_curl, late_ldap;
