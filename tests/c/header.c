/* The header stands alone, may be included twice, and agrees with the library that runs. */
#include <quorate.h>
#include <quorate.h>

#include "test.h"

int main(void) {
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%d.%d.%d", QUORATE_VERSION_MAJOR, QUORATE_VERSION_MINOR,
             QUORATE_VERSION_PATCH);
    CHECK(strcmp(numbers, QUORATE_VERSION) == 0);
    CHECK(is_text(quorate_version(), QUORATE_VERSION));
    PASSED("the macros of the header name the version of the library");

    CHECK(QUORATE_OK == 0 && QUORATE_REFUSED == 12 && QUORATE_SYSTEM == 17);
    CHECK(QUORATE_VIOLATION == 18 && QUORATE_HOST_RUNS == 0 && QUORATE_HOST_OFF == 3);
    CHECK(QUORATE_VERB_START == 0 && QUORATE_VERB_KILL == 5);
    CHECK(sizeof(quorate_status) == 4 && sizeof(quorate_verb) == 4);
    PASSED("statuses and verbs are the numbers that they were");

    CHECK(is_text(quorate_status_name(QUORATE_OK), "ok"));
    CHECK(is_text(quorate_status_name(QUORATE_TIMED_OUT), "timed_out"));
    CHECK(is_text(quorate_status_name(4711), "unlisted"));
    PASSED("a status has the word that the other languages use");
    return 0;
}
