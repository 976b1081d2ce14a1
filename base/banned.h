/*
 * banned - calls that the house style does not allow become compile errors.
 *
 * They lose bounds (strcpy), errors (atoi), thread safety (strtok, localtime) or start a shell (system).
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat strtok sprintf vsprintf atoi atol atoll
#pragma GCC poison localtime gmtime ctime asctime popen mktemp tmpnam tempnam
