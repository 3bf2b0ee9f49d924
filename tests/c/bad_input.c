/* What a caller may do wrong: each a clear error, nothing left behind, nothing written.
 *
 * usage: bad_input EMPTY_DIR [without-nodes]
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "cluster.h"

#include <glob.h>
#include <sys/stat.h>

static const char *dir;

static quorate_text place(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return text_of(path);
}

static void write_file(const char *name, const char *text) {
    FILE *file = fopen(place(name).data, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void null_is_refused(const quorate_config *config, const quorate_key *key) {
    quorate_text none = text_of(NULL), some = text_of("x"), wrong = none;
    quorate_node *node = NULL;
    quorate_config *read = NULL;
    quorate_item *item = NULL;
    quorate_string *string = NULL;
    uint64_t ticket = 7;
    bool is_ready = true;
    int fd = -7;
    wrong.len = 3;

    CHECK(quorate_config_from_file(none, &read) == QUORATE_NULL_POINTER);
    CHECK(error_has("path is NULL"));
    CHECK(quorate_config_from_file(wrong, &read) == QUORATE_NULL_POINTER);
    CHECK(quorate_config_from_file(some, NULL) == QUORATE_NULL_POINTER);
    CHECK(error_has("config is NULL"));
    CHECK(quorate_config_from_toml(none, some, &read) == QUORATE_NULL_POINTER);
    CHECK(quorate_config_timing_derivation(NULL, &string) == QUORATE_NULL_POINTER);
    CHECK(quorate_config_to_toml(config, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_config_random_id(NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_config_template(some, 1, NULL, 2, some, &string) == QUORATE_NULL_POINTER);
    CHECK(quorate_import_pacemaker(some, some, NULL, &string) == QUORATE_NULL_POINTER);
    CHECK(quorate_import_proxmox(some, &string, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_lun_devices(NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_lun_show(none, NULL, none, &string, &string) == QUORATE_NULL_POINTER);
    CHECK(quorate_lun_clear(some, NULL, none, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_lun_doctor(some, NULL, none, &string, &string, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_key_generate(NULL) == QUORATE_NULL_POINTER && error_has("key is NULL"));
    CHECK(quorate_key_write_new_file(NULL, some) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_start(NULL, some, some, key, none, &node) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_start(config, none, some, key, none, &node) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_start(config, some, none, key, none, &node) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_start(config, some, some, NULL, none, &node) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_start(config, some, some, key, none, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_fd(NULL, &fd) == QUORATE_NULL_POINTER && error_has("node is NULL"));
    CHECK(quorate_node_take(NULL, &item) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_next(NULL, 1, &item) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_wait(NULL, 1, &is_ready) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_complete(NULL, 1, none) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_report(NULL, some, 1, some) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_move_group(NULL, some, none, &ticket) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_online(NULL, some, &ticket) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_confirm_fenced(NULL, some, some, &ticket) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_command_wait(NULL, 1, 1) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_status_json(NULL, &string) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_explain(NULL, some, &string) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_leave(NULL, 1) == QUORATE_NULL_POINTER);
    CHECK(quorate_node_kill(NULL) == QUORATE_NULL_POINTER);
    CHECK(read == NULL && node == NULL && item == NULL && string == NULL);
    CHECK(ticket == 7 && is_ready && fd == -7);
    PASSED("NULL is an error that names the argument, and no output is written");

    quorate_config_free(NULL);
    quorate_key_free(NULL);
    quorate_node_free(NULL);
    quorate_item_free(NULL);
    quorate_string_free(NULL);
    CHECK(quorate_config_name(NULL).data == NULL && quorate_config_id(NULL) == 0);
    CHECK(quorate_config_node_name(NULL, 0).data == NULL && quorate_node_name(NULL).data == NULL);
    CHECK(quorate_item_request(NULL) == NULL && quorate_item_lun(NULL, 0) == NULL);
    CHECK(quorate_item_notice(NULL) == NULL && quorate_item_answer(NULL) == NULL);
    CHECK(quorate_item_field(NULL, some).data == NULL && quorate_string_text(NULL).data == NULL);
    PASSED("NULL may be freed, and has no parts");
}

static void bad_configurations(void) {
    quorate_config *config = NULL;
    quorate_text file = text_of("c.toml"), text = text_of("[cluster]\nname = 'x\xff'");
    CHECK(quorate_config_from_toml(text, file, &config) == QUORATE_NOT_UTF8 && error_has("toml"));
    CHECK(quorate_config_from_file(place("none.toml"), &config) == QUORATE_CONFIG);
    CHECK(error_has("none.toml"));
    text = text_of("[cluster]\nname = \"x\"\nnaem = 1\n");
    CHECK(quorate_config_from_toml(text, file, &config) == QUORATE_CONFIG);
    CHECK(error_has("c.toml:3:1") && error_has("naem"));
    write_file("bad.toml", "[cluster\n");
    CHECK(quorate_config_from_file(place("bad.toml"), &config) == QUORATE_CONFIG);
    CHECK(error_has("bad.toml:1"));
    CHECK(config == NULL);
    PASSED("a bad configuration is refused with file, line and place");

    char small[8];
    memset(small, 'x', sizeof small);
    size_t whole = quorate_error_copy(small, sizeof small);
    CHECK(whole > sizeof small && small[7] == '\0' && strlen(small) == 7);
    CHECK(quorate_error_copy(NULL, 0) == whole);
    PASSED("an error text is cut to the caller's buffer, and its length is known");
}

static quorate_status read_again(const quorate_string *toml, quorate_config **config) {
    return quorate_config_from_toml(quorate_string_text(toml), text_of("again.toml"), config);
}

static void configurations_are_data(quorate_config *config) {
    quorate_config *again = NULL;
    quorate_string *string = NULL;
    quorate_node_address nodes[2];
    uint64_t id = 0;
    CHECK(is_text(quorate_config_name(config), "test") && quorate_config_id(config) == 0xc1);
    CHECK(is_text(quorate_config_node_name(config, 2), "n3"));
    CHECK(quorate_config_node_name(config, 3).data == NULL);
    CHECK(is_text(quorate_config_group_name(config, 0), "own"));
    CHECK(quorate_config_group_name(config, 1).data == NULL);
    CHECK(quorate_config_warnings(config, &string) == QUORATE_OK);
    CHECK(quorate_string_text(string).len == 0);
    quorate_string_free(string);
    CHECK(quorate_config_timing_derivation(config, &string) == QUORATE_OK);
    CHECK(strstr(quorate_string_text(string).data, "detect") != NULL);
    quorate_string_free(string);

    CHECK(quorate_config_to_toml(config, &string) == QUORATE_OK);
    CHECK(read_again(string, &again) == QUORATE_OK);
    CHECK(quorate_config_id(again) == 0xc1);
    quorate_config_free(again);
    quorate_string_free(string);

    CHECK(quorate_config_random_id(&id) == QUORATE_OK && id != 0);
    nodes[0].name = text_of("a");
    nodes[0].address = text_of("127.0.0.1:7401");
    nodes[1].name = text_of("b");
    nodes[1].address = text_of("127.0.0.1:7402");
    CHECK(quorate_config_template(text_of("t"), id, nodes, 2, text_of("/shared"), &string) ==
          QUORATE_OK);
    CHECK(read_again(string, &again) == QUORATE_OK);
    CHECK(quorate_config_id(again) == id && is_text(quorate_config_node_name(again, 1), "b"));
    quorate_config_free(again);
    quorate_string_free(string);
    PASSED("a configuration can be read, written, explained and made from the template");
}

static void bad_keys(const quorate_key *key) {
    quorate_key *other = NULL;
    CHECK(quorate_key_from_file(place("none.key"), &other) == QUORATE_KEY && error_has("none.key"));
    CHECK(quorate_key_write_new_file(key, place("good.key")) == QUORATE_OK);
    CHECK(quorate_key_write_new_file(key, place("good.key")) == QUORATE_KEY);
    CHECK(error_has("exists already"));
    CHECK(chmod(place("good.key").data, 0644) == 0);
    CHECK(quorate_key_from_file(place("good.key"), &other) == QUORATE_KEY);
    CHECK(error_has("mode 0644") && error_has("chmod 600"));
    write_file("short.key", "abc\n");
    CHECK(chmod(place("short.key").data, 0600) == 0);
    CHECK(quorate_key_from_file(place("short.key"), &other) == QUORATE_KEY);
    CHECK(quorate_key_from_environment(&other) == QUORATE_KEY && error_has("QUORATE_KEY"));
    CHECK(other == NULL);
    CHECK(setenv("QUORATE_KEY", "00112233445566778899aabbccddeeff"
                                "00112233445566778899aabbccddeeff", 1) == 0);
    CHECK(quorate_key_from_environment(&other) == QUORATE_OK);
    quorate_key_free(other);
    CHECK(chmod(place("good.key").data, 0600) == 0);
    CHECK(quorate_key_from_file(place("good.key"), &other) == QUORATE_OK);
    quorate_key_free(other);
    PASSED("a key file that is missing, open to others or no key is refused with the remedy");
}

static void bad_starts(const quorate_config *config, const quorate_key *key, int port) {
    quorate_node *node = NULL, *second = NULL;
    quorate_text none = text_of(NULL), n1 = text_of("n1");
    int bound;
    CHECK(quorate_node_start(config, text_of("n9"), place("n9"), key, none, &node) ==
          QUORATE_UNKNOWN);
    CHECK(error_has("n9") && error_has("n1, n2, n3"));
    PASSED("an unknown node is refused with the known ones");

    int fd = bind_port(SOCK_DGRAM, port, &bound);
    CHECK(fd >= 0);
    CHECK(quorate_node_start(config, n1, place("n1"), key, none, &node) == QUORATE_NET);
    CHECK(error_has("in use"));
    close(fd);
    CHECK(node == NULL);
    PASSED("a port in use is refused");

    CHECK(quorate_node_start(config, n1, place("good.key/below"), key, none, &node) ==
          QUORATE_SYSTEM);
    CHECK(error_has("good.key/below"));
    CHECK(quorate_node_start(config, n1, place("n1"), key, none, &node) == QUORATE_OK);
    CHECK(is_text(quorate_node_name(node), "n1"));
    CHECK(quorate_node_start(config, n1, place("n1"), key, none, &second) == QUORATE_LOG);
    CHECK(error_has("already running") && second == NULL);
    quorate_node_free(node);
    CHECK(quorate_node_start(config, n1, place("n1"), key, none, &second) == QUORATE_OK);
    quorate_node_free(second);
    PASSED("a second node under the same name is refused while the first one runs");
}

/* What the nodes above have recorded is lived again. */
static void replays(void) {
    quorate_text none = text_of(NULL);
    quorate_string *json = NULL;
    glob_t found;
    CHECK(quorate_replay(none, 0, none, &json) == QUORATE_NULL_POINTER);
    CHECK(quorate_replay(place("n1"), 0, none, NULL) == QUORATE_NULL_POINTER);
    CHECK(quorate_replay(place("n1"), 0, text_of("sneeze"), &json) == QUORATE_UNKNOWN);
    CHECK(error_has("sneeze") && error_has("lease_lost"));
    CHECK(quorate_replay(place("nothing.qrec"), 0, none, &json) == QUORATE_RECORDING);
    CHECK(error_has("nothing.qrec"));
    CHECK(quorate_replay(place("n1/quorate.log"), 0, none, &json) == QUORATE_RECORDING);
    CHECK(error_has("byte 0: this is not the beginning of a recording") && json == NULL);
    CHECK(glob(place("n1/recordings/*.qrec").data, 0, NULL, &found) == 0 && found.gl_pathc == 2);
    CHECK(quorate_replay(text_of(found.gl_pathv[1]), 0, none, &json) == QUORATE_OK);
    const char *told = quorate_string_text(json).data;
    CHECK(strstr(told, "\"reproduced\":true") != NULL && strstr(told, "\"steps\":") != NULL);
    CHECK(strstr(told, "\"node\":\"n1\"") != NULL);
    quorate_string_free(json);
    globfree(&found);
    PASSED("a recording is replayed, and what is none is refused with the place");
}

int main(int argc, char **argv) {
    int ports[NODES];
    quorate_key *key = NULL;
    CHECK(argc == 2 || argc == 3);
    dir = argv[1];
    free_ports(ports);
    quorate_config *config = cluster_config(dir, ports);
    CHECK(quorate_key_generate(&key) == QUORATE_OK);
    null_is_refused(config, key);
    bad_configurations();
    configurations_are_data(config);
    bad_keys(key);
    if (argc == 2) {
        bad_starts(config, key, ports[0]);
        replays();
    }
    quorate_key_free(key);
    quorate_config_free(config);
    return 0;
}
