/* A tool that makes its own resource type highly available: a counter that lives in this process
 * and keeps its count on the group's LUN. Run one per node; kill one, and another counts on.
 *
 * usage: ha_counter CLUSTER_TOML NODE STATE_DIR KEY_FILE
 */
#include <quorate.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t count;
static FILE *store; /* open while the counter runs here */

/* Carries out a request; the answer says why not, or is NULL. */
static const char *serve(const quorate_request *request, const quorate_lun *lun) {
    char path[4096];
    if (store != NULL) fclose(store);
    store = NULL;
    if (request->verb != QUORATE_VERB_START) return NULL; /* stop and kill: it runs no more */
    if (lun == NULL) return "the counter needs a LUN";
    snprintf(path, sizeof path, "%s/count", lun->path.data);
    store = fopen(path, "r+");
    if (store == NULL) store = fopen(path, "w+");
    if (store == NULL) return "the LUN cannot be written";
    if (fscanf(store, "%" SCNu64, &count) != 1) count = 0;
    return NULL;
}

static void tick(void) {
    rewind(store);
    fprintf(store, "%" PRIu64 "\n", ++count);
    if (fflush(store) == 0) printf("count %" PRIu64 "\n", count);
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
        if (store != NULL) tick();
    }
}
