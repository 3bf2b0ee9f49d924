/* A cluster.toml for three nodes on free ports of this machine, with one group of the host's own. */
#ifndef QUORATE_TEST_CLUSTER_H
#define QUORATE_TEST_CLUSTER_H

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define NODES 3

/* Binds a port of both kinds; port 0 asks for a free one. -1: it is taken. */
static inline int bind_port(int kind, int port, int *bound) {
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, kind, 0);
    CHECK(fd >= 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((unsigned short)port);
    if (bind(fd, (struct sockaddr *)&address, len) != 0) {
        close(fd);
        return -1;
    }
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    *bound = ntohs(address.sin_port);
    return fd;
}

/* Ports that were free for TCP and UDP a moment ago. */
static inline void free_ports(int ports[NODES]) {
    int fds[2 * NODES];
    int found = 0;
    while (found < NODES) {
        int tcp = bind_port(SOCK_STREAM, 0, &ports[found]);
        int udp = bind_port(SOCK_DGRAM, ports[found], &ports[found]);
        CHECK(tcp >= 0);
        if (udp < 0) {
            close(tcp);
            continue;
        }
        fds[2 * found] = tcp;
        fds[2 * found + 1] = udp;
        found++;
    }
    for (int i = 0; i < 2 * NODES; i++) close(fds[i]);
}

/* The configuration; `dir` is an absolute path. */
static inline quorate_config *cluster_config(const char *dir, const int ports[NODES]) {
    char toml[4096];
    quorate_config *config = NULL;
    int len = snprintf(toml, sizeof toml,
                       "[cluster]\nname = \"test\"\nid = \"00000000000000c1\"\n"
                       "[timing]\nprofile = \"fast\"\n");
    for (int i = 0; i < NODES; i++) {
        len += snprintf(toml + len, sizeof toml - (size_t)len,
                        "[[nodes]]\nname = \"n%d\"\naddresses = [\"127.0.0.1:%d\"]\n", i + 1,
                        ports[i]);
    }
    snprintf(toml + len, sizeof toml - (size_t)len,
             "[[luns]]\nname = \"disk1\"\ndriver = \"file\"\npath = \"%s/shared\"\n"
             "[[groups]]\nname = \"own\"\nluns = [\"disk1\"]\n"
             "failover_threshold = 20\n"
             "[[groups.resources]]\nname = \"mine\"\ndriver = \"host\"\n"
             "settings = { colour = \"blue\" }\n",
             dir);
    CHECK(quorate_config_from_toml(text_of(toml), text_of("test.toml"), &config) == QUORATE_OK);
    return config;
}

#endif
