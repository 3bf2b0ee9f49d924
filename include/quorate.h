/* The C interface of quorate: high availability as a library. Made by cbindgen; do not edit.
 *
 * A node is polled: the host waits on its descriptor or in quorate_node_next, takes items one by
 * one (requests to carry out, notices, answers) and gives completions and commands. No thread of
 * quorate calls the host.
 *
 * What holds for every function:
 *
 * Parameters: a pointer is NULL or valid for the call; where NULL has no meaning of its own it is
 * refused as QUORATE_NULL_POINTER. Text is a pointer and a length; quorate_text_borrow makes one
 * of a C string. Outputs come last and are written on success only.
 *
 * Returns: QUORATE_OK, or a status whose number is never used for anything else;
 * quorate_error_copy gives the text of the error. Every call on a node can answer QUORATE_ENDED
 * and QUORATE_POISONED. A fault inside a call on a node fences that node: it is killed as in a
 * crash, and every later call on it answers QUORATE_POISONED.
 *
 * Memory and lifetimes: a handle that is given out is freed by the function of its name, and only
 * once. What is borrowed from a handle ends with it. quorate keeps no pointer of the caller.
 *
 * Threads: every function may be called from any thread, also at the same time on one handle, but
 * nothing may use a handle that is being freed. Do not use a node in a child after fork.
 */

#ifndef QUORATE_H
#define QUORATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUORATE_VERSION "0.1.0"
#define QUORATE_VERSION_MAJOR 0
#define QUORATE_VERSION_MINOR 1
#define QUORATE_VERSION_PATCH 0

/**
 * What a call answers. The text of the last error says more: see `quorate_error_copy`.
 */
enum quorate_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Done.
   */
  QUORATE_OK = 0,
  /**
   * A pointer is NULL that may not be. Nothing was done.
   */
  QUORATE_NULL_POINTER = 1,
  /**
   * A text is not UTF-8. Nothing was done.
   */
  QUORATE_NOT_UTF8 = 2,
  /**
   * A fault of quorate itself in a call that has no node. Please report it.
   */
  QUORATE_BUG = 3,
  /**
   * The configuration is wrong; the text says where, and the remedy. Nothing was started.
   */
  QUORATE_CONFIG = 4,
  /**
   * There is no usable cluster key. Nothing was started.
   */
  QUORATE_KEY = 5,
  /**
   * The node's log cannot be opened or written: damaged, foreign, in use, or the disk is full.
   */
  QUORATE_LOG = 6,
  /**
   * The network did not start: a port in use, an address that is not ours. Nothing was started.
   */
  QUORATE_NET = 7,
  /**
   * An address of the configuration cannot be resolved. Nothing was started.
   */
  QUORATE_ADDRESS = 8,
  /**
   * The directory for sockets and logs cannot be used. Nothing was started.
   */
  QUORATE_WORK_DIRECTORY = 9,
  /**
   * A name that the configuration does not hold.
   */
  QUORATE_UNKNOWN = 10,
  /**
   * The call does not suit what it names, as a completion of a request that was never made.
   */
  QUORATE_MISUSE = 11,
  /**
   * The coordinator refused the command; the cluster is as it was.
   */
  QUORATE_REFUSED = 12,
  /**
   * What was waited for has not come yet. It may still come.
   */
  QUORATE_TIMED_OUT = 13,
  /**
   * The engine's queue is full. Nothing was queued: take what waits, then try again.
   */
  QUORATE_BUSY = 14,
  /**
   * The node has left or was killed: its guests are stopped, and it answers no more.
   */
  QUORATE_ENDED = 15,
  /**
   * The node failed by a fault of its own or of its disk, and has fenced itself: its guests are
   * killed. Free it, and start it again.
   */
  QUORATE_POISONED = 16,
  /**
   * The operating system refused.
   */
  QUORATE_SYSTEM = 17,
  /**
   * In a test cluster a promise of quorate was broken: by a fault of quorate, or by a resource
   * that did not do what it said.
   */
  QUORATE_VIOLATION = 18,
  /**
   * A recording cannot be read, is none, or is damaged; the text names the byte.
   */
  QUORATE_RECORDING = 19,
  /**
   * A LUN cannot be reached, cannot do what was asked, or refuses it.
   */
  QUORATE_LUN = 20,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_status quorate_status;
#else
typedef uint32_t quorate_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a host is asked to do with a resource.
 */
enum quorate_verb
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Start it afresh.
   */
  QUORATE_VERB_START = 0,
  /**
   * Load what was saved from `state`, but let it not run yet.
   */
  QUORATE_VERB_LOAD = 1,
  /**
   * Let what was loaded run.
   */
  QUORATE_VERB_RUN = 2,
  /**
   * Halt it, write its state to `state`, and end it here.
   */
  QUORATE_VERB_SAVE = 3,
  /**
   * Stop it in order.
   */
  QUORATE_VERB_STOP = 4,
  /**
   * End it now, whatever else is under way. Complete only when nothing of it runs.
   */
  QUORATE_VERB_KILL = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_verb quorate_verb;
#else
typedef uint32_t quorate_verb;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What the host of a node does.
 */
enum quorate_host_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Its process runs.
   */
  QUORATE_HOST_RUNS = 0,
  /**
   * Its process stands still.
   */
  QUORATE_HOST_PAUSED = 1,
  /**
   * It has power, and its process does not run.
   */
  QUORATE_HOST_ENDED = 2,
  /**
   * It has no power.
   */
  QUORATE_HOST_OFF = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum quorate_host_state quorate_host_state;
#else
typedef uint32_t quorate_host_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A configuration that holds together: what is wrong is refused when it is read. Free it with
 * `quorate_config_free`.
 */
typedef struct quorate_config quorate_config;

/**
 * One thing taken from a node: a request, a notice or an answer. Free it with `quorate_item_free`.
 */
typedef struct quorate_item quorate_item;

/**
 * The secret that every node of a cluster shares. Free it with `quorate_key_free`.
 */
typedef struct quorate_key quorate_key;

/**
 * A node of a cluster, in this process. All calls may be made from any thread. End it with
 * `quorate_node_free`.
 */
typedef struct quorate_node quorate_node;

/**
 * A text that belongs to the caller. Free it with `quorate_string_free`.
 */
typedef struct quorate_string quorate_string;

/**
 * A whole cluster in virtual time: nothing happens in it but while it is run. Free it with
 * `quorate_test_cluster_free`.
 */
typedef struct quorate_test_cluster quorate_test_cluster;

/**
 * A text that belongs to somebody else: a pointer and a length in bytes, in UTF-8 (paths may hold
 * any bytes).
 *
 * To quorate it needs no NUL at its end. From quorate it always has one, which `len` does not
 * count, so that `data` can be printed as it is. `data` is NULL where there is no text.
 */
typedef struct {
  /**
   * The first byte; NULL: no text.
   */
  const char *data;
  /**
   * How many bytes.
   */
  size_t len;
} quorate_text;

/**
 * A node for a new configuration.
 */
typedef struct {
  /**
   * The node's name.
   */
  quorate_text name;
  /**
   * Its `host:port`.
   */
  quorate_text address;
} quorate_node_address;

/**
 * Something to do for a resource with `driver = "host"`; answer with `quorate_node_complete`.
 * Later versions may add members at the end.
 */
typedef struct {
  /**
   * The completion names it.
   */
  uint64_t op;
  /**
   * The epoch of the group's ownership; `quorate_node_report` names it.
   */
  uint64_t epoch;
  /**
   * How long it may take before the resource is killed and counts as failed.
   */
  uint64_t timeout_ms;
  /**
   * What to do.
   */
  quorate_verb verb;
  /**
   * The same as a word, as `start`.
   */
  quorate_text verb_name;
  /**
   * The resource.
   */
  quorate_text resource;
  /**
   * Its group.
   */
  quorate_text group;
  /**
   * The file to write the state to or to read it from; no text unless the verb is save or load.
   */
  quorate_text state;
  /**
   * The resource's own settings, a JSON object.
   */
  quorate_text settings;
  /**
   * Which node of a test cluster is asked; no text from a node, which asks for its own.
   */
  quorate_text node;
} quorate_request;

/**
 * How a LUN of a request is reached on this node. Later versions may add members at the end.
 */
typedef struct {
  /**
   * The LUN's name.
   */
  quorate_text name;
  /**
   * A path, or the Unix socket of an NBD server with one unnamed export, by `is_nbd`.
   */
  quorate_text path;
  /**
   * Whether `path` is such a socket: the only way to a LUN that quorate itself is registered at.
   */
  bool is_nbd;
  /**
   * How many bytes from the start of `path` are the resource's; 0: all of it. Behind them stand saved guests and
   * heartbeats.
   */
  uint64_t size_bytes;
} quorate_lun;

/**
 * Something worth knowing; nothing depends on its being read. Later versions may add members at
 * the end.
 */
typedef struct {
  /**
   * When this node learned or did it, on `CLOCK_BOOTTIME`: for lengths, on one host.
   */
  uint64_t boottime_ns;
  /**
   * The same since 1970: for people, and to compare hosts as well as their clocks agree.
   */
  uint64_t unix_us;
  /**
   * What kind of thing it is, one word: `down`, `assigned`, `online` and so on.
   */
  quorate_text kind;
  /**
   * For people: one sentence with names.
   */
  quorate_text text;
  /**
   * The same with the time of day before it.
   */
  quorate_text line;
  /**
   * For programs: a JSON object, by kind. See also `quorate_item_field`.
   */
  quorate_text fields;
  /**
   * Whether it was committed while this node did not take part, and is learned of only now.
   */
  bool is_past;
  /**
   * If so: when that was, in the cluster's time in milliseconds.
   */
  uint64_t past_ms;
} quorate_notice;

/**
 * The answer to a command. Later versions may add members at the end.
 */
typedef struct {
  /**
   * The command.
   */
  uint64_t ticket;
  /**
   * `QUORATE_OK`: accepted and committed, though not carried out yet; or `QUORATE_REFUSED`.
   */
  quorate_status status;
  /**
   * Why it was refused; no text otherwise.
   */
  quorate_text reason;
} quorate_answer;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The word of a status, the same in all languages: `ok`, `config`, `timed_out` and so on.
 *
 * Parameters: `status`: any number.
 *
 * Returns: the word; `unlisted` for a number that this version does not know.
 *
 * Memory and lifetimes: the text lives for ever.
 *
 * Threads: any.
 */
quorate_text quorate_status_name(uint32_t status);

/**
 * Makes a text of a C string, which stays the caller's. NULL gives no text.
 *
 * Parameters: `c_string`: bytes with a NUL at the end, or NULL.
 *
 * Returns: the text.
 *
 * Memory and lifetimes: it points to `c_string`, and is valid as long as that.
 *
 * Threads: any.
 */
quorate_text quorate_text_borrow(const char *c_string);

/**
 * What a string holds.
 *
 * Parameters: `string`: a string, or NULL.
 *
 * Returns: its text, with a NUL behind it; no text for NULL.
 *
 * Memory and lifetimes: valid until the string is freed.
 *
 * Threads: any.
 */
quorate_text quorate_string_text(const quorate_string *string);

/**
 * Frees a string. NULL is fine.
 *
 * Parameters: `string`: a string, or NULL.
 *
 * Memory and lifetimes: the string and its text end here.
 *
 * Threads: any, while no other uses the string.
 */
void quorate_string_free(quorate_string *string);

/**
 * The version of the library that runs, as in `QUORATE_VERSION` of the header that was compiled.
 *
 * Returns: three numbers, as in `0.1.0`.
 *
 * Memory and lifetimes: the text lives for ever.
 *
 * Threads: any.
 */
quorate_text quorate_version(void);

/**
 * Copies the text of this thread's last error: one line that names what, where and the remedy.
 *
 * The text stays until the next call of this thread that fails, so a call that succeeds in between
 * does no harm; before the first error it is empty.
 *
 * Parameters: `buf`, `buf_len`: where it goes and how many bytes fit, the NUL at its end included;
 * a longer text is cut between two characters. `buf` may be NULL: then nothing is copied.
 *
 * Returns: the length of the whole text in bytes, without the NUL.
 *
 * Memory and lifetimes: `buf` is the caller's; nothing of it is kept.
 *
 * Threads: any; each sees its own errors only.
 */
size_t quorate_error_copy(char *buf, size_t buf_len);

/**
 * Reads and checks a cluster.toml.
 *
 * Parameters: `path`: the file. `config`: the configuration, on success.
 *
 * Returns: `QUORATE_CONFIG` when it is wrong; the error text names the file, the line, the place
 * and the remedy.
 *
 * Memory and lifetimes: free the configuration with `quorate_config_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_from_file(quorate_text path, quorate_config **config);

/**
 * Reads and checks the text of a cluster.toml.
 *
 * Parameters: `toml`: the text. `file`: what errors call it, as `cluster.toml`. `config`: the
 * configuration, on success.
 *
 * Returns: `QUORATE_CONFIG` when it is wrong, as for `quorate_config_from_file`.
 *
 * Memory and lifetimes: free the configuration with `quorate_config_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_from_toml(quorate_text toml,
                                        quorate_text file,
                                        quorate_config **config);

/**
 * Reads and checks a configuration as JSON, with the words of a cluster.toml.
 *
 * Parameters: `json`: the text. `file`: what errors call it. `config`: the configuration, on
 * success.
 *
 * Returns: `QUORATE_CONFIG` when it is wrong, as for `quorate_config_from_file`.
 *
 * Memory and lifetimes: free the configuration with `quorate_config_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_from_json(quorate_text json,
                                        quorate_text file,
                                        quorate_config **config);

/**
 * Frees a configuration. NULL is fine.
 *
 * Parameters: `config`: a configuration, or NULL.
 *
 * Memory and lifetimes: the configuration and the names taken from it end here; nodes that were
 * started with it keep their own copy.
 *
 * Threads: any, while no other uses the configuration.
 */
void quorate_config_free(quorate_config *config);

/**
 * The cluster's name.
 *
 * Parameters: `config`: the configuration.
 *
 * Returns: the name; no text for NULL.
 *
 * Memory and lifetimes: valid until the configuration is freed.
 *
 * Threads: any.
 */
quorate_text quorate_config_name(const quorate_config *config);

/**
 * The cluster's identity.
 *
 * Parameters: `config`: the configuration.
 *
 * Returns: the identity, never 0; 0 for NULL.
 *
 * Threads: any.
 */
uint64_t quorate_config_id(const quorate_config *config);

/**
 * The name of a node, by its place.
 *
 * Parameters: `config`: the configuration. `index`: from 0.
 *
 * Returns: the name; no text behind the last node and for NULL.
 *
 * Memory and lifetimes: valid until the configuration is freed.
 *
 * Threads: any.
 */
quorate_text quorate_config_node_name(const quorate_config *config, size_t index);

/**
 * The name of a group, by its place.
 *
 * Parameters: `config`: the configuration. `index`: from 0.
 *
 * Returns: the name; no text behind the last group and for NULL.
 *
 * Memory and lifetimes: valid until the configuration is freed.
 *
 * Threads: any.
 */
quorate_text quorate_config_group_name(const quorate_config *config, size_t index);

/**
 * What is allowed, but hardly meant, one line each.
 *
 * Parameters: `config`: the configuration. `warnings`: the lines, on success; empty when there are none.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_warnings(const quorate_config *config,
                                       quorate_string **warnings);

/**
 * How every timeout follows from the inputs, one line a value.
 *
 * Parameters: `config`: the configuration. `derivation`: the lines, on success.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_timing_derivation(const quorate_config *config,
                                                quorate_string **derivation);

/**
 * The configuration as a cluster.toml, without comments.
 *
 * Parameters: `config`: the configuration. `toml`: the text, on success.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_to_toml(const quorate_config *config, quorate_string **toml);

/**
 * The configuration as JSON, with the words of a cluster.toml.
 *
 * Parameters: `config`: the configuration. `json`: the text, on success.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_to_json(const quorate_config *config, quorate_string **json);

/**
 * A commented cluster.toml to begin with: one `process` guest on a `file` LUN, and an example of
 * everything else in comments.
 *
 * Parameters: `name`: the cluster's name. `id`: its identity, from `quorate_config_random_id`.
 * `nodes`, `nodes_len`: its nodes. `shared_dir`: a directory on storage that all nodes share.
 * `toml`: the text, on success.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_template(quorate_text name,
                                       uint64_t id,
                                       const quorate_node_address *nodes,
                                       size_t nodes_len,
                                       quorate_text shared_dir,
                                       quorate_string **toml);

/**
 * Draws an identity for a new cluster.
 *
 * Parameters: `id`: the identity, never 0, on success.
 *
 * Returns: `QUORATE_SYSTEM` when the system has no random numbers.
 *
 * Threads: any.
 */
quorate_status quorate_config_random_id(uint64_t *id);

/**
 * Draws a fresh key.
 *
 * Parameters: `key`: the key, on success.
 *
 * Returns: `QUORATE_KEY` when the system has no random numbers.
 *
 * Memory and lifetimes: free the key with `quorate_key_free`.
 *
 * Threads: any.
 */
quorate_status quorate_key_generate(quorate_key **key);

/**
 * Reads a key from a file: one line of 64 hex digits, closed to group and others.
 *
 * Parameters: `path`: the file. `key`: the key, on success.
 *
 * Returns: `QUORATE_KEY` when the file is missing, open to others, another user's, or not a key;
 * the error text says what to do.
 *
 * Memory and lifetimes: free the key with `quorate_key_free`.
 *
 * Threads: any.
 */
quorate_status quorate_key_from_file(quorate_text path, quorate_key **key);

/**
 * Reads a key from the environment variable `QUORATE_KEY`: 64 hex digits.
 *
 * Parameters: `key`: the key, on success.
 *
 * Returns: `QUORATE_KEY` when it is not set, or set to anything else.
 *
 * Memory and lifetimes: free the key with `quorate_key_free`.
 *
 * Threads: any, while no other changes the environment.
 */
quorate_status quorate_key_from_environment(quorate_key **key);

/**
 * Writes a key to a new file that only its owner can read. An existing file is left alone.
 *
 * Parameters: `key`: the key. `path`: the new file.
 *
 * Returns: `QUORATE_KEY` when there is a file already, or it cannot be written.
 *
 * Threads: any.
 */
quorate_status quorate_key_write_new_file(const quorate_key *key, quorate_text path);

/**
 * Frees a key, and overwrites it. NULL is fine.
 *
 * Parameters: `key`: a key, or NULL.
 *
 * Memory and lifetimes: the key ends here; nodes that were started with it keep their own copy.
 *
 * Threads: any, while no other uses the key.
 */
void quorate_key_free(quorate_key *key);

/**
 * Starts a node: reads its log, opens its network, and looks for its cluster.
 *
 * Parameters: `config`: the configuration. `name`: which of its nodes this is. `state_dir`: where
 * this node, and no other, keeps its log; made if its parent is there. `key`: the secret of the
 * cluster. `work_dir`: where sockets and logs of guests go, an absolute and short path; no text:
 * `run` in `state_dir`. `node`: the node, on success.
 *
 * Returns: `QUORATE_CONFIG`, `QUORATE_LOG`, `QUORATE_NET`, `QUORATE_ADDRESS`,
 * `QUORATE_WORK_DIRECTORY`, `QUORATE_UNKNOWN` or `QUORATE_SYSTEM`, with nothing left running.
 *
 * Memory and lifetimes: the configuration and the key stay the caller's and may be freed at once.
 * Free the node with `quorate_node_free`.
 *
 * Threads: any. The node has threads of its own; none of them calls the host, and a signal that is
 * blocked here is blocked in them.
 */
quorate_status quorate_node_start(const quorate_config *config,
                                  quorate_text name,
                                  quorate_text state_dir,
                                  const quorate_key *key,
                                  quorate_text work_dir,
                                  quorate_node **node);

/**
 * Ends a node as `quorate_node_kill` does, and frees it. NULL is fine.
 *
 * Parameters: `node`: a node, or NULL.
 *
 * Memory and lifetimes: the node, its name and its descriptor end here. Items that were taken from
 * it stay valid until they are freed.
 *
 * Threads: any, while no other thread is in a call on the node.
 */
void quorate_node_free(quorate_node *node);

/**
 * The node's name.
 *
 * Parameters: `node`: the node.
 *
 * Returns: the name; no text for NULL.
 *
 * Memory and lifetimes: valid until the node is freed.
 *
 * Threads: any.
 */
quorate_text quorate_node_name(const quorate_node *node);

/**
 * A descriptor for `poll` and `epoll`: readable while an item waits, and for ever once the node
 * has ended. Read nothing from it.
 *
 * Parameters: `node`: the node. `fd`: the descriptor, on success.
 *
 * Memory and lifetimes: the descriptor belongs to the node; do not close it.
 *
 * Threads: any.
 */
quorate_status quorate_node_fd(const quorate_node *node, int *fd);

/**
 * Takes the oldest item.
 *
 * Parameters: `node`: the node. `item`: the item, or NULL when nothing waits, on success.
 *
 * Returns: `QUORATE_ENDED` or `QUORATE_POISONED` once the node has ended and its last item was
 * taken.
 *
 * Memory and lifetimes: free the item with `quorate_item_free`.
 *
 * Threads: any; each item goes to one of them.
 */
quorate_status quorate_node_take(quorate_node *node, quorate_item **item);

/**
 * Waits until an item can be taken.
 *
 * Parameters: `node`: the node. `timeout_ms`: how long at most. `is_ready`: whether an item waits,
 * on success.
 *
 * Returns: `QUORATE_ENDED` or `QUORATE_POISONED` once the node has ended and its last item was
 * taken.
 *
 * Threads: any; this one waits.
 */
quorate_status quorate_node_wait(const quorate_node *node, uint32_t timeout_ms, bool *is_ready);

/**
 * Waits for an item and takes it: the head of a host's loop.
 *
 * Parameters: `node`: the node. `timeout_ms`: how long at most. `item`: the item, or NULL when
 * none came in time, on success.
 *
 * Returns: `QUORATE_ENDED` or `QUORATE_POISONED` once the node has ended and its last item was
 * taken.
 *
 * Memory and lifetimes: free the item with `quorate_item_free`.
 *
 * Threads: any; this one waits. Each item goes to one of them.
 */
quorate_status quorate_node_next(quorate_node *node, uint32_t timeout_ms, quorate_item **item);

/**
 * Completes a request: done, or why not.
 *
 * A request that a kill has cut short may be completed or not.
 *
 * Parameters: `node`: the node. `op`: the request's. `error`: why it was not carried out; no text:
 * it was.
 *
 * Returns: `QUORATE_MISUSE` for a request that was never made.
 *
 * Threads: any.
 */
quorate_status quorate_node_complete(quorate_node *node, uint64_t op, quorate_text error);

/**
 * Says that a resource with `driver = "host"` has failed by itself.
 *
 * Parameters: `node`: the node. `resource`: the resource. `epoch`: that of the request which
 * started it. `detail`: what happened, for people.
 *
 * Returns: `QUORATE_UNKNOWN`, `QUORATE_MISUSE` for another driver's resource, or `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_report(quorate_node *node,
                                   quorate_text resource,
                                   uint64_t epoch,
                                   quorate_text detail);

/**
 * What this node knows of its cluster, at most 0.1 s old: its coordinator and quorum, the nodes,
 * the groups with their owners.
 *
 * Parameters: `node`: the node. `json`: a JSON object, on success.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_node_status_json(const quorate_node *node, quorate_string **json);

/**
 * Why a group is where it is, and why it is not elsewhere: one sentence a line.
 *
 * Parameters: `node`: the node. `group`: the group. `explanation`: the lines, on success.
 *
 * Returns: `QUORATE_UNKNOWN`, `QUORATE_BUSY` or `QUORATE_TIMED_OUT`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_explain(const quorate_node *node,
                                    quorate_text group,
                                    quorate_string **explanation);

/**
 * Leaves in good order: the groups here move away, then the node ends.
 *
 * Requests for the host's own resources come meanwhile, so that another thread must serve them.
 *
 * Parameters: `node`: the node. `timeout_ms`: how long to wait at most.
 *
 * Returns: `QUORATE_TIMED_OUT`: it is still leaving; `quorate_node_kill` ends it at once.
 *
 * Threads: any; this one waits.
 */
quorate_status quorate_node_leave(quorate_node *node, uint32_t timeout_ms);

/**
 * Leaves in good order for a short while: the groups here are stopped and kept for its return, given
 * to nobody else.
 *
 * Parameters: `node`: the node. `timeout_ms`: how long to wait at most.
 *
 * Returns: as for `quorate_node_leave`.
 *
 * Threads: any; this one waits.
 */
quorate_status quorate_node_leave_and_keep(quorate_node *node,
                                           uint32_t timeout_ms);

/**
 * Whether what a node runs is kept for its return when its host shuts down, as `policy.on_shutdown` says
 * in the configuration in force: then `quorate_node_leave_and_keep`, else `quorate_node_leave`.
 *
 * Parameters: `node`: the node. `reboots`: whether the host boots again by itself. `keeps`: the answer,
 * on success.
 *
 * Threads: any.
 */
quorate_status quorate_node_keeps_on_shutdown(const quorate_node *node,
                                              bool reboots,
                                              bool *keeps);

/**
 * Ends the node at once: its guests are killed, and its peers see it die as in a crash. Calling it
 * again does nothing.
 *
 * Parameters: `node`: the node.
 *
 * Threads: any; this one waits until nothing of the node runs, 10 s at most when storage does not
 * answer.
 */
quorate_status quorate_node_kill(quorate_node *node);

/**
 * Moves a group: saved, handed over and resumed where it can be, else stopped and started.
 *
 * Parameters: `node`: the node. `group`: the group. `to`: the node to move it to; no text:
 * placement chooses. `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_move_group(quorate_node *node,
                                       quorate_text group,
                                       quorate_text to,
                                       uint64_t *ticket);

/**
 * Brings a group online.
 *
 * Parameters: `node`: the node. `group`: the group. `ticket`: names the command in its answer, on
 * success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_online(quorate_node *node, quorate_text group, uint64_t *ticket);

/**
 * Takes a group offline, and keeps it there.
 *
 * Parameters: `node`: the node. `group`: the group. `ticket`: names the command in its answer, on
 * success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_offline(quorate_node *node, quorate_text group, uint64_t *ticket);

/**
 * Moves everything off a node, and lets nothing start there.
 *
 * Parameters: `node`: the node that is asked. `target`: the node to drain. `ticket`: names the
 * command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_drain(quorate_node *node, quorate_text target, uint64_t *ticket);

/**
 * Lets nothing new start on a node; what runs there stays.
 *
 * Parameters: `node`: the node that is asked. `target`: the node to pause. `ticket`: names the
 * command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_pause(quorate_node *node, quorate_text target, uint64_t *ticket);

/**
 * Ends a pause or a drain.
 *
 * Parameters: `node`: the node that is asked. `target`: the node that is paused. `ticket`: names
 * the command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_resume(quorate_node *node, quorate_text target, uint64_t *ticket);

/**
 * A human's word, with a reason, that a node which is down runs nothing and writes nothing.
 *
 * Parameters: `node`: the node that is asked. `target`: the node that is down. `reason`: how it is
 * known. `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_confirm_fenced(quorate_node *node,
                                           quorate_text target,
                                           quorate_text reason,
                                           uint64_t *ticket);

/**
 * Waits for the answer to a command; it is then no longer among the items.
 *
 * Parameters: `node`: the node. `ticket`: the command's. `timeout_ms`: how long at most.
 *
 * Returns: `QUORATE_OK`: it was accepted and committed, not that it is carried out.
 * `QUORATE_REFUSED`: the error text says why. `QUORATE_TIMED_OUT`: its answer may still come as an
 * item.
 *
 * Threads: any; this one waits.
 */
quorate_status quorate_node_command_wait(quorate_node *node, uint64_t ticket, uint32_t timeout_ms);

/**
 * Makes a cluster.toml of a Pacemaker cluster's configuration.
 *
 * Parameters: `cib`: the CIB, as `cibadmin --query` writes it. `file`: what errors and the report call it, as
 * `cib.xml`. `toml`: the configuration, on success. `report_json`: what it does not say as the CIB did, on success: a
 * JSON object with `findings`, each with its `kind` (`needed`, `no-counterpart`, `approximated`, `not-needed`),
 * `file`, `line`, `item`, `settings`, `text` and `remedy`.
 *
 * Returns: `QUORATE_CONFIG` when it is no CIB or a value in it cannot be; the error text names the file and the line.
 *
 * Memory and lifetimes: free the strings with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_import_pacemaker(quorate_text cib,
                                        quorate_text file,
                                        quorate_string **toml,
                                        quorate_string **report_json);

/**
 * Makes a cluster.toml of a Proxmox VE cluster's HA files.
 *
 * Parameters: `dir`: a directory like `/etc/pve/ha`, with `resources.cfg`, `groups.cfg`, `rules.cfg` and
 * `manager_status`; `datacenter.cfg` and `corosync.conf` in it or above it. `toml`, `report_json`: as for
 * `quorate_import_pacemaker`.
 *
 * Returns: `QUORATE_CONFIG` when there is no `resources.cfg` or a file is malformed; the error text names the file and
 * the line.
 *
 * Memory and lifetimes: free the strings with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_import_proxmox(quorate_text dir,
                                      quorate_string **toml,
                                      quorate_string **report_json);

/**
 * Moves a group as `quorate_node_move_group` does, but stops it here and starts it afresh there,
 * though it could be handed over as it runs.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `to`: the node to move it to; no
 * text: placement chooses. `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_restart_group(quorate_node *node,
                                          quorate_text group,
                                          quorate_text to,
                                          uint64_t *ticket);

/**
 * Takes a group offline, and leaves it with its node whatever becomes of that.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `ticket`: names the command in its
 * answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_disable(quorate_node *node,
                                    quorate_text group,
                                    uint64_t *ticket);

/**
 * Leaves a group alone, running or not, until `quorate_node_manage`, or until it is commanded to be
 * online or offline.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `ticket`: names the command in its
 * answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_unmanage(quorate_node *node,
                                     quorate_text group,
                                     uint64_t *ticket);

/**
 * Looks after a group again, as it is found; it is to be online.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `ticket`: names the command in its
 * answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_manage(quorate_node *node,
                                   quorate_text group,
                                   uint64_t *ticket);

/**
 * Moves everything off a node, stops there what nowhere else can run, and lets nothing start there.
 *
 * Parameters: `node`: the node that is asked. `target`: the node to empty. `ticket`: names the command
 * in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_empty(quorate_node *node,
                                  quorate_text target,
                                  uint64_t *ticket);

/**
 * Ends a pause, a drain or a quarantine, and says what returns to the node.
 *
 * Parameters: `node`: the node that is asked. `target`: the node that is paused. `failback`: `now`:
 * what was drained from it; `policy`: what fails back by its own policy; `never`: nothing. `ticket`:
 * names the command in its answer, on success.
 *
 * Returns: `QUORATE_MISUSE` for another word, or `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_resume_with(quorate_node *node,
                                        quorate_text target,
                                        quorate_text failback,
                                        uint64_t *ticket);

/**
 * Ends a pause or a drain, and brings back what was drained; a quarantine goes on.
 *
 * Parameters: `node`: the node that is asked. `target`: the node that is drained. `ticket`: names the
 * command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_end_drain(quorate_node *node,
                                      quorate_text target,
                                      uint64_t *ticket);

/**
 * Starts, stops and moves nothing until `quorate_node_arm`. Nodes are still fenced.
 *
 * Parameters: `node`: the node that is asked. `mode`: what is said of the groups meanwhile: `freeze`
 * or `ignore`. `ttl_ms`: after how long the cluster arms itself; 0: not by itself. `ticket`: names the
 * command in its answer, on success.
 *
 * Returns: `QUORATE_MISUSE` for another word, or `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_disarm(quorate_node *node,
                                   quorate_text mode,
                                   uint64_t ttl_ms,
                                   uint64_t *ticket);

/**
 * Manages everything again, as it is found.
 *
 * Parameters: `node`: the node that is asked.  `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_arm(quorate_node *node,
                                uint64_t *ticket);

/**
 * Lets no group move by itself for the sake of a rule or a preference, or lets them again.
 *
 * Parameters: `node`: the node that is asked. `held`: whether they are held. `ticket`: names the
 * command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_hold_moves(quorate_node *node, bool held, uint64_t *ticket);

/**
 * Lets a node coordinate no more, until its next boot, or lets it again.
 *
 * Parameters: `node`: the node that is asked. `target`: the node. `may`: whether it may. `ticket`:
 * names the command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_let_coordinate(quorate_node *node,
                                           quorate_text target,
                                           bool may,
                                           uint64_t *ticket);

/**
 * Fences a node, though it is heard: it gets nothing more, and what it runs starts elsewhere once it
 * is proven harmless.
 *
 * Parameters: `node`: the node that is asked. `target`: the node to fence. `reason`: who wants it, and
 * why; the recording keeps it. `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_MISUSE` without a reason, or `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_fence(quorate_node *node,
                                  quorate_text target,
                                  quorate_text reason,
                                  uint64_t *ticket);

/**
 * Says how often a group has failed on a node, in place of what was counted.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `target`: the node. `count`: how
 * often. `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_count_failures(quorate_node *node,
                                           quorate_text group,
                                           quorate_text target,
                                           uint32_t count,
                                           uint64_t *ticket);

/**
 * Forgets that a group has failed on a node: it may run there again.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `target`: the node. `ticket`: names
 * the command in its answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_clean_up(quorate_node *node,
                                     quorate_text group,
                                     quorate_text target,
                                     uint64_t *ticket);

/**
 * Reports how much a group loads its node, as measured: placement uses it in place of what is
 * configured.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `load`: how much of each thing, a
 * JSON object of whole numbers. `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_MISUSE` for what is no such object, or `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_report_load(quorate_node *node,
                                        quorate_text group,
                                        quorate_text load,
                                        uint64_t *ticket);

/**
 * Takes a group into the configuration. It is offline, or on its way if it is to start by itself.
 *
 * Parameters: `node`: the node that is asked. `toml`: its `[[groups]]`, `[[luns]]` and `[[rules]]`, as
 * in a cluster.toml. `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_CONFIG` or `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_add_group(quorate_node *node,
                                      quorate_text toml,
                                      uint64_t *ticket);

/**
 * Takes a group out of the configuration. Refused while it runs: take it offline before, or unmanage it,
 * if it is to run on with nobody to look after it.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `ticket`: names the command in its
 * answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_remove_group(quorate_node *node,
                                         quorate_text group,
                                         uint64_t *ticket);

/**
 * Takes a node into the cluster. It joins when it is started with the key and a file that names it, and votes,
 * if it is to, once it has caught up.
 *
 * Parameters: `node`: the node that is asked. `toml`: its `[[nodes]]`, as in a cluster.toml. `ticket`:
 * names the command in its answer, on success.
 *
 * Returns: `QUORATE_CONFIG` or `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_add_node(quorate_node *node,
                                     quorate_text toml,
                                     uint64_t *ticket);

/**
 * Takes a node out of the cluster for ever. Refused while it has a group, while it is down and not proven
 * harmless, and where the rest would be no majority. It is gone when the status names it no more.
 *
 * Parameters: `node`: the node that is asked. `name`: the node that goes. `ticket`: names the command in its
 * answer, on success.
 *
 * Returns: `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_evict_node(quorate_node *node,
                                       quorate_text name,
                                       uint64_t *ticket);

/**
 * Brings a configuration into force. What has no number in it keeps the one that it has.
 *
 * Parameters: `node`: the node that is asked. `config`: the configuration. `reason`: why, for the
 * history. `only_if`: only in place of this version; 0: of whichever is in force. `ticket`: names the
 * command in its answer, on success.
 *
 * Returns: `QUORATE_CONFIG` or `QUORATE_BUSY`; the answer may be a refusal that names the place and
 * the remedy.
 *
 * Threads: any.
 */
quorate_status quorate_node_apply(quorate_node *node,
                                  const quorate_config *config,
                                  quorate_text reason,
                                  uint64_t only_if,
                                  uint64_t *ticket);

/**
 * Brings back a version of the configuration, as a version of its own.
 *
 * Parameters: `node`: the node that is asked. `version`: which one; 0: the one before that in force.
 * `reason`: why, for the history. `ticket`: names the command in its answer, on success.
 *
 * Returns: `QUORATE_REFUSED` for a version that is not kept, `QUORATE_TIMED_OUT`, or `QUORATE_BUSY`.
 *
 * Threads: any.
 */
quorate_status quorate_node_roll_back(quorate_node *node,
                                      uint64_t version,
                                      quorate_text reason,
                                      uint64_t *ticket);

/**
 * The configuration in force, as far as this node has heard; its own file counts for nothing any more.
 *
 * Parameters: `node`: the node. `version`: its number, 1 is what the cluster was founded with; on
 * success. `config`: the configuration, on success.
 *
 * Returns: `QUORATE_REFUSED` before this node belongs to a cluster, `QUORATE_TIMED_OUT`, or
 * `QUORATE_BUSY`.
 *
 * Memory and lifetimes: free the configuration with `quorate_config_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_configuration(const quorate_node *node,
                                          uint64_t *version,
                                          quorate_config **config);

/**
 * What would become of the cluster, as it stands, if a configuration were in force.
 *
 * Parameters: `node`: the node. `config`: the configuration. `json`: a JSON object, on success:
 * `version`, `differences`, `effects`, `refusal`, and the same for people in `text`.
 *
 * Returns: as for `quorate_node_configuration`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_plan_json(const quorate_node *node,
                                      const quorate_config *config,
                                      quorate_string **json);

/**
 * What the drain of a node would do, without doing it: what moves, what that displaces, and what would
 * stay there, since no other node can run it.
 *
 * Parameters: `node`: the node that is asked. `target`: the node that would be drained. `json`: a JSON
 * object, on success, as of `quorate_node_plan_json`.
 *
 * Returns: `QUORATE_REFUSED` for a node that is not known, or as for `quorate_node_configuration`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_plan_drain_json(const quorate_node *node,
                                            quorate_text target,
                                            quorate_string **json);

/**
 * What the move of a group would do, without doing it.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `target`: the node to which it would
 * go; no text: the one that placement chooses. `json`: a JSON object, on success, as of
 * `quorate_node_plan_json`; a move that would be refused has its reason in `refusal`.
 *
 * Returns: as for `quorate_node_plan_drain_json`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_plan_move_json(const quorate_node *node,
                                           quorate_text group,
                                           quorate_text target,
                                           quorate_string **json);

/**
 * The versions of the configuration that are remembered, oldest first; the last one is in force.
 *
 * Parameters: `node`: the node. `json`: a JSON list of objects, on success: `number`, `unix_ms`,
 * `cluster_ms`, `reason`, `in_force`, `kept`.
 *
 * Returns: as for `quorate_node_configuration`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_history_json(const quorate_node *node, quorate_string **json);

/**
 * Why a group is where it is, and why it is not elsewhere, as data.
 *
 * Parameters: `node`: the node. `group`: the group. `json`: a JSON object, on success: `group`,
 * `state`, `owner`, `placement`, `not_there` (for each other node its `code`, `rule` and `text`),
 * `sentences` and more.
 *
 * Returns: `QUORATE_UNKNOWN`, or as for `quorate_node_configuration`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_explanation_json(const quorate_node *node,
                                             quorate_text group,
                                             quorate_string **json);

/**
 * Why a group is not on a node.
 *
 * Parameters: `node`: the node that is asked. `group`: the group. `target`: the node that it is not
 * on. `json`: a JSON object, on success: `node`, `code`, `rule`, `cannot`, `text`, `would_need` (what would
 * have to be otherwise, all of it); or `null`: it is
 * there, or would be placed there.
 *
 * Returns: `QUORATE_UNKNOWN`, or as for `quorate_node_configuration`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_why_not_json(const quorate_node *node,
                                         quorate_text group,
                                         quorate_text target,
                                         quorate_string **json);

/**
 * Why a node asked a driver, or its host, for something, back to what came in from outside.
 *
 * Parameters: `node`: the node that asked. `op`: the number of a request, or `op` of a notice `requested` or
 * `completed`. `json`: a JSON object, on success: `group`, `at_ms`, `chain` (the nearest cause first; each with
 * `code`, `is_input`, `at_ms`, `text`); or `null`: it is none of the newest 512 requests to resources and LUNs.
 *
 * Returns: as for `quorate_node_configuration`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most.
 */
quorate_status quorate_node_explain_action_json(const quorate_node *node,
                                                uint64_t op,
                                                quorate_string **json);

/**
 * What would have no place after each loss of some nodes, as the cluster stands.
 *
 * Parameters: `node`: the node that is asked. `losses`: how many nodes are lost together, 4 at most.
 * `json`: a JSON object, on success: `tried`, `failing`, `losses` (each with `nodes` and `unplaced`).
 *
 * Returns: as for `quorate_node_configuration`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one waits, 2 s at most, and works it out.
 */
quorate_status quorate_node_survival_json(const quorate_node *node,
                                          uint32_t losses,
                                          quorate_string **json);

/**
 * What has no place after each loss of some nodes, when everything that is started by itself runs and every node is
 * open before.
 *
 * Parameters: `config`: the configuration. `losses`, `json`: as for `quorate_node_survival_json`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_survival_json(const quorate_config *config,
                                            uint32_t losses,
                                            quorate_string **json);

/**
 * Rules, owners or room that leave a group without a place though every node is open: the fewest that suffice.
 *
 * Parameters: `config`: the configuration. `json`: a JSON object, on success: `group`, `rules`,
 * `room`; or `null`: everything can run.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_conflict_json(const quorate_config *config,
                                            quorate_string **json);

/**
 * What would become of a cluster of which a status was saved, if another configuration were in force.
 *
 * Parameters: `current`: the configuration that it had then. `status`: what `quorate_node_status_json`
 * or `quorate status --json` wrote. `next`: the other configuration. `json`: as for
 * `quorate_node_plan_json`.
 *
 * Returns: `QUORATE_CONFIG` when they do not belong together.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_plan_of_status_json(const quorate_config *current,
                                           quorate_text status,
                                           const quorate_config *next,
                                           quorate_string **json);

/**
 * Where one configuration differs from another, in what nodes agree on.
 *
 * Parameters: `before`, `after`: the configurations. `json`: a JSON list of objects, on success:
 * `place`, `before`, `after`.
 *
 * Returns: `QUORATE_CONFIG` when a number in it belongs to something else.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_config_diff_json(const quorate_config *before,
                                        const quorate_config *after,
                                        quorate_string **json);

/**
 * The request that an item is.
 *
 * Parameters: `item`: an item, or NULL.
 *
 * Returns: the request; NULL when the item is another thing.
 *
 * Memory and lifetimes: the request and its texts are valid until the item is freed.
 *
 * Threads: any.
 */
const quorate_request *quorate_item_request(const quorate_item *item);

/**
 * A LUN of the request that an item is: how the resource's group reaches it on this node.
 *
 * Parameters: `item`: an item, or NULL. `index`: from 0.
 *
 * Returns: the LUN; NULL behind the last one, and when the item is no request.
 *
 * Memory and lifetimes: the LUN and its texts are valid until the item is freed.
 *
 * Threads: any.
 */
const quorate_lun *quorate_item_lun(const quorate_item *item, size_t index);

/**
 * The notice that an item is.
 *
 * Parameters: `item`: an item, or NULL.
 *
 * Returns: the notice; NULL when the item is another thing.
 *
 * Memory and lifetimes: the notice and its texts are valid until the item is freed.
 *
 * Threads: any.
 */
const quorate_notice *quorate_item_notice(const quorate_item *item);

/**
 * A text field of the notice that an item is, as `group` or `node`.
 *
 * Parameters: `item`: an item, or NULL. `name`: the field.
 *
 * Returns: its text; no text when there is no such text field.
 *
 * Memory and lifetimes: valid until the item is freed.
 *
 * Threads: any.
 */
quorate_text quorate_item_field(const quorate_item *item, quorate_text name);

/**
 * The answer that an item is.
 *
 * Parameters: `item`: an item, or NULL.
 *
 * Returns: the answer; NULL when the item is another thing.
 *
 * Memory and lifetimes: the answer and its text are valid until the item is freed.
 *
 * Threads: any.
 */
const quorate_answer *quorate_item_answer(const quorate_item *item);

/**
 * Frees an item. NULL is fine.
 *
 * Parameters: `item`: an item, or NULL.
 *
 * Memory and lifetimes: the item and all that was taken from it end here. A request that it was is
 * still open: complete it by its `op`.
 *
 * Threads: any, while no other uses the item.
 */
void quorate_item_free(quorate_item *item);

/**
 * Lives a node's recording again with the real engine, and says what it decided and why.
 *
 * Parameters: `path`: the recording, a `.qrec` file in `recordings` of a node's state directory.
 * `until_ms`: stop before the first step that is later than this, in milliseconds since the node's
 * start; 0: at the end. `stop_at`: stop after the first notice of this kind, as `down`; no text:
 * at the end. `json`: on success an object with `report` (`reproduced` says whether every step was
 * as recorded) and `steps`, as docs/REPLAY.md lists them.
 *
 * Returns: `QUORATE_RECORDING` when the file cannot be read, is no recording or is damaged; the
 * error text names the byte. `QUORATE_UNKNOWN` for a kind that does not exist.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any; this one works until the end of the recording.
 */
quorate_status quorate_replay(quorate_text path,
                              uint64_t until_ms,
                              quorate_text stop_at,
                              quorate_string **json);

/**
 * Makes a test cluster of so many nodes, `n1` and on, with one group `vm1` on a LUN that refuses
 * stale writers. The simulator's own guest plays its resource, which is called `vm1` too, unless
 * `quorate_test_cluster_answer_for` says otherwise.
 *
 * Parameters: `nodes`: how many. `seed`: the same seed gives the same run. `cluster`: the cluster,
 * on success.
 *
 * Returns: `QUORATE_CONFIG` when so many nodes cannot be.
 *
 * Memory and lifetimes: free the cluster with `quorate_test_cluster_free`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_new(uint16_t nodes,
                                        uint64_t seed,
                                        quorate_test_cluster **cluster);

/**
 * Makes a test cluster as `quorate_test_cluster_new` does, with a witness: it votes where the nodes
 * are even in number.
 *
 * Parameters: `nodes`: how many. `seed`: the same seed gives the same run. `cluster`: the cluster, on
 * success.
 *
 * Memory and lifetimes: free it with `quorate_test_cluster_free`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_new_with_witness(uint16_t nodes,
                                                     uint64_t seed,
                                                     quorate_test_cluster **cluster);

/**
 * Makes the test cluster of a configuration; drivers and their settings are left aside.
 *
 * Parameters: `config`: the configuration. `seed`: the same seed gives the same run. `cluster`:
 * the cluster, on success.
 *
 * Memory and lifetimes: the configuration stays the caller's and may be freed at once. Free the
 * cluster with `quorate_test_cluster_free`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_of_config(const quorate_config *config,
                                              uint64_t seed,
                                              quorate_test_cluster **cluster);

/**
 * Frees a test cluster. NULL is fine.
 *
 * Parameters: `cluster`: a cluster, or NULL.
 *
 * Memory and lifetimes: the cluster ends here; items taken from it stay valid until they are freed.
 *
 * Threads: any, while no other thread is in a call on the cluster.
 */
void quorate_test_cluster_free(quorate_test_cluster *cluster);

/**
 * How much virtual time has passed.
 *
 * Parameters: `cluster`: the cluster. `now_ms`: the time, on success.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_now_ms(quorate_test_cluster *cluster, uint64_t *now_ms);

/**
 * Lets virtual time pass.
 *
 * Parameters: `cluster`: the cluster. `length_ms`: how much.
 *
 * Returns: `QUORATE_VIOLATION`: a promise of quorate was broken, and the cluster stands still for
 * good.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_run(quorate_test_cluster *cluster, uint64_t length_ms);

/**
 * Lets virtual time pass until the cluster is at rest: nothing is under way, and for a while no
 * node and no group has changed its state.
 *
 * Parameters: `cluster`: the cluster.
 *
 * Returns: `QUORATE_TIMED_OUT` when it has not come to rest in the time that a healed cluster may
 * take, or `QUORATE_VIOLATION`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_settle(quorate_test_cluster *cluster);

/**
 * The node on which all of a group runs, in truth.
 *
 * Parameters: `cluster`: the cluster. `group`: the group. `owner`: its node, on success; NULL: it
 * runs nowhere as a whole.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_owner_of(quorate_test_cluster *cluster,
                                             quorate_text group,
                                             quorate_string **owner);

/**
 * For how long a group has run nowhere in all, since it first ran.
 *
 * Parameters: `cluster`: the cluster. `group`: the group. `outage_ms`: how long, on success.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_outage_of(quorate_test_cluster *cluster,
                                              quorate_text group,
                                              uint64_t *outage_ms);

/**
 * What the host of a node does.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `state`: what it does, on success.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_host_state(quorate_test_cluster *cluster,
                                               quorate_text node,
                                               quorate_host_state *state);

/**
 * What a node of a test cluster believes, or the newest view that any has; as
 * `quorate_node_status_json` gives it.
 *
 * Parameters: `cluster`: the cluster. `node`: the node; no text: whoever knows most. `json`: a
 * JSON object, on success; `null`: nobody can say.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_status_json(quorate_test_cluster *cluster,
                                                quorate_text node,
                                                quorate_string **json);

/**
 * What really happened in a test cluster, in order.
 *
 * Parameters: `cluster`: the cluster. `json`: a JSON array, on success; each entry has `at` in
 * nanoseconds, `kind`, `subject`, `node` and `detail`.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_timeline_json(quorate_test_cluster *cluster,
                                                  quorate_string **json);

/**
 * What really happened in a test cluster, as one self-contained HTML page.
 *
 * Parameters: `cluster`: the cluster. `html`: the page, on success.
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_html(quorate_test_cluster *cluster, quorate_string **html);

/**
 * Lets the requests for a resource, on every node, wait for the test, which takes and completes
 * them. Call it before time passes.
 *
 * Parameters: `cluster`: the cluster. `resource`: the resource.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_answer_for(quorate_test_cluster *cluster,
                                               quorate_text resource);

/**
 * Lets virtual time pass until a request waits for the test, and takes it. A request that is not
 * completed takes as long as the cluster is run.
 *
 * Parameters: `cluster`: the cluster. `timeout_ms`: how long at most, in virtual time. `item`: the
 * request, on success; its `node` says whose resource is meant. Paths of LUNs and states in it
 * begin with `test-cluster/`; nothing is there.
 *
 * Returns: `QUORATE_TIMED_OUT` or `QUORATE_VIOLATION`.
 *
 * Memory and lifetimes: free the item with `quorate_item_free`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_next_request(quorate_test_cluster *cluster,
                                                 uint64_t timeout_ms,
                                                 quorate_item **item);

/**
 * Completes a request that was taken from a test cluster: done, or why not. One that something
 * has overtaken may be completed or not.
 *
 * Parameters: `cluster`: the cluster. `op`: the request's. `error`: why it was not carried out; no
 * text: it was.
 *
 * Returns: `QUORATE_MISUSE` for a request that was never made, or is completed.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_complete(quorate_test_cluster *cluster,
                                             uint64_t op,
                                             quorate_text error);

/**
 * Says that what runs of a resource on a node of a test cluster has failed by itself.
 *
 * Parameters: `cluster`: the cluster. `resource`: the resource. `node`: where. `detail`: what
 * happened, for people.
 *
 * Returns: `QUORATE_UNKNOWN`, or `QUORATE_MISUSE` when nothing of it runs there.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_report(quorate_test_cluster *cluster,
                                           quorate_text resource,
                                           quorate_text node,
                                           quorate_text detail);

/**
 * Kills the process of a node: what runs there dies with it.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_crash(quorate_test_cluster *cluster, quorate_text node);

/**
 * Takes the power of a node's host.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_power_off(quorate_test_cluster *cluster, quorate_text node);

/**
 * Gives a node's host power if it has none, and starts its process if none runs.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_start(quorate_test_cluster *cluster, quorate_text node);

/**
 * Asks a node to leave in order: what runs there moves away, then its process ends.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_leave(quorate_test_cluster *cluster, quorate_text node);

/**
 * Stops a node's process for some time, as SIGSTOP does. If nothing but time protects what runs
 * there, the host's watchdog resets it.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `length_ms`: how long, in virtual time.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_pause(quorate_test_cluster *cluster,
                                          quorate_text node,
                                          uint64_t length_ms);

/**
 * Lets only the engine of a node hang for some time; the I/O of its guests goes on.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `length_ms`: how long, in virtual time.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_hang_engine(quorate_test_cluster *cluster,
                                                quorate_text node,
                                                uint64_t length_ms);

/**
 * Cuts a node off all others, on every network. Its way to storage stays.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_cut(quorate_test_cluster *cluster, quorate_text node);

/**
 * Lets nothing that a node says be heard; it still hears the others.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_mute(quorate_test_cluster *cluster, quorate_text node);

/**
 * Lets a node hear nothing; it is still heard.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_deafen(quorate_test_cluster *cluster, quorate_text node);

/**
 * Cuts a node off one network.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `network`: the network, from 0.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_cut_network(quorate_test_cluster *cluster,
                                                quorate_text node,
                                                uint8_t network);

/**
 * Lets one network fail for all nodes.
 *
 * Parameters: `cluster`: the cluster. `network`: the network, from 0.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_lose_network(quorate_test_cluster *cluster, uint8_t network);

/**
 * Cuts two nodes off each other, on every network.
 *
 * Parameters: `cluster`: the cluster. `one`: a node. `other`: another.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_cut_between(quorate_test_cluster *cluster,
                                                quorate_text one,
                                                quorate_text other);

/**
 * Mends every link of a node.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_mend(quorate_test_cluster *cluster, quorate_text node);

/**
 * Cuts the way of a node to a LUN, or to all.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `lun`: the LUN; no text: all.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_cut_storage(quorate_test_cluster *cluster,
                                                quorate_text node,
                                                quorate_text lun);

/**
 * Mends the way of a node to a LUN, or to all.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `lun`: the LUN; no text: all.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_mend_storage(quorate_test_cluster *cluster,
                                                 quorate_text node,
                                                 quorate_text lun);

/**
 * Lets a node reach the witness no more, or all nodes.
 *
 * Parameters: `cluster`: the cluster. `node`: the node; no text: all.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_cut_witness(quorate_test_cluster *cluster, quorate_text node);

/**
 * Lets a node reach the witness again, or all nodes.
 *
 * Parameters: `cluster`: the cluster. `node`: the node; no text: all.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_mend_witness(quorate_test_cluster *cluster, quorate_text node);

/**
 * Lets what runs of a group die where it runs.
 *
 * Parameters: `cluster`: the cluster. `group`: the group.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_kill_guest(quorate_test_cluster *cluster, quorate_text group);

/**
 * Lets the next starts of a resource fail, on one node or on each.
 *
 * Parameters: `cluster`: the cluster. `resource`: the resource. `node`: the node; no text: each.
 * `count`: how many starts.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_fail_starts(quorate_test_cluster *cluster,
                                                quorate_text resource,
                                                quorate_text node,
                                                uint32_t count);

/**
 * Lets a resource hang when it is next asked to stop, on every node: it must be killed.
 *
 * Parameters: `cluster`: the cluster. `resource`: the resource.
 *
 * Returns: `QUORATE_UNKNOWN`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_hang_at_stop(quorate_test_cluster *cluster,
                                                 quorate_text resource);

/**
 * Mends all links and ways to storage, ends all pauses, switches every host on and starts every
 * process. Starts that were to fail succeed again.
 *
 * Parameters: `cluster`: the cluster.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_heal(quorate_test_cluster *cluster);

/**
 * Moves a group of a test cluster.
 *
 * Parameters: `cluster`: the cluster. `group`: the group. `to`: the node; no text: placement
 * chooses.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_move_group(quorate_test_cluster *cluster,
                                               quorate_text group,
                                               quorate_text to);

/**
 * Brings a group of a test cluster online.
 *
 * Parameters: `cluster`: the cluster. `group`: the group.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_online(quorate_test_cluster *cluster, quorate_text group);

/**
 * Takes a group of a test cluster offline, and keeps it there.
 *
 * Parameters: `cluster`: the cluster. `group`: the group.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_offline(quorate_test_cluster *cluster, quorate_text group);

/**
 * Moves everything off a node of a test cluster, and lets nothing start there.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_drain(quorate_test_cluster *cluster, quorate_text node);

/**
 * Adds a node to a test cluster, on one more host that is started at once. That it takes part, and
 * then votes, takes its time: see `quorate_test_cluster_settle`.
 *
 * Parameters: `cluster`: the cluster. `node`: its name. `votes`: whether it is to vote.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_add_node(quorate_test_cluster *cluster,
                                             quorate_text node,
                                             bool votes);

/**
 * Takes a node out of a test cluster for ever. Its vote goes first, then its place, then its host
 * ends.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_REFUSED`, where it still has a group among others, `QUORATE_MISUSE` when no node
 * runs, or `QUORATE_TIMED_OUT`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_evict_node(quorate_test_cluster *cluster,
                                               quorate_text node);

/**
 * Lets nothing new start on a node of a test cluster; what runs there stays.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_pause_node(quorate_test_cluster *cluster, quorate_text node);

/**
 * Ends a drain or a pause of a node of a test cluster.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_resume_node(quorate_test_cluster *cluster, quorate_text node);

/**
 * A human's word that a node of a test cluster which is down runs nothing; it must be true.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `reason`: who says so, and why.
 *
 * Returns: `QUORATE_MISUSE` when it is not true, else as `quorate_test_cluster_move_group`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_confirm_fenced(quorate_test_cluster *cluster,
                                                   quorate_text node,
                                                   quorate_text reason);

/**
 * Ends a pause, a drain or a quarantine of a node of a test cluster, and says what returns to it.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `failback`: `now`, `policy` or
 * `never`, as for `quorate_node_resume_with`.
 *
 * Returns: `QUORATE_MISUSE` for another word, else as
 * `quorate_test_cluster_move_group`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_resume_with(quorate_test_cluster *cluster,
                                                quorate_text node,
                                                quorate_text failback);

/**
 * Ends a pause or a drain of a node of a test cluster, and brings back what was drained; a quarantine
 * goes on.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_end_drain(quorate_test_cluster *cluster,
                                              quorate_text node);

/**
 * Moves everything off a node of a test cluster, stops there what nowhere else can run, and lets nothing
 * start there.
 *
 * Parameters: `cluster`: the cluster. `node`: the node.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_empty(quorate_test_cluster *cluster,
                                          quorate_text node);

/**
 * Fences a node of a test cluster, though it is heard.
 *
 * Parameters: `cluster`: the cluster. `node`: the node. `reason`: who wants it, and why.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_fence(quorate_test_cluster *cluster,
                                          quorate_text node,
                                          quorate_text reason);

/**
 * Takes a group of a test cluster offline, and leaves it with its node whatever becomes of that.
 *
 * Parameters: `cluster`: the cluster. `group`: the group.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_disable(quorate_test_cluster *cluster, quorate_text group);

/**
 * Leaves a group of a test cluster alone, running or not, until it is commanded to be online or offline.
 *
 * Parameters: `cluster`: the cluster. `group`: the group.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_unmanage(quorate_test_cluster *cluster,
                                             quorate_text group);

/**
 * Starts, stops and moves nothing in a test cluster until `quorate_test_cluster_arm`.
 *
 * Parameters: `cluster`: the cluster. `mode`: `freeze` or `ignore`. `ttl_ms`: after how long the
 * cluster arms itself; 0: not by itself.
 *
 * Returns: `QUORATE_MISUSE` for another word, else as
 * `quorate_test_cluster_move_group`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_disarm(quorate_test_cluster *cluster,
                                           quorate_text mode,
                                           uint64_t ttl_ms);

/**
 * Manages everything in a test cluster again, as it is found.
 *
 * Parameters: `cluster`: the cluster.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_arm(quorate_test_cluster *cluster);

/**
 * Lets no group of a test cluster move by itself for the sake of a rule or a preference, or lets them
 * again.
 *
 * Parameters: `cluster`: the cluster. `held`: whether they are held.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_hold_moves(quorate_test_cluster *cluster,
                                               bool held);

/**
 * Says how often a group of a test cluster has failed on a node, in place of what was counted.
 *
 * Parameters: `cluster`: the cluster. `group`: the group. `node`: the node. `count`: how often.
 *
 * Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
 * is accepted does not say that it is carried out.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_count_failures(quorate_test_cluster *cluster,
                                                   quorate_text group,
                                                   quorate_text node,
                                                   uint32_t count);

/**
 * Reports how much a group of a test cluster loads its node, as measured.
 *
 * Parameters: `cluster`: the cluster. `group`: the group. `load`: how much of each thing, a JSON
 * object of whole numbers.
 *
 * Returns: `QUORATE_MISUSE` for what is no such object, else as
 * `quorate_test_cluster_move_group`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_report_load(quorate_test_cluster *cluster,
                                                quorate_text group,
                                                quorate_text load);

/**
 * Brings a configuration into force in a test cluster. What has no number in it keeps the one that it
 * has.
 *
 * Parameters: `cluster`: the cluster. `config`: the configuration. `reason`: why, for the history.
 * `only_if`: only in place of this version; 0: of whichever is in force.
 *
 * Returns: `QUORATE_CONFIG`, else as
 * `quorate_test_cluster_move_group`.
 *
 * Threads: any.
 */
quorate_status quorate_test_cluster_apply(quorate_test_cluster *cluster,
                                          const quorate_config *config,
                                          quorate_text reason,
                                          uint64_t only_if);

/**
 * What would come of a loss: the engine itself tries every case out in the simulator.
 *
 * Parameters: `config`: the configuration. `status_json`: the situation, as
 * `quorate_node_status_json` gives it; no text: every node runs, and every group is where
 * placement puts it. `lose`: what is lost at one instant, words with spaces between: `nodes:2`,
 * `networks:1`, `luns:1` for every case of so many, or names, as in `n1 disk1 network0`.
 * `start_time_ms`: how long a resource takes to start, part of every outage. `json`: a JSON
 * object, on success: `cases`, each with what is `lost`, who keeps the `quorum`, and every group
 * with its `fate`, `outage_ms` and `why`. `table`: the same for people, on success.
 *
 * Returns: `QUORATE_MISUSE` for words, names or a situation that do not fit the configuration.
 *
 * Memory and lifetimes: the configuration stays the caller's. Free the strings with
 * `quorate_string_free`.
 *
 * Threads: any; this one works for some time.
 */
quorate_status quorate_what_if(const quorate_config *config,
                               quorate_text status_json,
                               quorate_text lose,
                               uint64_t start_time_ms,
                               quorate_string **json,
                               quorate_string **table);

/**
 * Whether the fence agents of a configuration can do their work. Ends nobody: only `metadata`, `monitor` and `status`
 * are asked, one agent after the other; each may take its timeout for each question.
 *
 * Parameters: `config`: the configuration. `json`: on success, an object with `findings`, each with the `agent`, the
 * `node` (or null), the `trial` (`program`, `options`, `actions`, `device`, `status`), whether it is `good`, and what
 * was seen (`says`); and `unguarded`, the nodes that no agent can end. `table`: the same for people, on success.
 * `sound`: whether every finding is good, on success.
 *
 * Memory and lifetimes: the configuration stays the caller's. Free the strings with `quorate_string_free`.
 *
 * Threads: any; waits for the agents.
 */
quorate_status quorate_fence_agents_check(const quorate_config *config,
                                          quorate_string **json,
                                          quorate_string **table,
                                          bool *sound);

/**
 * Makes the disks ready on which the poison pills of a configuration are to lie, once before their first use; where
 * one is, it stays as it is.
 *
 * Parameters: `config`: the configuration. `over_other_bytes`: write over what stands in the first 2 MiB, pills too:
 * only with every node stopped.
 *
 * Returns: `QUORATE_MISUSE` when no fence agent has the program `poison-pill`, and when something else stands there:
 * nothing was changed there. `QUORATE_LUN` for a disk that cannot be written.
 *
 * Memory and lifetimes: the configuration stays the caller's.
 *
 * Threads: any; waits for the disks.
 */
quorate_status quorate_fence_agents_init(const quorate_config *config,
                                         bool over_other_bytes);

/**
 * The block devices of this machine that can be LUNs. Asks the kernel alone.
 *
 * Parameters: `json`: on success, a JSON array of objects with `device`, `links` (names that stay), `make`,
 * `size_bytes`, `paths` and `holders` (what stands on it).
 *
 * Memory and lifetimes: free the string with `quorate_string_free`.
 *
 * Threads: any.
 */
quorate_status quorate_lun_devices(quorate_string **json);

/**
 * What a LUN is, who is registered there and who holds it, and whose heartbeat stands on it. Only reads.
 *
 * Parameters: `lun`: a device (`/dev/...`), an address (`iscsi://[user%password@]host[:port]/iqn/lun`), a disk
 * without reservations (`disk:/dev/...`, `disk:/srv/image`), the absolute path of a directory that serves as a LUN, or
 * the name of a LUN of `config`. `config`: names LUNs and nodes; may be NULL. `initiator`: our name at an iSCSI
 * target; no text: `iqn.2026-01.io.quorate:admin`. `json`: the report, on success. `table`: the same for people, on
 * success.
 *
 * Returns: `QUORATE_MISUSE` or `QUORATE_UNKNOWN` for what is no LUN, `QUORATE_LUN` for one that cannot be reached or
 * knows no reservations.
 *
 * Memory and lifetimes: the configuration stays the caller's. Free the strings with `quorate_string_free`.
 *
 * Threads: any; waits for the LUN.
 */
quorate_status quorate_lun_show(quorate_text lun,
                                const quorate_config *config,
                                quorate_text initiator,
                                quorate_string **json,
                                quorate_string **table);

/**
 * Takes every registration and the reservation of a LUN away: what a cluster that is no more has left behind. Waits
 * 3 s to see whether somebody beats on it.
 *
 * Parameters: `lun`, `config`, `initiator`: as for `quorate_lun_show`. `count`: how many registrations there were, on
 * success.
 *
 * Returns: `QUORATE_MISUSE` when a node that is alive uses it: nothing was changed. Else as `quorate_lun_show`.
 *
 * Threads: any; waits for the LUN.
 */
quorate_status quorate_lun_clear(quorate_text lun,
                                 const quorate_config *config,
                                 quorate_text initiator,
                                 uint64_t *count);

/**
 * Makes leases at the end of a disk without reservations, once before its first use; where it has some, they stay as
 * they are.
 *
 * Parameters: `lun`, `config`: as for `quorate_lun_show`. `over_other_bytes`: write over what stands in its last 2
 * MiB, but never over leases under which somebody is registered. `made`: on success, whether they were made; false:
 * it has some.
 *
 * Returns: `QUORATE_MISUSE` for another kind of LUN, and when something else stands there: nothing was changed. Else
 * as `quorate_lun_show`.
 *
 * Threads: any; waits for the disk.
 */
quorate_status quorate_lun_init(quorate_text lun,
                                const quorate_config *config,
                                bool over_other_bytes,
                                bool *made);

/**
 * Tries a LUN out, as a host whose failover depends on it would: register, reserve, write, be preempted, be refused.
 * Wants one that nobody uses, and leaves it as it was.
 *
 * Parameters: as for `quorate_lun_show`. `json`: on success, an object with `trials`, each with what was tried
 * (`trial`), its `verdict` (`good`, `note`, `bad`: not to be trusted, `untried`) and what was seen (`says`). `sound`:
 * whether no verdict is `bad`, on success.
 *
 * Returns: `QUORATE_MISUSE` when somebody is registered there: nothing was changed. Else as `quorate_lun_show`.
 *
 * Threads: any; waits for the LUN.
 */
quorate_status quorate_lun_doctor(quorate_text lun,
                                  const quorate_config *config,
                                  quorate_text initiator,
                                  quorate_string **json,
                                  quorate_string **table,
                                  bool *sound);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* QUORATE_H */
