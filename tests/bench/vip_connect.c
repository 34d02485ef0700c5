/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connect, send a request, read the answer to its end, close: through a virtual IP and to the backend itself, in turn, so that
 * both see the same machine. Prints the two medians and the median of the differences of pairs, in microseconds.
 *
 *     build/musl/bench/vip_connect VIP PORT BACKEND PORT ROUNDS
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "net/base/base.h"
#include "net/base/str.h"

static const char request[] = "GET /endpoint0 HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

static double now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Microseconds, or -1. */
static double once(const struct sockaddr_in *to)
{
	char answer[4096];
	size_t got = 0;
	double begin = now_us();
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0)
		return -1;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1)
		return -1;
	for (ssize_t n; (n = recv(fd, answer + got, sizeof(answer) - got, 0)) != 0; got += (size_t)n)
		if (n < 0)
			return -1;
	return got > 0 ? now_us() - begin : -1;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static bool parse(const char *ip, const char *port, struct sockaddr_in *out)
{
	uint64_t n;
	*out = (struct sockaddr_in){ .sin_family = AF_INET };
	if (inet_pton(AF_INET, ip, &out->sin_addr) != 1 || !str_u64(str_of(port), &n) || n > UINT16_MAX)
		return false;
	out->sin_port = htons((uint16_t)n);
	return true;
}

int main(int argc, char **argv)
{
	struct sockaddr_in vip, backend;
	uint64_t rounds;
	if (argc != 6 || !parse(argv[1], argv[2], &vip) || !parse(argv[3], argv[4], &backend) || !str_u64(str_of(argv[5]), &rounds) ||
	    rounds == 0 || rounds > 1000000) {
		(void)fprintf(stderr, "usage: vip_connect VIP PORT BACKEND PORT ROUNDS\n");
		return 2;
	}
	AUTO_FREE double *through = xcalloc(rounds, sizeof(*through));
	AUTO_FREE double *direct = xcalloc(rounds, sizeof(*direct));
	AUTO_FREE double *more = xcalloc(rounds, sizeof(*more));
	for (size_t i = 0; i < rounds; i++) {
		bool vip_first = i % 2 == 0;
		double first = once(vip_first ? &vip : &backend), second = once(vip_first ? &backend : &vip);
		if (first < 0 || second < 0) {
			(void)fprintf(stderr, "vip_connect: round %zu: no answer from %s\n", i, (first < 0) == vip_first ? argv[1] : argv[3]);
			return 1;
		}
		through[i] = vip_first ? first : second;
		direct[i] = vip_first ? second : first;
		more[i] = through[i] - direct[i];
	}
	double a = median(through, rounds), b = median(direct, rounds), c = median(more, rounds);
	printf("%.1f %.1f %.1f\n", a, b, c);
	return 0;
}
