/*
 * nft - rules of our own, in tables named "berth": written by nft(8), each script one transaction; looked at and removed by
 * the kernel's own protocol, which starts no program.
 *
 * Threads  any.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define NFT_TABLE "berth"
#define NFT_SCRIPT_MAX (64u * 1024)

/* Is there a program that can write rules? */
bool nft_is_there(void);
/* Will the kernel take the script?  Nothing is changed. */
bool nft_is_accepted(const struct sbuf *script);
MUST_CHECK enum err_kind nft_run(const struct sbuf *script, struct err *e);
/* CNI-13: a name for a script; the kernel takes quotes and braces in those of interfaces. */
bool nft_is_plain(const char *name);

/* Families as <linux/netfilter.h> has them. */
#define NFT_INET 1
#define NFT_NETDEV 5

/* With its rules.  What is not there is success. */
MUST_CHECK enum err_kind nft_remove_chain(uint8_t family, const char *chain, struct err *e);
/* Calls fn with the name of each chain of our table, until it fails. */
typedef enum err_kind nft_chain_fn(void *arg, const char *chain, struct err *e);
MUST_CHECK enum err_kind nft_each_chain(uint8_t family, nft_chain_fn *fn, void *arg, struct err *e);
