/* What administrators ask for: over the daemon's socket, and by commands with and without a daemon. */
#include "server/admin.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "server/cli.h"
#include "storage/store_impl.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MAX 8
#define WAIT_MS 30000

static char root[128];
static struct conf conf;
static struct ops ops;
static struct admin *admin;

/* A root with an image, a free blob and something in the trash. */
static void make_root(void)
{
	struct repo_name r = repo_of("a");
	struct digest d = digest_of("deleted");
	struct store *st;
	struct err e;

	(void)snprintf(root, sizeof(root), "%s/root", unit_dir());
	st = gc_store_of(root, GC_TRASH_MS);
	(void)gc_push_image(st, "a", CONFIG_TEXT, LAYER_TEXT, "v1");
	push_blob(st, "a", "free");
	push_blob(st, "a", "deleted");
	assert_ok(repo_blob_delete(st, &r, &d, NULL, &e), &e);
	store_close(&st);
}

static void open_daemon(void)
{
	char *args[] = { (char[]){ "--root" }, root };
	struct err e;

	make_root();
	assert_ok(conf_load(2, args, &conf, &e), &e);
	ops = (struct ops){ .conf = &conf };
	assert_ok(ops_open(&ops, true, &e), &e);
	assert_ok(admin_start(&ops, &admin, &e), &e);
}

static void close_daemon(void)
{
	admin_stop(&admin);
	ops_close(&ops);
	conf_clear(&conf);
}

/* --- over the socket --- */

static bool add_item(void *arg, struct jv *take)
{
	AUTO_JV *item = take;

	jv_dump(item, arg);
	sbuf_add(arg, "\n", 1);
	return true;
}

/* Items a line each. */
static enum err_kind ask(const char *op, const char *args, struct sbuf *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_JV *v = NULL;
	enum err_kind k = jv_parse_object(str_of(args), 8, &v, e);

	*ret = (struct sbuf){ .max = SBUF_MAX };
	sbuf_add(ret, "", 0);
	if (k == ERR_OK)
		k = admin_connect(root, &fd, e);
	return k == ERR_OK ? admin_ask(fd, op, v, add_item, ret, e) : k;
}

static const struct asked {
	const char *name, *op, *args;
	const char *parts[4]; /* of the answer */
} asked[] = {
	{ "gc", "gc", "{}", { "\"manifests\":0", "\"braked\":false" } },
	{ "a dry run", "gc", "{\"dry-run\":\"true\"}", { "\"leased\":0", "\"kept\":0" } },
	{ "its status", "gc.status", "{}", { "\"paused\":false", "\"cycles\":0", "\"last\":{" } },
	{ "fsck", "fsck", "{}", { "\"faults\":0", "\"files\":5" } },
	{ "scrub", "scrub", "{}", { "\"objects\":5", "\"damaged\":0" } },
	{ "its status", "scrub.status", "{}", { "\"running\":false", "\"round\":{" } },
	{ "the trash",
	  "trash.ls",
	  "{}",
	  { "\"what\":\"blob\"", "\"repository\":\"a\"", "\"by\":\"client\"", "{\"items\":1}" } },
	{ "a restore by number", "trash.restore", "{\"item\":\"3\"}", { "{\"restored\":3}" } },
	{ "emptying it", "trash.empty", "{}", { "{\"emptied\":1}" } },
};

static void test_asked(void **state)
{
	const struct asked *row = *state;
	AUTO_SBUF got = { 0 };
	struct err e;

	open_daemon();
	assert_ok(ask(row->op, row->args, &got, &e), &e);
	for (size_t i = 0; i < ARRAY_LEN(row->parts) && row->parts[i]; i++) {
		if (!strstr(got.p, row->parts[i]))
			fail_msg("no %s in %s", row->parts[i], got.p);
	}
	close_daemon();
}

static const struct refused {
	const char *name, *op, *args;
	enum err_kind kind;
	const char *message;
} refused[] = {
	{ "an unknown operation", "format", "{}", ERR_UNSUPPORTED, "knows no \"format\"" },
	{ "an operation that runs alone", "rebuild", "{}", ERR_UNSUPPORTED, "knows no" },
	{ "a restore of what is not there", "trash.restore", "{\"item\":\"77\"}", ERR_NOT_FOUND,
	  "number 77" },
	{ "a restore of nothing", "trash.restore", "{}", ERR_INVALID, "what is to be restored" },
	{ "a restore by half a name", "trash.restore", "{\"item\":\"a\"}", ERR_INVALID,
	  "is no number" },
	{ "a restore by a bad digest", "trash.restore", "{\"item\":\"a@md5:00\"}", ERR_INVALID,
	  "is no number" },
	{ "a restore by another name", "trash.restore", "{\"item\":\"a:v7\"}", ERR_NOT_FOUND,
	  "the trash has no a:v7" },
	{ "a backup to nowhere", "backup", "{}", ERR_INVALID, "an absolute path" },
	{ "a backup to a relative path", "backup", "{\"directory\":\"x\"}", ERR_INVALID,
	  "an absolute path" },
	{ "a backup to itself", "backup", "{\"directory\":\"/no/such/parent\"}", ERR_NOT_FOUND,
	  "/no/such/parent" },
};

static void test_refused(void **state)
{
	const struct refused *row = *state;
	AUTO_SBUF got = { 0 };
	struct err e;

	open_daemon();
	assert_err(ask(row->op, row->args, &got, &e), row->kind, &e, row->message);
	assert_string_equal(got.p, "");
	close_daemon();
}

/* By what it was called, and by its digest. */
static void test_restore_by_name(void **state)
{
	char args[256], text[DIGEST_TEXT_MAX];
	struct repo_name r = repo_of("a");
	struct tag_name t = tag_of("v1");
	struct digest d = digest_of("deleted");
	AUTO_SBUF got = { 0 }, again = { 0 };
	struct err e;

	(void)state;
	open_daemon();
	(void)snprintf(args, sizeof(args), "{\"item\":\"a@%s\"}", digest_text(&d, text));
	assert_ok(ask("trash.restore", args, &got, &e), &e);
	assert_true(gc_has_blob(ops.store, "a", "deleted"));
	assert_ok(repo_tag_delete(ops.store, &r, &t, NULL, &e), &e);
	assert_ok(ask("trash.restore", "{\"item\":\"a:v1\"}", &again, &e), &e);
	d = gc_tag(ops.store, "a", "v1");
	assert_int_equal(d.alg, DIGEST_SHA256);
	close_daemon();
}

/* --- the protocol --- */

static int connect_raw(void)
{
	int fd = -1;
	struct err e;

	assert_ok(admin_connect(root, &fd, &e), &e);
	return fd;
}

/* All that comes back until the end. */
static struct sbuf read_all(int fd)
{
	struct sbuf b;
	char buf[512];
	ssize_t n;

	sbuf_init(&b, SBUF_MAX);
	sbuf_add(&b, "", 0);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		sbuf_add(&b, buf, (size_t)n);
	return b;
}

static const struct line {
	const char *name;
	struct str sent;
	const char *answer;
} lines[] = {
	{ "no JSON", { "hello\n", 6 }, "\"ok\":false" },
	{ "no object", { "[]\n", 3 }, "\"ok\":false" },
	{ "no operation", { "{}\n", 3 }, "knows no" },
	{ "a line that does not end", { "{\"op\":\"gc.status\"}", 18 }, "no request came" },
	{ "nothing", { "", 0 }, "no request came" },
	{ "without arguments", { "{\"op\":\"gc.status\"}\n", 19 }, "{\"ok\":true}" },
	{ "an end before the line's", { "\n", 1 }, "\"ok\":false" },
};

static void test_line(void **state)
{
	const struct line *row = *state;
	AUTO_SBUF got = { 0 };
	AUTO_CLOSE fd = -1;

	open_daemon();
	fd = connect_raw();
	assert_int_equal(send(fd, row->sent.p, row->sent.n, MSG_NOSIGNAL), row->sent.n);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	got = read_all(fd);
	if (!strstr(got.p, row->answer))
		fail_msg("%s", got.p);
	close_daemon();
}

/* A few at a time; the next one is told so, and comes in once one of them is done. */
static void test_too_many(void **state)
{
	uint64_t deadline = mono_ms() + WAIT_MS;
	int fds[CALLS_MAX];
	AUTO_SBUF got = { 0 };
	struct err e;
	enum err_kind k;

	(void)state;
	open_daemon();
	for (size_t i = 0; i < CALLS_MAX; i++)
		fds[i] = connect_raw();
	assert_err(ask("gc.status", "{}", &got, &e), ERR_TOO_MANY, &e, "try again");
	for (size_t i = 0; i < CALLS_MAX; i++)
		(void)close(fds[i]);
	do {
		sbuf_clear(&got);
		k = ask("gc.status", "{}", &got, &e);
		assert_true(mono_ms() < deadline);
	} while (k == ERR_TOO_MANY);
	assert_ok(k, &e);
	close_daemon();
}

/* Nobody but root and the daemon's own user. */
static void test_mode(void **state)
{
	struct stat s;
	char path[200];
	int status;
	pid_t pid;

	(void)state;
	open_daemon();
	(void)snprintf(path, sizeof(path), "%s/admin.sock", root);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_mode & 0777, 0600);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(path, 0666), 0); /* as if somebody had opened it to all */
	assert_int_equal(chmod(root, 0777), 0);
	(void)snprintf(path, sizeof(path), "%s/..", root);
	assert_int_equal(chmod(path, 0777), 0);
	(void)fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		AUTO_SBUF got = { 0 };
		struct err e;
		enum err_kind k;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		k = ask("gc.status", "{}", &got, &e);
		_exit(k == ERR_DENIED ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close_daemon();
}

static void test_no_daemon(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = -1;
	struct err e;

	(void)state;
	make_root();
	assert_err(admin_connect(root, &fd, &e), ERR_NOT_FOUND, &e, "no daemon runs");
	assert_err(admin_connect("/no/such/root", &fd, &e), ERR_NOT_FOUND, &e, "/no/such/root");
	/* one that was killed leaves its socket */
	assert_true(snprintf(at.sun_path, sizeof(at.sun_path), "%s/admin.sock", root) > 0);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	(void)close(fd);
	assert_err(admin_connect(root, &fd, &e), ERR_NOT_FOUND, &e, "no daemon runs");
}

/* --- commands --- */

/* A command's exit status, and what it printed. */
static int run(int (*command)(int, char *const *), const char *line, struct sbuf *out)
{
	char words[512], *args[16], *at = words;
	const char *dir = unit_dir();
	char path[200];
	int n = 0, status, saved = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO), fd;

	(void)snprintf(words, sizeof(words), "%s", line);
	for (char *word; (word = strsep(&at, " "));) {
		if (*word)
			args[n++] = word;
	}
	(void)snprintf(path, sizeof(path), "%s/out", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	MUST(fd >= 0 && fflush(NULL) == 0);
	MUST(dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	status = command(n, args);
	MUST(fflush(NULL) == 0);
	MUST(dup2(saved, STDOUT_FILENO) >= 0 && dup2(saved_err, STDERR_FILENO) >= 0);
	(void)close(fd), (void)close(saved), (void)close(saved_err);
	*out = file_read(dir, "out");
	return status;
}

/* %s is the root. */
static const struct command {
	const char *name;
	int (*fn)(int, char *const *);
	const char *line;
	int status;
	const char *out; /* part of what it prints */
} commands[] = {
	{ "gc", cli_gc, "--root %s", 0, "0 tags, 0 manifests" },
	{ "gc --dry-run", cli_gc, "--dry-run --root %s", 0, "kept by rules" },
	{ "gc --json", cli_gc, "--json --dry-run --root %s", 0, "\"tags\":0" },
	{ "gc status", cli_gc, "status --root %s", 0, "active, 0 cycles" },
	{ "gc of an unknown way", cli_gc, "now --root %s", 2, "berthd help" },
	{ "gc of too many words", cli_gc, "status now --root %s", 2, "berthd help" },
	{ "gc of very many words", cli_gc, "1 2 3 4 5 --root %s", 2, "too many arguments" },
	{ "gc with an unknown option", cli_gc, "--gc.colour=red --root %s", 2, "gc.colour" },
	{ "gc with a bad value", cli_gc, "--gc.max_share=200 --root %s", 2, "gc.max_share" },
	{ "another command's flag", cli_gc, "--repair --root %s", 2, "repair" },
	{ "fsck", cli_fsck, "--root %s", 0, "5 files checked: 0 faults" },
	{ "fsck --repair", cli_fsck, "--repair --root %s", 0, "0 repaired" },
	{ "fsck --json", cli_fsck, "--root %s --json", 0, "{\"rows\":" },
	{ "fsck of no store", cli_fsck, "--root %s/none", 1, "root/none" },
	{ "scrub", cli_scrub, "--root %s", 0, "5 objects" },
	{ "scrub status", cli_scrub, "status --root %s", 0, "no round yet" },
	{ "trash ls", cli_trash, "ls --root %s", 0, "1 items" },
	{ "trash", cli_trash, "--root %s", 2, "berthd help" },
	{ "trash restore", cli_trash, "restore 3 --root %s", 0, "restored 3" },
	{ "trash restore of what is not there", cli_trash, "restore 77 --root %s", 1, "number 77" },
	{ "trash restore of nothing", cli_trash, "restore --root %s", 2, "berthd help" },
	{ "trash empty", cli_trash, "empty --root %s", 0, "1 items forgotten" },
	{ "backup", cli_backup, "%s/../copy --root %s", 0, "5 objects" },
	{ "backup of nothing", cli_backup, "--root %s", 2, "berthd help" },
};

static void run_row(const struct command *row)
{
	AUTO_SBUF out = { 0 };
	char line[400];
	const char *rest = strstr(row->line, "%s") + 2;

	if (strstr(rest, "%s"))
		(void)snprintf(line, sizeof(line), "%s/../copy --root %s", root, root);
	else
		(void)snprintf(line, sizeof(line), "%.*s%s%s", (int)(rest - 2 - row->line),
			       row->line, root, rest);
	assert_int_equal(run(row->fn, line, &out), row->status);
	if (!strstr(out.p, row->out))
		fail_msg("%s", out.p);
}

/* The command opens the root itself. */
static void test_command_alone(void **state)
{
	make_root();
	run_row(*state);
}

/* The same by asking the daemon that has it. */
static void test_command_asks(void **state)
{
	open_daemon();
	run_row(*state);
	close_daemon();
}

/* What needs the root for itself is refused while a daemon has it. */
static void test_alone_only(void **state)
{
	AUTO_SBUF out = { 0 }, rebuilt = { 0 }, restored = { 0 };
	char line[400];

	(void)state;
	open_daemon();
	(void)snprintf(line, sizeof(line), "--root %s", root);
	assert_int_equal(run(cli_rebuild, line, &out), 1);
	assert_non_null(strstr(out.p, "in use by the process"));
	close_daemon();
	assert_int_equal(run(cli_rebuild, line, &rebuilt), 0);
	(void)snprintf(line, sizeof(line), "%s/../copy --root %s", root, root);
	sbuf_clear(&out);
	assert_int_equal(run(cli_backup, line, &out), 0);
	(void)snprintf(line, sizeof(line), "%s/../copy --root %s/../back", root, root);
	assert_int_equal(run(cli_restore, line, &restored), 0);
	(void)snprintf(root + strlen(root), sizeof(root) - strlen(root), "/../back");
	sbuf_clear(&out);
	(void)snprintf(line, sizeof(line), "--root %s", root);
	assert_int_equal(run(cli_fsck, line, &out), 0);
}

/* A path is the command's, wherever the daemon runs. */
static void test_relative_path(void **state)
{
	AUTO_SBUF out = { 0 };
	const char *dir = unit_dir();
	char line[400], cwd[256];

	(void)state;
	open_daemon();
	MUST(getcwd(cwd, sizeof(cwd)) && chdir(dir) == 0);
	(void)snprintf(line, sizeof(line), "copy --root %s", root);
	assert_int_equal(run(cli_backup, line, &out), 0);
	MUST(chdir(cwd) == 0);
	assert_true(file_exists(dir, "copy/version"));
	close_daemon();
}

/* Faults show in the exit status, until they are mended. */
static void test_fsck_status(void **state)
{
	AUTO_SBUF out = { 0 }, mended = { 0 }, fine = { 0 };
	struct digest d = digest_of("stray");
	char line[400], name[64 + DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX + 1];

	(void)state;
	make_root();
	digest_hex(&d, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.2s/%s", hex, hex);
	file_write(root, name, STR("stray"));
	(void)snprintf(line, sizeof(line), "--root %s", root);
	assert_int_equal(run(cli_fsck, line, &out), 1);
	assert_non_null(strstr(out.p, "(--repair mends it)"));
	(void)snprintf(line, sizeof(line), "--repair --root %s", root);
	assert_int_equal(run(cli_fsck, line, &mended), 0);
	assert_non_null(strstr(mended.p, "(repaired)"));
	(void)snprintf(line, sizeof(line), "--root %s", root);
	assert_int_equal(run(cli_fsck, line, &fine), 0);
}

static void test_bytes(void **state)
{
	static const struct {
		unsigned long long v;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },        { 1023, "1023 B" },        { 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" }, { 1ull << 30, "1.0 GiB" }, { UINT64_MAX, "16.0 EiB" },
	};
	char buf[CLI_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(cli_bytes(rows[i].v, buf), rows[i].text);
}

int main(void)
{
	log_set_level(LOG_ERROR);
	UNIT_TABLE("asked for", test_asked, asked);
	UNIT_TABLE("refused", test_refused, refused);
	unit_case("a restore by name", test_restore_by_name);
	UNIT_TABLE("a line", test_line, lines);
	unit_case("too many at once", test_too_many);
	unit_case("who may", test_mode);
	unit_case("no daemon", test_no_daemon);
	UNIT_TABLE("by itself", test_command_alone, commands);
	UNIT_TABLE("by asking", test_command_asks, commands);
	unit_case("for itself only", test_alone_only);
	unit_case("a relative path", test_relative_path);
	unit_case("faults show in the exit status", test_fsck_status);
	unit_case("sizes", test_bytes);
	return unit_run();
}
