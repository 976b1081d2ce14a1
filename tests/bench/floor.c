/*
 * floor - the least that a container of the benchmark costs: six namespaces, the mounts of its config.json, eight v1
 * cgroups, a filter that is ready, pivot_root and exec.  Nothing is checked, recorded, or kept safe from anybody.
 *
 * usage: floor ROOTFS FILTER NAME PROGRAM      FILTER: struct sock_filter after struct sock_filter, as in a kept filter
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"

static const char *const hierarchies[] = { "cpu",     "cpuacct", "cpuset", "memory",
					   "devices", "freezer", "blkio",  "pids" };

static struct sock_filter filter[BPF_MAXINSNS];
static size_t filter_n;

static void must(long r, const char *what)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

static void read_filter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, filter, sizeof(filter));

	must(n, path);
	filter_n = (size_t)n / sizeof(filter[0]);
	(void)close(fd);
}

static void make_device(const char *path, unsigned major, unsigned minor)
{
	must(mknod(path, S_IFCHR | 0666, makedev(major, minor)), path);
}

static void make_mounts(void)
{
	must(mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL), "proc");
	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"),
	     "dev");
	must(mkdir("dev/pts", 0755) | mkdir("dev/shm", 0755) | mkdir("dev/mqueue", 0755), "mkdir");
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620,gid=5"),
	     "pts");
	must(mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL), "shm");
	must(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL),
	     "mqueue");
	must(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL),
	     "sys");
	make_device("dev/null", 1, 3);
	make_device("dev/zero", 1, 5);
	make_device("dev/full", 1, 7);
	make_device("dev/random", 1, 8);
	make_device("dev/urandom", 1, 9);
	make_device("dev/tty", 5, 0);
}

static _Noreturn void become_container(char **argv, int go)
{
	const struct sock_fprog program = { .len = (unsigned short)filter_n, .filter = filter };
	char *const args[] = { argv[4], NULL };
	char byte;

	must(read(go, &byte, 1), "wait");
	must(unshare(CLONE_NEWCGROUP), "unshare");
	must(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), "slave");
	must(mount(argv[1], argv[1], NULL, MS_BIND | MS_REC, NULL), "bind");
	must(chdir(argv[1]), "chdir");
	make_mounts();
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "umount");
	must(sethostname("bench", 5), "hostname");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "seccomp");
	must(execve(args[0], args, NULL), "exec");
	_exit(1);
}

static void group(const char *hierarchy, const char *name, char *path, size_t cap, const char *file)
{
	(void)snprintf(path, cap, "/sys/fs/cgroup/%s/%s%s", hierarchy, name, file);
}

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	must(write(fd, text, strlen(text)), path);
	(void)close(fd);
}

static void join(const char *name, pid_t pid)
{
	char path[256], text[24];

	(void)snprintf(text, sizeof(text), "%d", pid);
	for (size_t i = 0; i < ARRAY_LEN(hierarchies); i++) {
		group(hierarchies[i], name, path, sizeof(path), "");
		must(mkdir(path, 0755), path);
		if (strcmp(hierarchies[i], "cpuset") == 0) {
			group(hierarchies[i], name, path, sizeof(path), "/cpuset.cpus");
			write_to(path, "0-1");
			group(hierarchies[i], name, path, sizeof(path), "/cpuset.mems");
			write_to(path, "0");
		}
		group(hierarchies[i], name, path, sizeof(path), "/cgroup.procs");
		write_to(path, text);
	}
}

int main(int argc, char **argv)
{
	struct clone_args args = { .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
					    CLONE_NEWIPC | CLONE_NEWUTS,
				   .exit_signal = SIGCHLD };
	char path[256];
	int go[2], status = 0;
	pid_t pid;

	if (argc != 5)
		return 2;
	read_filter(argv[2]);
	must(pipe2(go, O_CLOEXEC), "pipe");
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		become_container(argv, go[0]);
	must(pid, "clone");
	join(argv[3], pid);
	must(write(go[1], "x", 1), "go");
	must(waitpid(pid, &status, 0), "wait");
	for (size_t i = 0; i < ARRAY_LEN(hierarchies); i++) {
		group(hierarchies[i], argv[3], path, sizeof(path), "");
		must(rmdir(path), path);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
