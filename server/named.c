#include "server/named.h"

bool named_parse(struct str in, struct named *ret)
{
	struct named n = { .has_tag = false };
	struct str repo, rest;

	n.has_digest = str_cut(in, '@', &repo, &rest);
	if (n.has_digest && !digest_parse(&n.digest, rest))
		return false;
	if (!n.has_digest) {
		n.has_tag = str_cut(in, ':', &repo, &rest);
		if (n.has_tag && !tag_name_parse(&n.tag, rest))
			return false;
	}
	if (!repo_name_parse(&n.repo, repo))
		return false;
	*ret = n;
	return true;
}
