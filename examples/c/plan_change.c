/* What a change of the configuration would do to a cluster, before it is made.
 *
 * usage: plan_change CURRENT.toml STATUS.json NEXT.toml */
#include <quorate.h>

#include <stdio.h>
#include <stdlib.h>

static void check(quorate_status status) {
    if (status == QUORATE_OK) return;
    char text[1024];
    quorate_error_copy(text, sizeof text);
    fprintf(stderr, "%s\n", text);
    exit(1);
}

int main(int argc, char **argv) {
    static char status[65536];
    quorate_config *current = NULL, *next = NULL;
    quorate_string *plan = NULL;
    if (argc != 4) {
        fprintf(stderr, "usage: plan_change CURRENT.toml STATUS.json NEXT.toml\n");
        return 1;
    }
    FILE *file = fopen(argv[2], "r");
    if (file == NULL) {
        perror(argv[2]);
        return 1;
    }
    status[fread(status, 1, sizeof status - 1, file)] = '\0';
    fclose(file);
    check(quorate_config_from_file(quorate_text_borrow(argv[1]), &current));
    check(quorate_config_from_file(quorate_text_borrow(argv[3]), &next));
    check(quorate_plan_of_status_json(current, quorate_text_borrow(status), next, &plan));
    printf("%s\n", quorate_string_text(plan).data);
    quorate_string_free(plan);
    quorate_config_free(next);
    quorate_config_free(current);
    return 0;
}
