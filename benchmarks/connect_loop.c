/*
 * connect_loop PORT CONNECTIONS PROCESSES: the plainest client, as a yardstick.
 *
 * Each process connects to 127.0.0.1:PORT, closes, and starts again. Prints connections per second.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void connect_and_close(const struct sockaddr_in *server, int connections)
{
	for (int i = 0; i < connections; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 || connect(fd, (const void *)server, sizeof(*server))) {
			perror("connect_loop");
			_exit(1);
		}
		close(fd);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int connections, processes, status, failed = 0;
	double begin;

	if (argc != 4) {
		fprintf(stderr, "usage: connect_loop PORT CONNECTIONS PROCESSES\n");
		return 2;
	}
	server.sin_port = htons(atoi(argv[1]));
	connections = atoi(argv[2]);
	processes = atoi(argv[3]);
	begin = now();
	for (int i = 0; i < processes; i++)
		if (fork() == 0)
			connect_and_close(&server, connections / processes);
	while (wait(&status) > 0)
		failed |= status;
	printf("%.1f\n", connections / processes * processes / (now() - begin));
	return failed != 0;
}
