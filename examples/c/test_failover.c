/* How a host tests its resource against failover: a cluster in virtual time, with its own start and
 * stop. Prints who ran it before and after the owner's death, and for how long it was down. */
#include <quorate.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void check(quorate_status status) {
    if (status == QUORATE_OK) return;
    char text[1024];
    quorate_error_copy(text, sizeof text);
    fprintf(stderr, "%s\n", text);
    exit(1);
}

/* Carries out requests until the resource runs: each takes two seconds of virtual time. */
static quorate_string *serve_until_it_runs(quorate_test_cluster *cluster) {
    for (;;) {
        quorate_item *item = NULL;
        check(quorate_test_cluster_next_request(cluster, 60000, &item));
        const quorate_request *request = quorate_item_request(item);
        printf("%s is asked to %s\n", request->node.data, request->verb_name.data);
        check(quorate_test_cluster_run(cluster, 2000));
        check(quorate_test_cluster_complete(cluster, request->op, quorate_text_borrow(NULL)));
        quorate_item_free(item);
        check(quorate_test_cluster_run(cluster, 1000));
        quorate_string *owner = NULL;
        check(quorate_test_cluster_owner_of(cluster, quorate_text_borrow("vm1"), &owner));
        if (owner != NULL) return owner;
    }
}

int main(void) {
    quorate_test_cluster *cluster = NULL;
    uint64_t outage_ms = 0;
    check(quorate_test_cluster_new(3, 7, &cluster));
    check(quorate_test_cluster_answer_for(cluster, quorate_text_borrow("vm1")));
    quorate_string *first = serve_until_it_runs(cluster);
    check(quorate_test_cluster_crash(cluster, quorate_string_text(first)));
    quorate_string *second = serve_until_it_runs(cluster);
    check(quorate_test_cluster_outage_of(cluster, quorate_text_borrow("vm1"), &outage_ms));
    printf("from %s to %s in %" PRIu64 " ms\n", quorate_string_text(first).data,
           quorate_string_text(second).data, outage_ms);
    quorate_string_free(second);
    quorate_string_free(first);
    quorate_test_cluster_free(cluster);
    return 0;
}
