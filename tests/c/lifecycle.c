/* The life of a cluster of three nodes in one process: founding, moves, commands, failures, end.
 *
 * usage: lifecycle EMPTY_DIR
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "cluster.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define PATIENCE_S 60.0
#define NONE (-1)

/* What the host knows, from its own requests and from what it took. */
typedef struct world {
    quorate_node *nodes[NODES]; /* NULL: freed */
    bool has_ended[NODES];
    int runs_on;          /* where the resource runs */
    uint64_t epoch;       /* of the request that started it */
    uint64_t op;          /* its number */
    int starts;           /* how often it was started */
    int starts_to_fail;   /* the next starts that shall fail */
    int online_notices;   /* of the group, on any node */
    uint64_t answered;    /* the newest answer's ticket */
    quorate_status answer;
    char reason[512];
} world;

static void serve(world *w, int at, const quorate_item *item, const quorate_request *request) {
    const quorate_lun *lun = quorate_item_lun(item, 0);
    quorate_text error = text_of(NULL);
    printf("n%d: asked to %s in %" PRIu64 "\n", at + 1, request->verb_name.data, request->epoch);
    CHECK(is_text(request->resource, "mine") && is_text(request->group, "own"));
    CHECK(strstr(request->settings.data, "\"colour\":\"blue\"") != NULL);
    CHECK(lun != NULL && is_text(lun->name, "disk1") && !lun->is_nbd && lun->path.data[0] == '/');
    CHECK(quorate_item_lun(item, 1) == NULL && quorate_item_notice(item) == NULL);
    CHECK(request->state.data == NULL && request->timeout_ms > 0);
    if (request->verb == QUORATE_VERB_START) {
        CHECK(is_text(request->verb_name, "start"));
        CHECK(w->runs_on == NONE);
        CHECK(request->epoch >= w->epoch);
        if (w->starts_to_fail > 0) {
            w->starts_to_fail--;
            error = text_of("it would not start");
        } else {
            w->runs_on = at;
            w->epoch = request->epoch;
            w->op = request->op;
            w->starts++;
        }
    } else {
        CHECK(request->verb == QUORATE_VERB_STOP || request->verb == QUORATE_VERB_KILL);
        if (w->runs_on == at) w->runs_on = NONE;
    }
    quorate_status status = quorate_node_complete(w->nodes[at], request->op, error);
    CHECK(status == QUORATE_OK || status == QUORATE_ENDED);
}

static void note(world *w, int at, const quorate_item *item, const quorate_notice *notice) {
    printf("n%d: %s\n", at + 1, notice->line.data);
    CHECK(notice->kind.len > 0 && notice->text.len > 0 && notice->unix_us > 0);
    CHECK(notice->fields.data[0] == '{' && notice->boottime_ns > 0);
    size_t mark = notice->is_past ? strlen("(earlier) ") : 0;
    CHECK(notice->line.len == notice->text.len + strlen("00:00:00.000 ") + mark);
    CHECK(notice->is_past || notice->past_ms == 0);
    CHECK(quorate_item_request(item) == NULL && quorate_item_lun(item, 0) == NULL);
    CHECK(quorate_item_field(item, text_of("no such field")).data == NULL);
    if (is_text(notice->kind, "online")) {
        CHECK(is_text(quorate_item_field(item, text_of("group")), "own"));
        w->online_notices++;
    }
}

static void take_all(world *w, int at) {
    for (;;) {
        quorate_item *item = NULL;
        quorate_status status = quorate_node_take(w->nodes[at], &item);
        if (status == QUORATE_ENDED) {
            CHECK(item == NULL);
            w->has_ended[at] = true;
            return;
        }
        CHECK(status == QUORATE_OK);
        if (item == NULL) return;
        const quorate_request *request = quorate_item_request(item);
        const quorate_notice *notice = quorate_item_notice(item);
        const quorate_answer *answer = quorate_item_answer(item);
        CHECK((request != NULL) + (notice != NULL) + (answer != NULL) == 1);
        if (request != NULL) serve(w, at, item, request);
        if (notice != NULL) note(w, at, item, notice);
        if (answer != NULL) {
            w->answered = answer->ticket;
            w->answer = answer->status;
            snprintf(w->reason, sizeof w->reason, "%s",
                     answer->reason.data == NULL ? "" : answer->reason.data);
        }
        quorate_item_free(item);
    }
}

/* Waits for any node's descriptor, and takes what there is. */
static void pump(world *w) {
    struct pollfd fds[NODES];
    int nodes[NODES], count = 0;
    for (int i = 0; i < NODES; i++) {
        if (w->nodes[i] == NULL || w->has_ended[i]) continue;
        quorate_status status = quorate_node_fd(w->nodes[i], &fds[count].fd);
        CHECK(status == QUORATE_OK);
        fds[count].events = POLLIN;
        nodes[count++] = i;
    }
    CHECK(poll(fds, (nfds_t)count, 100) >= 0);
    for (int i = 0; i < count; i++) {
        if (fds[i].revents != 0) take_all(w, nodes[i]);
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#define WAIT_FOR(w, condition)                                  \
    do {                                                        \
        double deadline = seconds() + PATIENCE_S;               \
        while (!(condition)) {                                  \
            if (seconds() > deadline) {                         \
                tell_state(w);                                  \
                CHECK(!"in time" && (condition));               \
            }                                                   \
            pump(w);                                            \
        }                                                       \
    } while (0)

static void tell_state(world *w) {
    for (int i = 0; i < NODES; i++) {
        quorate_string *json = NULL;
        if (w->nodes[i] == NULL || quorate_node_status_json(w->nodes[i], &json) != QUORATE_OK) {
            continue;
        }
        fprintf(stderr, "n%d: %s\n", i + 1, quorate_string_text(json).data);
        quorate_string_free(json);
    }
}

/* Whether a node's status, as JSON, holds a part. */
static bool status_has(world *w, int at, const char *part) {
    quorate_string *json = NULL;
    CHECK(quorate_node_status_json(w->nodes[at], &json) == QUORATE_OK);
    bool has = strstr(quorate_string_text(json).data, part) != NULL;
    quorate_string_free(json);
    return has;
}

static bool is_online(world *w, int at) { return status_has(w, at, "\"state\":\"online\""); }

/* Waits for the answer to a command among the items. */
static quorate_status answer_to(world *w, uint64_t ticket) {
    WAIT_FOR(w, w->answered == ticket);
    w->answered = UINT64_MAX;
    return w->answer;
}

static quorate_text name_of(int at) {
    static const char *names[NODES] = {"n1", "n2", "n3"};
    return text_of(names[at]);
}

static int another(const world *w, int not_this) {
    for (int i = 0; i < NODES; i++) {
        if (i != not_this && w->nodes[i] != NULL && !w->has_ended[i]) return i;
    }
    CHECK(!"a node is left");
    return NONE;
}

static void founding(world *w, const char *dir) {
    int ports[NODES];
    char state_dir[4096];
    quorate_key *key = NULL;
    free_ports(ports);
    quorate_config *config = cluster_config(dir, ports);
    CHECK(quorate_key_generate(&key) == QUORATE_OK);
    for (int i = 0; i < NODES; i++) {
        snprintf(state_dir, sizeof state_dir, "%s/n%d", dir, i + 1);
        CHECK(quorate_node_start(config, name_of(i), text_of(state_dir), key, text_of(NULL),
                                 &w->nodes[i]) == QUORATE_OK);
    }
    quorate_config_free(config);
    quorate_key_free(key);
    WAIT_FOR(w, w->runs_on != NONE && is_online(w, w->runs_on) && w->online_notices > 0);
    CHECK(status_has(w, w->runs_on, "\"quorum\":true"));
    /* A node without a lease gives back what is moved to it. */
    for (int i = 0; i < NODES; i++) {
        WAIT_FOR(w, !status_has(w, i, "\"lease_left_ms\":null"));
    }
    PASSED("three nodes found a cluster, and one starts the host's own resource");
}

static void waiting(world *w) {
    quorate_node *node = w->nodes[0];
    bool is_ready = true;
    quorate_item *item = NULL;
    /* A notice may come at any time; in the end there is none. */
    double deadline = seconds() + PATIENCE_S;
    while (is_ready && seconds() < deadline) {
        take_all(w, 0);
        CHECK(quorate_node_wait(node, 0, &is_ready) == QUORATE_OK);
    }
    CHECK(!is_ready);
    CHECK(quorate_node_next(node, 0, &item) == QUORATE_OK);
    CHECK(item == NULL);
    PASSED("a wait ends without an item when none comes");
}

static void explaining(world *w) {
    quorate_string *string = NULL;
    CHECK(quorate_node_explain(w->nodes[0], text_of("own"), &string) == QUORATE_OK);
    CHECK(quorate_string_text(string).len > 0);
    quorate_string_free(string);
    string = NULL;
    CHECK(quorate_node_explain(w->nodes[0], text_of("none"), &string) == QUORATE_UNKNOWN);
    CHECK(error_has("none") && error_has("own") && string == NULL);
    PASSED("a group's place is explained");
}

static void moving(world *w) {
    uint64_t ticket = 0;
    int from = w->runs_on, to = another(w, from);
    quorate_node *asked = w->nodes[another(w, to)];
    CHECK(quorate_node_move_group(asked, text_of("own"), name_of(to), &ticket) == QUORATE_OK);
    CHECK(quorate_node_command_wait(asked, ticket, 30000) == QUORATE_OK);
    printf("%s accepted that it moves to n%d\n", quorate_node_name(asked).data, to + 1);
    WAIT_FOR(w, w->runs_on == to && is_online(w, to));
    PASSED("a group moves to the node that was named");

    CHECK(quorate_node_move_group(asked, text_of("own"), text_of("n9"), &ticket) == QUORATE_OK);
    CHECK(quorate_node_command_wait(asked, ticket, 30000) == QUORATE_REFUSED && error_has("n9"));
    CHECK(quorate_node_online(asked, text_of("nothing"), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_REFUSED && strstr(w->reason, "nothing") != NULL);
    PASSED("a refusal comes to the waiter or as an item, with its reason");

    CHECK(quorate_node_offline(asked, text_of("own"), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK && w->reason[0] == '\0');
    WAIT_FOR(w, w->runs_on == NONE);
    CHECK(quorate_node_online(asked, text_of("own"), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    WAIT_FOR(w, w->runs_on != NONE && is_online(w, w->runs_on));
    PASSED("a group goes offline and online by command");
}

static void draining(world *w) {
    uint64_t ticket = 0;
    int drained = w->runs_on;
    quorate_node *asked = w->nodes[another(w, drained)];
    CHECK(quorate_node_drain(asked, name_of(drained), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    WAIT_FOR(w, w->runs_on != NONE && w->runs_on != drained && is_online(w, w->runs_on));
    CHECK(quorate_node_resume(asked, name_of(drained), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    CHECK(quorate_node_pause(asked, name_of(drained), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    WAIT_FOR(w, status_has(w, w->runs_on, "\"paused\":true"));
    CHECK(quorate_node_resume(asked, name_of(drained), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    WAIT_FOR(w, !status_has(w, w->runs_on, "\"paused\":true"));
    CHECK(quorate_node_confirm_fenced(asked, name_of(drained), text_of("I pulled its plug"),
                                      &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_REFUSED);
    PASSED("a node is drained, paused and resumed; one that lives cannot be called fenced");
}

/* Whether a string that was made holds a part; it is freed. */
static bool freed_with(quorate_string *string, const char *part) {
    bool has = strstr(quorate_string_text(string).data, part) != NULL;
    if (!has) printf("no %s in: %s\n", part, quorate_string_text(string).data);
    quorate_string_free(string);
    return has;
}

/* The configuration with the group preferring another node, made by its text. */
static quorate_config *preferring(const quorate_config *from, int at) {
    quorate_config *made = NULL;
    quorate_string *json = NULL;
    char text[8192];
    CHECK(quorate_config_to_json(from, &json) == QUORATE_OK);
    const char *whole = quorate_string_text(json).data, *key = "\"preferred_owners\": []";
    const char *found = strstr(whole, key);
    CHECK(found != NULL);
    snprintf(text, sizeof text, "%.*s\"preferred_owners\": [\"n%d\"], \"priority\": \"high\"%s",
             (int)(found - whole), whole, at + 1, found + strlen(key));
    quorate_string_free(json);
    CHECK(quorate_config_from_json(text_of(text), text_of("made"), &made) == QUORATE_OK);
    return made;
}

static void configuring(world *w) {
    uint64_t version = 0, ticket = 0;
    quorate_config *config = NULL, *made = NULL;
    quorate_string *json = NULL;
    quorate_node *node = w->nodes[w->runs_on];
    CHECK(quorate_node_configuration(node, &version, &config) == QUORATE_OK && version == 1);
    made = preferring(config, w->runs_on);
    CHECK(quorate_config_conflict_json(config, &json) == QUORATE_OK && freed_with(json, "null"));
    CHECK(quorate_config_survival_json(config, 1, &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"failing\":0"));
    CHECK(quorate_config_diff_json(config, made, &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"place\":\"groups.own.preferred_owners\""));
    CHECK(quorate_node_plan_json(node, made, &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"text\":\"this change moves nothing\""));
    CHECK(quorate_node_plan_drain_json(node, name_of(w->runs_on), &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"effect\":\"moves\""));
    CHECK(quorate_node_plan_drain_json(node, text_of("n9"), &json) == QUORATE_REFUSED);
    CHECK(quorate_node_plan_move_json(node, text_of("own"), text_of(NULL), &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"refusal\":null"));
    bool keeps = true;
    CHECK(quorate_node_keeps_on_shutdown(node, true, &keeps) == QUORATE_OK && !keeps);
    CHECK(quorate_node_apply(node, made, text_of("liked here"), 1, &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    WAIT_FOR(w, status_has(w, w->runs_on, "\"config_version\":2"));
    CHECK(quorate_node_apply(node, config, text_of(""), 1, &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_REFUSED && strstr(w->reason, "not 1") != NULL);
    CHECK(quorate_node_roll_back(node, 0, text_of("not so"), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    WAIT_FOR(w, status_has(w, w->runs_on, "\"config_version\":3"));
    CHECK(quorate_node_history_json(node, &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"reason\":\"back to version 1: not so\""));
    CHECK(quorate_node_status_json(node, &json) == QUORATE_OK);
    quorate_string *plan = NULL;
    CHECK(quorate_plan_of_status_json(config, quorate_string_text(json), made, &plan) == QUORATE_OK);
    quorate_string_free(json);
    CHECK(freed_with(plan, "\"effects\":[]"));
    quorate_config_free(config);
    quorate_config_free(made);
    PASSED("another configuration is planned, applied and rolled back");

    int other = another(w, w->runs_on);
    CHECK(quorate_node_explanation_json(node, text_of("own"), &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"not_there\":[{"));
    CHECK(quorate_node_why_not_json(node, text_of("own"), name_of(other), &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"would_need\":["));
    CHECK(quorate_node_survival_json(node, 1, &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"tried\":3"));
    CHECK(quorate_node_why_not_json(node, text_of("own"), text_of("n9"), &json) == QUORATE_UNKNOWN);
    PASSED("why a group is here and not there is data");

    CHECK(quorate_node_explain_action_json(w->nodes[w->runs_on], w->op, &json) == QUORATE_OK);
    CHECK(freed_with(json, "\"is_input\":true"));
    CHECK(quorate_node_explain_action_json(w->nodes[w->runs_on], UINT64_MAX, &json) == QUORATE_OK);
    CHECK(freed_with(json, "null"));
    PASSED("a request is explained back to what came in from outside");

    CHECK(quorate_node_add_group(node,
                                 text_of("[[groups]]\nname = \"new\"\nauto_start = false\n"
                                         "[[groups.resources]]\nname = \"idle\"\n"
                                         "driver = \"process\"\ncommand = [\"sleep\", \"9\"]\n"),
                                 &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    WAIT_FOR(w, status_has(w, w->runs_on, "\"name\":\"new\""));
    CHECK(quorate_node_remove_group(node, text_of("new"), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_OK);
    CHECK(quorate_node_add_group(node, text_of("groups = []"), &ticket) == QUORATE_CONFIG);
    PASSED("groups come and go");

    CHECK(quorate_node_add_node(node, text_of("nodes = []"), &ticket) == QUORATE_CONFIG);
    CHECK(quorate_node_evict_node(node, name_of(w->runs_on), &ticket) == QUORATE_OK);
    CHECK(answer_to(w, ticket) == QUORATE_REFUSED);
    PASSED("a node with a group is not evicted");
}

#define ACCEPTED(call)                                 \
    do {                                               \
        uint64_t ticket = 0;                           \
        CHECK((call) == QUORATE_OK);                   \
        CHECK(answer_to(w, ticket) == QUORATE_OK);     \
    } while (0)

static void operating(world *w) {
    int was_on = w->runs_on;
    quorate_node *node = w->nodes[was_on];
    quorate_text own = text_of("own"), here = name_of(was_on);
    uint64_t none = 0;
    ACCEPTED(quorate_node_disarm(node, text_of("freeze"), 600000, &ticket));
    WAIT_FOR(w, status_has(w, was_on, "\"disarmed\":\"freeze\""));
    ACCEPTED(quorate_node_arm(node, &ticket));
    WAIT_FOR(w, status_has(w, was_on, "\"disarmed\":null"));
    ACCEPTED(quorate_node_unmanage(node, own, &ticket));
    ACCEPTED(quorate_node_manage(node, own, &ticket));
    ACCEPTED(quorate_node_hold_moves(node, true, &ticket));
    ACCEPTED(quorate_node_hold_moves(node, false, &ticket));
    ACCEPTED(quorate_node_report_load(node, own, text_of("{\"cpus\":1}"), &ticket));
    ACCEPTED(quorate_node_count_failures(node, own, here, 2, &ticket));
    ACCEPTED(quorate_node_clean_up(node, own, here, &ticket));
    /* One that hands over owes answers that it does not give any more. */
    quorate_text other = name_of(status_has(w, was_on, "\"coordinator\":\"n1\"") ? 1 : 0);
    ACCEPTED(quorate_node_let_coordinate(node, other, false, &ticket));
    ACCEPTED(quorate_node_let_coordinate(node, other, true, &ticket));
    ACCEPTED(quorate_node_pause(node, here, &ticket));
    ACCEPTED(quorate_node_resume_with(node, here, text_of("never"), &ticket));
    CHECK(quorate_node_resume_with(node, here, text_of("later"), &none) == QUORATE_MISUSE);
    CHECK(error_has("now, policy, never"));
    CHECK(quorate_node_disarm(node, text_of("off"), 0, &none) == QUORATE_MISUSE);
    CHECK(quorate_node_report_load(node, own, text_of("1"), &none) == QUORATE_MISUSE);
    CHECK(quorate_node_fence(node, here, text_of(""), &none) == QUORATE_MISUSE);
    CHECK(error_has("reason"));
    ACCEPTED(quorate_node_restart_group(node, own, text_of(NULL), &ticket));
    WAIT_FOR(w, w->runs_on != NONE && w->runs_on != was_on && is_online(w, w->runs_on));
    ACCEPTED(quorate_node_empty(node, here, &ticket));
    ACCEPTED(quorate_node_resume_with(node, here, text_of("now"), &ticket));
    ACCEPTED(quorate_node_disable(node, own, &ticket));
    WAIT_FOR(w, w->runs_on == NONE);
    ACCEPTED(quorate_node_online(node, own, &ticket));
    WAIT_FOR(w, w->runs_on != NONE && is_online(w, w->runs_on));
    PASSED("every command of an operator is carried out, and bad words are refused");
}

static void misuse(world *w) {
    quorate_node *node = w->nodes[w->runs_on];
    CHECK(quorate_node_complete(node, UINT64_MAX, text_of(NULL)) == QUORATE_MISUSE);
    CHECK(quorate_node_report(node, text_of("x"), 1, text_of("y")) == QUORATE_UNKNOWN);
    CHECK(error_has("mine"));
    CHECK(quorate_node_command_wait(node, 1u << 30, 1) == QUORATE_TIMED_OUT);
    PASSED("a completion, a report or a ticket of nothing is refused");
}

static void failing(world *w) {
    int starts = w->starts, was_on = w->runs_on;
    CHECK(quorate_node_report(w->nodes[was_on], text_of("mine"), w->epoch, text_of("it died")) ==
          QUORATE_OK);
    WAIT_FOR(w, w->starts > starts && w->runs_on != NONE && is_online(w, w->runs_on));
    PASSED("a resource that failed by itself is started again");

    starts = w->starts;
    w->starts_to_fail = 1;
    CHECK(quorate_node_report(w->nodes[w->runs_on], text_of("mine"), w->epoch,
                              text_of("it died again")) == QUORATE_OK);
    WAIT_FOR(w, w->starts > starts && w->runs_on != NONE && is_online(w, w->runs_on));
    CHECK(w->starts_to_fail == 0);
    PASSED("a start that failed is tried again");
}

static void dying(world *w) {
    int owner = w->runs_on;
    struct pollfd ended;
    quorate_string *json = NULL;
    uint64_t ticket = 7;
    CHECK(quorate_node_kill(w->nodes[owner]) == QUORATE_OK);
    CHECK(quorate_node_kill(w->nodes[owner]) == QUORATE_OK);
    WAIT_FOR(w, w->has_ended[owner]);
    CHECK(quorate_node_fd(w->nodes[owner], &ended.fd) == QUORATE_OK);
    ended.events = POLLIN;
    CHECK(poll(&ended, 1, 0) == 1);
    CHECK(quorate_node_status_json(w->nodes[owner], &json) == QUORATE_ENDED && json == NULL);
    CHECK(quorate_node_online(w->nodes[owner], text_of("own"), &ticket) == QUORATE_ENDED);
    CHECK(ticket == 7);
    PASSED("a killed node answers that it has ended, and its descriptor stays readable");

    if (w->runs_on == owner) w->runs_on = NONE; /* its last request may have been lost with it */
    WAIT_FOR(w, w->runs_on != NONE && w->runs_on != owner && is_online(w, w->runs_on));
    quorate_node_free(w->nodes[owner]);
    w->nodes[owner] = NULL;
    PASSED("another node starts the resource of a node that was killed");
}

static void *leave(void *node) {
    static quorate_status status;
    status = quorate_node_leave((quorate_node *)node, 60000);
    return &status;
}

static void leaving(world *w) {
    int owner = w->runs_on;
    pthread_t thread;
    void *status = NULL;
    CHECK(pthread_create(&thread, NULL, leave, w->nodes[owner]) == 0);
    WAIT_FOR(w, w->has_ended[owner]);
    CHECK(pthread_join(thread, &status) == 0);
    CHECK(*(quorate_status *)status == QUORATE_OK);
    WAIT_FOR(w, w->runs_on != owner);
    PASSED("a node leaves in good order while another thread serves it");
}

/* No node runs on this one: what can be done with a LUN from outside. */
static void looking_at_fence_agents(void) {
    static const char text[] =
        "[cluster]\nname = \"c\"\nid = \"00000000000000ab\"\n[[nodes]]\nname = \"n1\"\naddresses = [\"127.0.0.1:1\"]\n"
        "[[fence_agents]]\nname = \"board\"\nprogram = \"fence_of_nobody\"\nnodes = [\"n1\"]\n";
    quorate_config *config = NULL;
    quorate_string *json = NULL, *table = NULL;
    bool sound = true;
    CHECK(quorate_config_from_toml(text_of(text), text_of("x"), &config) == QUORATE_OK);
    CHECK(quorate_fence_agents_check(config, &json, &table, &sound) == QUORATE_OK);
    CHECK(!sound && strstr(quorate_string_text(json).data, "\"trial\":\"program\"") != NULL);
    CHECK(strstr(quorate_string_text(table).data, "there is no fence_of_nobody here") != NULL);
    quorate_string_free(json);
    quorate_string_free(table);
    CHECK(quorate_fence_agents_check(NULL, &json, &table, &sound) == QUORATE_NULL_POINTER);
    CHECK(quorate_fence_agents_init(config, false) == QUORATE_MISUSE);
    quorate_config_free(config);
}

static void looking_at_a_lun(const char *dir) {
    char place[4096], image[4200];
    snprintf(place, sizeof place, "%s/lun", dir);
    snprintf(image, sizeof image, "%s/data", place);
    CHECK(mkdir(place, 0700) == 0);
    FILE *file = fopen(image, "w");
    CHECK(file != NULL && fseek(file, (1 << 20) - 1, SEEK_SET) == 0 && fputc(0, file) == 0);
    CHECK(fclose(file) == 0);
    quorate_string *json = NULL, *table = NULL;
    bool sound = false;
    uint64_t count = 7;
    CHECK(quorate_lun_devices(&json) == QUORATE_OK);
    quorate_string_free(json);
    CHECK(quorate_lun_show(text_of(place), NULL, text_of(NULL), &json, &table) == QUORATE_OK);
    CHECK(strstr(quorate_string_text(json).data, "\"strength\":\"cooperative\"") != NULL);
    CHECK(strstr(quorate_string_text(table).data, "reservation  none") != NULL);
    quorate_string_free(json);
    quorate_string_free(table);
    CHECK(quorate_lun_doctor(text_of(place), NULL, text_of(NULL), &json, &table, &sound) ==
          QUORATE_OK);
    CHECK(sound && strstr(quorate_string_text(table).data, "fit for failover") != NULL);
    quorate_string_free(json);
    quorate_string_free(table);
    CHECK(quorate_lun_clear(text_of(place), NULL, text_of(NULL), &count) == QUORATE_OK);
    CHECK(count == 0);
    CHECK(quorate_lun_clear(text_of("disk1"), NULL, text_of(NULL), &count) == QUORATE_MISUSE);
    CHECK(quorate_lun_show(text_of("iscsi://127.0.0.1:1/iqn.2026-01.a:b/1"), NULL, text_of(NULL), &json,
                           &table) == QUORATE_LUN);
    // A disk without reservations: leases stand at its end.
    snprintf(place, sizeof place, "disk:%s/bare", dir);
    CHECK((file = fopen(place + 5, "w")) != NULL && fclose(file) == 0);
    CHECK(truncate(place + 5, 4 << 20) == 0);
    bool made = false;
    CHECK(quorate_lun_init(text_of(dir), NULL, false, &made) == QUORATE_MISUSE);
    CHECK(quorate_lun_init(text_of(place), NULL, false, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_lun_init(text_of(place), NULL, false, &made) == QUORATE_OK && made);
    CHECK(quorate_lun_init(text_of(place), NULL, false, &made) == QUORATE_OK && !made);
    PASSED("who makes leases is told whether they were there already");
    CHECK(quorate_lun_doctor(text_of(place), NULL, text_of(NULL), &json, &table, &sound) ==
          QUORATE_OK);
    CHECK(sound && strstr(quorate_string_text(table).data, "a stranger is refused") != NULL);
    quorate_string_free(json);
    quorate_string_free(table);
    PASSED("a LUN is shown, tried out and cleared");
}

int main(int argc, char **argv) {
    static world w;
    setvbuf(stdout, NULL, _IOLBF, 0);
    char shared[4096];
    CHECK(argc == 2);
    snprintf(shared, sizeof shared, "%s/shared", argv[1]);
    CHECK(mkdir(shared, 0700) == 0);
    w.runs_on = NONE;
    w.answered = UINT64_MAX;
    founding(&w, argv[1]);
    waiting(&w);
    explaining(&w);
    moving(&w);
    draining(&w);
    configuring(&w);
    operating(&w);
    misuse(&w);
    failing(&w);
    dying(&w);
    leaving(&w);
    looking_at_fence_agents();
    looking_at_a_lun(argv[1]);
    for (int i = 0; i < NODES; i++) quorate_node_free(w.nodes[i]);
    PASSED("nodes are freed whether they run or not");
    return 0;
}
