#include "runtime/cli/image.h"

#include "base/clock.h"
#include "runtime/cli/progress.h"

struct layer_form image_form(void)
{
	return (struct layer_form){ .in_userns = cli_is_in_userns() };
}

enum err_kind image_pull(struct images *im, const struct reference *ref,
			 struct registry_args *registry, const char *platform, bool quiet,
			 struct image *ret, struct err *e)
{
	AUTO_CLIENT *client = NULL;
	AUTO_PROGRESS progress;
	struct platform want;
	struct tree_stats stats = { 0 };
	struct pull_options o = {
		.form = image_form(), .mask = CLI_UMASK, .progress = progress_show, .arg = &progress
	};
	enum err_kind k = ERR_OK;

	progress_init(&progress, quiet);
	if (platform) {
		k = platform_parse(&want, str_of(platform), e);
		o.platform = &want;
	}
	if (k == ERR_OK)
		k = registry_client(registry, &client, e);
	if (k == ERR_OK)
		k = pull_image(im, client, ref, &o, ret, &stats, e);
	if (k == ERR_OK)
		image_tell_left_out(&stats);
	return k;
}

void image_tell_left_out(const struct tree_stats *s)
{
	if (s->devices_left_out)
		cli_note("%llu devices were left out: a user namespace cannot make them",
			 (unsigned long long)s->devices_left_out);
	if (s->xattrs_left_out)
		cli_note(
		    "%llu extended attributes were left out: not taken by the file system or by "
		    "the user namespace",
		    (unsigned long long)s->xattrs_left_out);
}

const char *image_age(uint64_t since_ms, char buf[static IMAGE_AGE_MAX])
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = { { 365 * 86400, "year" }, { 30 * 86400, "month" }, { 86400, "day" },
		      { 3600, "hour" },        { 60, "minute" },        { 1, "second" } };
	uint64_t now = wall_ms(), s = now > since_ms ? (now - since_ms) / 1000 : 0;
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && s < units[i].seconds)
		i++;
	s /= units[i].seconds;
	(void)snprintf(buf, IMAGE_AGE_MAX, "%llu %s%s", (unsigned long long)s, units[i].name,
		       s == 1 ? "" : "s");
	return buf;
}

const char *image_short_id(const struct digest *d, char buf[static DIGEST_HEX_MAX + 1])
{
	(void)digest_hex(d, buf);
	buf[IMAGE_ID_SHORT] = '\0';
	return buf;
}
