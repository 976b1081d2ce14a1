#include "tests/lib/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>

#include "base/fd.h"
#include "storage/repo.h"
#include "storage/upload.h"

#define PATH_TEXT_MAX 512
#define FILE_BYTES_MAX (64u * 1024 * 1024)
#define MAP_BYTES (64u * 1024 * 1024)

struct repo_name repo_of(const char *text)
{
	struct repo_name r;

	MUST(repo_name_parse(&r, str_of(text)));
	return r;
}

struct tag_name tag_of(const char *text)
{
	struct tag_name t;

	MUST(tag_name_parse(&t, str_of(text)));
	return t;
}

struct digest digest_of_bytes(enum digest_alg alg, struct str bytes)
{
	struct digest d;
	struct err e;

	MUST(hash_bytes(alg, bytes.p, bytes.n, &d, &e) == ERR_OK);
	return d;
}

struct digest digest_of(const char *text)
{
	return digest_of_bytes(DIGEST_SHA256, str_of(text));
}

void temp_dir_make(char *buf, size_t cap)
{
	const char *base = getenv("TMPDIR");

	if (!base)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(buf, cap, "%s/berth-test-XXXXXX", base);
	MUST(mkdtemp(buf));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

void temp_dir_remove(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void join(const char *dir, const char *name, char buf[static PATH_TEXT_MAX])
{
	MUST(snprintf(buf, PATH_TEXT_MAX, "%s/%s", dir, name) < PATH_TEXT_MAX);
}

void file_write(const char *dir, const char *name, struct str bytes)
{
	AUTO_CLOSE fd = -1;
	char path[PATH_TEXT_MAX];
	struct err e;

	join(dir, name, path);
	MUST(fd_open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, &e) == ERR_OK);
	MUST(fd_write_all(fd, bytes.p, bytes.n, path, &e) == ERR_OK);
}

struct sbuf file_read(const char *dir, const char *name)
{
	char path[PATH_TEXT_MAX];
	struct sbuf b;
	struct err e;

	join(dir, name, path);
	sbuf_init(&b, FILE_BYTES_MAX);
	MUST(fd_read_file(AT_FDCWD, path, &b, &e) == ERR_OK);
	return b;
}

bool file_exists(const char *dir, const char *name)
{
	char path[PATH_TEXT_MAX];

	join(dir, name, path);
	return access(path, F_OK) == 0;
}

unsigned dir_count(const char *dir, const char *name)
{
	char path[PATH_TEXT_MAX];
	struct dirent *entry;
	unsigned n = 0;
	DIR *d;

	join(dir, name, path);
	d = opendir(path);
	MUST(d);
	while ((entry = readdir(d)))
		n += entry->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

static void add_descriptor(struct sbuf *b, const char *type, const char *text)
{
	struct digest d = digest_of(text);
	char dt[DIGEST_TEXT_MAX];

	sbuf_addf(b, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}", type,
		  digest_text(&d, dt), strlen(text));
}

struct sbuf image_of(const char *config, const char *const *layers, size_t n_layers,
		     const char *extra)
{
	struct sbuf b;

	sbuf_init(&b, 1024 * 1024);
	sbuf_add_str(&b, STR("{\"schemaVersion\":2,\"config\":"));
	add_descriptor(&b, "application/vnd.oci.image.config.v1+json", config);
	sbuf_add_str(&b, STR(",\"layers\":["));
	for (size_t i = 0; i < n_layers; i++) {
		if (i)
			sbuf_add(&b, ",", 1);
		add_descriptor(&b, "application/vnd.oci.image.layer.v1.tar", layers[i]);
	}
	sbuf_addf(&b, "]%s}", extra);
	MUST(!b.failed);
	return b;
}

struct store_options store_options_of(const char *root)
{
	return (struct store_options){ .root = root,
				       .map_bytes = MAP_BYTES,
				       .uploads_max = 100,
				       .uploads_idle_ms = 3600 * 1000,
				       .lease_ms = 1000,
				       .json_depth_max = 32,
				       .sparse = SPARSE_INDEX,
				       .single_thread = true };
}

struct store *store_of(const char *root)
{
	struct store_options o = store_options_of(root);
	struct store_recovery found;
	struct store *st = NULL;
	struct err e;

	MUST(store_open(&o, &st, &found, &e) == ERR_OK);
	return st;
}

void push_blob(struct store *st, const char *repo, const char *text)
{
	AUTO_UPLOAD *u = NULL;
	struct repo_name r = repo_of(repo);
	struct digest d = digest_of(text);
	struct err e;

	MUST(upload_begin(st, &r, DIGEST_SHA256, &u, &e) == ERR_OK);
	MUST(upload_write(u, text, strlen(text), &e) == ERR_OK);
	MUST(upload_finish(&u, &d, &e) == ERR_OK);
}

void push_manifest(struct store *st, const char *repo, struct str body, const char *media_type,
		   const char *tag)
{
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct repo_name r = repo_of(repo);
	struct tag_name t = tag ? tag_of(tag) : (struct tag_name){ 0 };
	struct manifest_push push = { .body = body,
				      .media_type = str_of(media_type),
				      .digest = digest_of_bytes(DIGEST_SHA256, body),
				      .tags = &t,
				      .n_tags = tag ? 1 : 0 };
	struct err e;

	MUST(repo_manifest_put(st, &r, &push, &pushed, &e) == ERR_OK);
}

enum err_kind blob_size(struct index *ix, const struct repo_name *repo, const struct digest *d,
			uint64_t *ret, struct err *e)
{
	struct blob_info info;
	enum err_kind k = index_blob_find(ix, repo, d, &info, e);

	if (k == ERR_OK)
		*ret = info.size_bytes;
	return k;
}
