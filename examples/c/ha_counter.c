/* A tool that makes its own resource type highly available: a counter that lives in this process
 * and keeps its count on the group's LUN. Run one per node; kill one, and another counts on.
 *
 * usage: ha_counter CLUSTER_TOML NODE STATE_DIR KEY_FILE
 */
#define _POSIX_C_SOURCE 200809L
#include <quorate.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t count;
static bool runs; /* whether the counter runs here */
static char path[4096], fresh[4096 + 8];

/* Carries out a request; the answer says why not, or is NULL. */
static const char *serve(const quorate_request *request, const quorate_lun *lun) {
    FILE *store;
    runs = false;
    if (request->verb != QUORATE_VERB_START) return NULL; /* stop and kill: it runs no more */
    if (lun == NULL) return "the counter needs a LUN";
    snprintf(path, sizeof path, "%s/count", lun->path.data);
    snprintf(fresh, sizeof fresh, "%s.next", path);
    count = 0;
    store = fopen(path, "r");
    if (store != NULL) {
        bool is_read = fscanf(store, "%" SCNu64, &count) == 1;
        fclose(store);
        if (!is_read) return "the count cannot be read";
    }
    runs = true;
    return NULL;
}

/* Killed at any point, it leaves the old count or the new one. */
static void tick(void) {
    FILE *store = fopen(fresh, "w");
    bool is_written = store != NULL && fprintf(store, "%" PRIu64 "\n", count + 1) > 0 &&
                      fflush(store) == 0 && fsync(fileno(store)) == 0;
    if (store != NULL) is_written &= fclose(store) == 0;
    if (!is_written || rename(fresh, path) != 0) return; /* the next tick tries it again */
    printf("count %" PRIu64 "\n", ++count);
}

static void check(quorate_status status) {
    char text[512];
    if (status == QUORATE_OK) return;
    quorate_error_copy(text, sizeof text);
    fprintf(stderr, "ha_counter: %s\n", text);
    exit(1);
}

int main(int argc, char **argv) {
    quorate_config *config;
    quorate_key *key;
    quorate_node *node;
    quorate_item *item;
    if (argc != 5) {
        fprintf(stderr, "usage: ha_counter CLUSTER_TOML NODE STATE_DIR KEY_FILE\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    check(quorate_config_from_file(quorate_text_borrow(argv[1]), &config));
    check(quorate_key_from_file(quorate_text_borrow(argv[4]), &key));
    check(quorate_node_start(config, quorate_text_borrow(argv[2]), quorate_text_borrow(argv[3]),
                             key, quorate_text_borrow(NULL), &node));
    for (;;) {
        check(quorate_node_next(node, 50, &item));
        const quorate_request *request = quorate_item_request(item);
        const quorate_notice *notice = quorate_item_notice(item);
        if (notice != NULL) printf("%s\n", notice->line.data);
        if (request != NULL) {
            const char *error = serve(request, quorate_item_lun(item, 0));
            check(quorate_node_complete(node, request->op, quorate_text_borrow(error)));
        }
        quorate_item_free(item);
        if (runs) tick();
    }
}
