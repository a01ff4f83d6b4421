/*
 * accept_loop: the plainest server, as a yardstick's other end.
 *
 * Listens on a free port of 127.0.0.1, prints it, and accepts and closes until its standard input ends. Its queue has
 * room for all (where net.core.somaxconn lets it): a SYN that meets a full one is sent again after a second.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void *accept_and_close(void *listener)
{
	for (;;) {
		int fd = accept(*(int *)listener, NULL, NULL);

		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

int main(void)
{
	struct sockaddr_in here = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(here);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t thread;
	char byte;

	if (bind(listener, (void *)&here, size) || listen(listener, 65535) ||
	    getsockname(listener, (void *)&here, &size) ||
	    pthread_create(&thread, NULL, accept_and_close, &listener)) {
		perror("accept_loop");
		return 1;
	}
	printf("%d\n", ntohs(here.sin_port));
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
