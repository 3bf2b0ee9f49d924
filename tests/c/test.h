/* What the C tests share: checks and texts. Compiles as C11 and as C++17. */
#ifndef QUORATE_TEST_H
#define QUORATE_TEST_H

#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A check that fails ends the program: what comes after it would only mislead. */
#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: not so: %s\n  the last error: %s\n", __FILE__, __LINE__, \
                    #condition, last_error());                                              \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

/* One line for each promise that was kept; run.sh counts them. */
#define PASSED(name) printf("ok %s\n", name)

static inline quorate_text text_of(const char *c_string) { return quorate_text_borrow(c_string); }

static inline const char *last_error(void) {
    static char text[1024];
    quorate_error_copy(text, sizeof text);
    return text;
}

static inline int error_has(const char *part) { return strstr(last_error(), part) != NULL; }

static inline int is_text(quorate_text text, const char *expected) {
    return text.data != NULL && text.len == strlen(expected) && strcmp(text.data, expected) == 0;
}

#endif
