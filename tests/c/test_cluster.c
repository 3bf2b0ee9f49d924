/* A test cluster in virtual time: faults, a resource of the test's own, and what-if. */
#include "test.h"

/* The owner of a group, to be freed; NULL: nobody. */
static quorate_string *owner_of(quorate_test_cluster *cluster, const char *group) {
    quorate_string *owner = NULL;
    CHECK(quorate_test_cluster_owner_of(cluster, text_of(group), &owner) == QUORATE_OK);
    return owner;
}

static int is_same(quorate_string *one, quorate_string *other) {
    return strcmp(quorate_string_text(one).data, quorate_string_text(other).data) == 0;
}

static void a_lost_node_is_taken_over(void) {
    quorate_test_cluster *cluster = NULL;
    CHECK(quorate_test_cluster_new(3, 7, &cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    quorate_string *first = owner_of(cluster, "vm1");
    CHECK(first != NULL);
    CHECK(quorate_test_cluster_power_off(cluster, quorate_string_text(first)) == QUORATE_OK);
    quorate_host_state state;
    CHECK(quorate_test_cluster_host_state(cluster, quorate_string_text(first), &state) == QUORATE_OK);
    CHECK(state == QUORATE_HOST_OFF);
    uint64_t before = 0, after = 0, outage = 0;
    CHECK(quorate_test_cluster_now_ms(cluster, &before) == QUORATE_OK);
    quorate_string *second = NULL;
    for (;;) {
        CHECK(quorate_test_cluster_run(cluster, 100) == QUORATE_OK);
        second = owner_of(cluster, "vm1");
        if (second != NULL) break;
    }
    CHECK(!is_same(first, second));
    CHECK(quorate_test_cluster_now_ms(cluster, &after) == QUORATE_OK);
    CHECK(quorate_test_cluster_outage_of(cluster, text_of("vm1"), &outage) == QUORATE_OK);
    CHECK(outage > 0 && outage <= after - before);
    CHECK(quorate_test_cluster_heal(cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_move_group(cluster, text_of("vm1"), quorate_string_text(first)) ==
          QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    quorate_string *third = owner_of(cluster, "vm1");
    CHECK(is_same(first, third));
    quorate_string *status = NULL, *timeline = NULL, *page = NULL;
    CHECK(quorate_test_cluster_status_json(cluster, text_of("n2"), &status) == QUORATE_OK);
    CHECK(strstr(quorate_string_text(status).data, "\"node\":\"n2\"") != NULL);
    CHECK(quorate_test_cluster_timeline_json(cluster, &timeline) == QUORATE_OK);
    CHECK(strstr(quorate_string_text(timeline).data, "\"group_killed\"") != NULL);
    CHECK(quorate_test_cluster_html(cluster, &page) == QUORATE_OK);
    CHECK(strncmp(quorate_string_text(page).data, "<!DOCTYPE html>", 15) == 0);
    quorate_string_free(page);
    quorate_string_free(timeline);
    quorate_string_free(status);
    quorate_string_free(third);
    quorate_string_free(second);
    quorate_string_free(first);
    quorate_test_cluster_free(cluster);
    PASSED("a lost node is taken over in virtual time");
}

static void a_resource_is_answered_for(void) {
    quorate_test_cluster *cluster = NULL;
    quorate_item *start = NULL, *kill = NULL, *none = NULL;
    CHECK(quorate_test_cluster_new(3, 1, &cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_answer_for(cluster, text_of("vm1")) == QUORATE_OK);
    CHECK(quorate_test_cluster_next_request(cluster, 60000, &start) == QUORATE_OK);
    const quorate_request *request = quorate_item_request(start);
    CHECK(request->verb == QUORATE_VERB_START && is_text(request->resource, "vm1"));
    CHECK(is_text(quorate_item_lun(start, 0)->path, "test-cluster/disk-vm1"));
    /* It takes three seconds. */
    CHECK(quorate_test_cluster_run(cluster, 3000) == QUORATE_OK);
    CHECK(owner_of(cluster, "vm1") == NULL);
    CHECK(quorate_test_cluster_complete(cluster, request->op, text_of(NULL)) == QUORATE_OK);
    CHECK(quorate_test_cluster_complete(cluster, request->op, text_of(NULL)) == QUORATE_MISUSE);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    quorate_string *owner = owner_of(cluster, "vm1");
    CHECK(owner != NULL && is_text(request->node, quorate_string_text(owner).data));
    CHECK(quorate_test_cluster_report(cluster, request->resource, request->node,
                                      text_of("it feels unwell")) == QUORATE_OK);
    CHECK(quorate_test_cluster_next_request(cluster, 60000, &kill) == QUORATE_OK);
    CHECK(quorate_item_request(kill)->verb == QUORATE_VERB_KILL);
    CHECK(quorate_item_request(kill)->epoch == request->epoch);
    CHECK(quorate_test_cluster_next_request(cluster, 10, &none) == QUORATE_TIMED_OUT);
    CHECK(error_has("a request") && error_has("virtual time") && none == NULL);
    quorate_string_free(owner);
    quorate_item_free(kill);
    quorate_item_free(start);
    quorate_test_cluster_free(cluster);
    PASSED("a test answers for a resource of its own");
}

static void what_is_wrong_is_refused(void) {
    quorate_test_cluster *cluster = NULL;
    CHECK(quorate_test_cluster_new(0, 1, &cluster) == QUORATE_CONFIG);
    CHECK(quorate_test_cluster_new(3, 1, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_test_cluster_run(NULL, 1) == QUORATE_NULL_POINTER);
    CHECK(quorate_test_cluster_new(3, 1, &cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_crash(cluster, text_of("n9")) == QUORATE_UNKNOWN);
    CHECK(error_has("n1, n2, n3"));
    CHECK(quorate_test_cluster_cut_network(cluster, text_of("n1"), 7) == QUORATE_UNKNOWN);
    CHECK(quorate_test_cluster_drain(cluster, text_of("n1")) == QUORATE_MISUSE);
    CHECK(error_has("no node runs"));
    quorate_test_cluster_free(cluster);
    quorate_test_cluster_free(NULL);
    PASSED("what is wrong is refused by name");
}

static void every_command_of_an_operator_is_taken(void) {
    quorate_test_cluster *cluster = NULL;
    quorate_text vm = text_of("vm1");
    CHECK(quorate_test_cluster_new(3, 5, &cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    quorate_string *first = owner_of(cluster, "vm1");
    quorate_text node = quorate_string_text(first);
    CHECK(quorate_test_cluster_disarm(cluster, text_of("freeze"), 60000) == QUORATE_OK);
    CHECK(quorate_test_cluster_disarm(cluster, text_of("off"), 0) == QUORATE_MISUSE);
    CHECK(quorate_test_cluster_arm(cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_unmanage(cluster, vm) == QUORATE_OK);
    CHECK(quorate_test_cluster_online(cluster, vm) == QUORATE_OK);
    CHECK(quorate_test_cluster_hold_moves(cluster, true) == QUORATE_OK);
    CHECK(quorate_test_cluster_hold_moves(cluster, false) == QUORATE_OK);
    CHECK(quorate_test_cluster_report_load(cluster, vm, text_of("{\"cpus\":1}")) == QUORATE_OK);
    CHECK(quorate_test_cluster_report_load(cluster, vm, text_of("1")) == QUORATE_MISUSE);
    CHECK(quorate_test_cluster_count_failures(cluster, vm, node, 2) == QUORATE_OK);
    CHECK(quorate_test_cluster_count_failures(cluster, vm, node, UINT32_MAX) == QUORATE_REFUSED);
    CHECK(error_has("more than 1000000"));
    CHECK(quorate_test_cluster_empty(cluster, node) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_resume_with(cluster, node, text_of("later")) == QUORATE_MISUSE);
    CHECK(quorate_test_cluster_resume_with(cluster, node, text_of("now")) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    quorate_string *second = owner_of(cluster, "vm1");
    CHECK(is_same(first, second));
    CHECK(quorate_test_cluster_drain(cluster, node) == QUORATE_OK);
    CHECK(quorate_test_cluster_end_drain(cluster, node) == QUORATE_OK);
    CHECK(quorate_test_cluster_apply(cluster, NULL, text_of(""), 0) == QUORATE_NULL_POINTER);
    CHECK(quorate_test_cluster_disable(cluster, vm) == QUORATE_OK);
    CHECK(quorate_test_cluster_fence(cluster, node, text_of("the test wants it")) == QUORATE_OK);
    quorate_string_free(second);
    quorate_string_free(first);
    quorate_test_cluster_free(cluster);
    PASSED("every command of an operator is taken");
}

static void a_node_comes_and_another_goes(void) {
    quorate_test_cluster *cluster = NULL;
    CHECK(quorate_test_cluster_new(3, 6, &cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_add_node(cluster, text_of("n1"), true) == QUORATE_REFUSED);
    CHECK(quorate_test_cluster_add_node(cluster, text_of("new"), true) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    quorate_string *owner = owner_of(cluster, "vm1");
    quorate_text node = quorate_string_text(owner);
    CHECK(quorate_test_cluster_evict_node(cluster, node) == QUORATE_REFUSED);
    CHECK(error_has("drain it first"));
    CHECK(quorate_test_cluster_drain(cluster, node) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_evict_node(cluster, node) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_crash(cluster, node) == QUORATE_UNKNOWN);
    CHECK(error_has("new"));
    quorate_string_free(owner);
    quorate_test_cluster_free(cluster);
    PASSED("a node comes and another goes");
}

static void what_if_says_what_comes_of_a_loss(void) {
    quorate_node_address nodes[3];
    const char *words[3][2] = {{"a", "10.0.0.1:1"}, {"b", "10.0.0.2:1"}, {"c", "10.0.0.3:1"}};
    for (int i = 0; i < 3; i++) {
        nodes[i].name = text_of(words[i][0]);
        nodes[i].address = text_of(words[i][1]);
    }
    quorate_string *toml = NULL, *json = NULL, *table = NULL;
    quorate_config *config = NULL;
    CHECK(quorate_config_template(text_of("c"), 7, nodes, 3, text_of("/srv/shared"), &toml) ==
          QUORATE_OK);
    CHECK(quorate_config_from_toml(quorate_string_text(toml), text_of("c.toml"), &config) ==
          QUORATE_OK);
    CHECK(quorate_what_if(config, text_of(NULL), text_of("nodes:1"), 0, &json, &table) ==
          QUORATE_OK);
    CHECK(strstr(quorate_string_text(json).data, "\"lost\":[\"c\"],\"quorum\":true") != NULL);
    CHECK(strncmp(quorate_string_text(table).data, "LOST  QUORUM", 12) == 0);
    quorate_string_free(json);
    quorate_string_free(table);
    CHECK(quorate_what_if(config, text_of(NULL), text_of("n7"), 0, &json, &table) == QUORATE_MISUSE);
    CHECK(error_has("n7 is no node"));
    CHECK(quorate_what_if(config, text_of("{}"), text_of("a"), 0, &json, &table) == QUORATE_MISUSE);
    CHECK(error_has("status_json"));
    quorate_test_cluster *cluster = NULL;
    CHECK(quorate_test_cluster_of_config(config, 3, &cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    quorate_string *owner = owner_of(cluster, "counter");
    CHECK(owner != NULL);
    quorate_string_free(owner);
    CHECK(quorate_test_cluster_apply(cluster, config, text_of("again"), 9) == QUORATE_REFUSED);
    CHECK(error_has("in force by now"));
    CHECK(quorate_test_cluster_apply(cluster, config, text_of("again"), 0) == QUORATE_OK);
    quorate_test_cluster_free(cluster);
    quorate_config_free(config);
    quorate_string_free(toml);
    PASSED("what-if says what comes of a loss");
}

/* Whether a status says so; status: of n1. */
static int witness_says(quorate_test_cluster *cluster, const char *words) {
    quorate_string *status = NULL;
    CHECK(quorate_test_cluster_status_json(cluster, text_of("n1"), &status) == QUORATE_OK);
    int says = strstr(quorate_string_text(status).data, words) != NULL;
    quorate_string_free(status);
    return says;
}

static void of_two_nodes_one_goes_on_with_a_witness(void) {
    quorate_test_cluster *cluster = NULL;
    CHECK(quorate_test_cluster_new_with_witness(2, 3, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_test_cluster_new_with_witness(2, 3, &cluster) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    CHECK(witness_says(cluster, "\"votes\":3") && witness_says(cluster, "\"made\":true"));
    CHECK(witness_says(cluster, "\"answered_ms_ago\":"));
    CHECK(quorate_test_cluster_cut_witness(cluster, text_of("n9")) == QUORATE_UNKNOWN);
    CHECK(quorate_test_cluster_cut_witness(cluster, text_of(NULL)) == QUORATE_OK);
    for (int i = 0; i < 600 && !witness_says(cluster, "\"reachable\":false"); i++) {
        CHECK(quorate_test_cluster_run(cluster, 100) == QUORATE_OK);
    }
    CHECK(witness_says(cluster, "\"reachable\":false"));
    CHECK(quorate_test_cluster_mend_witness(cluster, text_of(NULL)) == QUORATE_OK);
    for (int i = 0; i < 600 && !witness_says(cluster, "\"reachable\":true"); i++) {
        CHECK(quorate_test_cluster_run(cluster, 100) == QUORATE_OK);
    }
    CHECK(quorate_test_cluster_power_off(cluster, text_of("n2")) == QUORATE_OK);
    CHECK(quorate_test_cluster_settle(cluster) == QUORATE_OK);
    quorate_string *owner = owner_of(cluster, "vm1");
    CHECK(owner != NULL && strcmp(quorate_string_text(owner).data, "n1") == 0);
    quorate_string_free(owner);
    quorate_test_cluster_free(cluster);
    PASSED("of two nodes one goes on with a witness");
}

static void a_cib_is_imported(void) {
    quorate_string *toml = NULL, *report = NULL;
    quorate_config *config = NULL;
    const char *cib = "<cib><configuration><nodes><node id='1' uname='a'/></nodes><resources>"
                      "<primitive id='web' class='systemd' type='web'/></resources><constraints>"
                      "<rsc_ticket id='t' rsc='web' ticket='x'/></constraints></configuration></cib>";
    CHECK(quorate_import_pacemaker(text_of(cib), text_of("cib.xml"), &toml, &report) == QUORATE_OK);
    CHECK(strstr(quorate_string_text(report).data, "\"item\":\"rsc_ticket t\"") != NULL);
    CHECK(quorate_config_from_toml(quorate_string_text(toml), text_of("c.toml"), &config) ==
          QUORATE_OK);
    CHECK(strcmp(quorate_config_group_name(config, 0).data, "web") == 0);
    quorate_config_free(config);
    quorate_string_free(toml);
    quorate_string_free(report);
    toml = report = NULL;
    CHECK(quorate_import_pacemaker(text_of("<html/>"), text_of("it.xml"), &toml, &report) ==
          QUORATE_CONFIG);
    CHECK(error_has("it.xml:1:1") && toml == NULL && report == NULL);
    CHECK(quorate_import_proxmox(text_of("/nowhere"), &toml, &report) == QUORATE_CONFIG);
    CHECK(error_has("resources.cfg"));
    PASSED("a cib is imported");
}

int main(void) {
    a_lost_node_is_taken_over();
    a_resource_is_answered_for();
    what_is_wrong_is_refused();
    every_command_of_an_operator_is_taken();
    a_node_comes_and_another_goes();
    what_if_says_what_comes_of_a_loss();
    of_two_nodes_one_goes_on_with_a_witness();
    a_cib_is_imported();
    return 0;
}
